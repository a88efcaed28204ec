"""Checks a merged tree against the grammar and against the options of every component that it names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from cod_runner.api import Component, Kind
from cod_runner.defaults import DEFAULT_EXECUTOR, DEFAULT_METRICS
from cod_runner.errors import Fault, PluginError
from cod_runner.permissions import Permissions, settings_shown
from cod_runner.plain_text import shortened
from cod_runner.recipe.answering import check_answering
from cod_runner.recipe.fields import coerced, keys_at, models_at
from cod_runner.recipe.grammar import COMPONENTS, Recipe, core_keys, kind_at, words_at
from cod_runner.recipe.messages import LONGEST_VALUE, faults_of, quoted
from cod_runner.recipe.nodes import (
    Entry,
    Items,
    Mapping,
    Node,
    Place,
    Scalar,
    child,
    from_plain,
    is_null,
    mark_at,
    marks,
    plain,
    text_of,
)
from cod_runner.recipe.overlays import as_component, dotted, merge
from cod_runner.recipe.own_training import check_own_training
from cod_runner.recipe.yaml import resolve
from cod_runner.registry import Registry

Coerced: TypeAlias = dict[Place, tuple[Scalar, str]]
"""Values that pydantic would convert to another type, and what they must be."""


@dataclass
class Checked:
    """The result of a check. ``recipe`` is None where there are faults."""

    tree: Mapping
    """With the defaults that name components."""
    options: dict[Place, dict[str, Any]] = field(default_factory=dict)
    """Validated options, complete, by the place of their component."""
    faults: list[Fault] = field(default_factory=list)
    recipe: Recipe | None = None


class Validator:
    """Checks trees against the grammar and one registry's components."""

    def __init__(self, registry: Registry, permissions: Permissions) -> None:
        self._registry = registry
        self._permissions = permissions

    def alternatives(self, place: Place, mapping: Mapping) -> Sequence[Sequence[str]]:
        """The groups of alternatives that the model of a mapping declares; see ``Options.alternatives``."""
        kind, use = kind_at(place), text_of(mapping.get("use"))
        models: list[type[BaseModel]] = []
        if kind is None:
            models = list(models_at(Recipe, place))
        elif use is not None and use in self._registry.names(kind):
            models = [self._registry.find(kind, use).options]
        return [group for model in models for group in getattr(model, "alternatives", ())]

    def completed(self, root: Mapping) -> Mapping:
        """The tree with the default components that it does not name; these have the root's position."""
        components = {"executor": DEFAULT_EXECUTOR, "evaluate": {"metrics": list(DEFAULT_METRICS)}}
        tree = merge(from_plain(components, root.mark), _without_blanks(root, ()), (), self.alternatives)
        assert isinstance(tree, Mapping)
        return tree

    def check(self, root: Mapping) -> Checked:
        """Every fault that the grammar and the components' options find in a whole recipe."""
        tree = self.completed(root)
        checked = Checked(tree)
        data = plain(tree)
        for place, kind, node in components_of(tree):
            options = self._options(place, kind, node, checked.faults)
            if options is not None:
                checked.options[place] = options
                _put_options(data, place, kind, node, options)
        checked.faults += self._locate_baselines(tree, data)
        converted: Coerced = {place: (node, wanted) for place, node, wanted in coerced(Recipe, tree)}
        checked.faults += _type_faults(converted)
        try:
            recipe = Recipe.model_validate(data)
        except ValidationError as error:
            wrong = [each for each in error.errors() if each["loc"] not in converted]
            checked.faults += faults_of(wrong, root, (), _known_keys)
        else:
            if not checked.faults:
                wrong_together = (*check_answering(recipe, self._registry), *check_own_training(recipe, self._registry))
                checked.faults += [mark_at(tree, place).fault(sentence) for place, sentence in wrong_together]
            checked.recipe = None if checked.faults else recipe
        return checked

    def _options(self, place: Place, kind: Kind, node: Mapping, faults: list[Fault]) -> dict[str, Any] | None:
        """The validated, complete options of one component; None where it, or its name, is wrong."""
        use = node.get("use")
        name = text_of(use)
        if use is None or not name or use.broken or node.broken:
            return None  # the grammar reports what is wrong
        try:
            component = self._registry.find(kind, shortened(name, LONGEST_VALUE))
        except PluginError as error:
            near = difflib.get_close_matches(name, words_at(place), 1)
            sentence = f"no {kind} is named {quoted(name)}; did you mean `{near[0]}`?" if near else str(error)
            faults.append(use.mark.fault(shortened(sentence, 400)))
            return None
        core = core_keys(kind)
        own = Mapping(node.mark, {key: entry for key, entry in node.entries.items() if key not in core})
        converted: Coerced = {
            (*place, *below): (value, wanted) for below, value, wanted in coerced(component.options, own)
        }
        faults += _type_faults(converted)
        folders = list(dict.fromkeys([use.mark.source.folder, *(mark.source.folder for mark in marks(own))]))
        dumps: dict[Path, dict[str, Any]] = {}
        files: dict[str, Path] = {}
        for folder in folders:
            try:
                dumps[folder] = component.options.model_validate(
                    plain(own), context={"folder": str(folder), "files": files}
                ).model_dump(mode="json")
            except ValidationError as error:
                wrong = [each for each in error.errors() if (*place, *each["loc"]) not in converted]
                faults += faults_of(wrong, own, place, _option_keys(component, place))
                return None
            except Exception as error:  # noqa: BLE001 - a stranger's validator may raise anything
                failed = self._registry.blame(kind, component.name, error)
                faults.append(node.mark.fault(f"{failed}, while it checked the options"))
                return None
        options = _by_folder(own, dumps, folders[0])
        outside = list(self._outside(own, options, files))
        faults += outside
        return None if converted or outside else options

    def _outside(self, node: Node | None, value: Any, files: dict[str, Path]) -> Iterator[Fault]:
        """A fault for each of the ``files`` that lies outside its recipe's folder; flags may name any."""
        if isinstance(node, Mapping) and isinstance(value, dict):
            for key, below in value.items():
                yield from self._outside(node.get(key), below, files)
        elif isinstance(node, Items) and isinstance(value, list):
            for item, below in zip(node.items, value, strict=False):
                yield from self._outside(item, below, files)
        elif isinstance(node, Scalar) and isinstance(value, str) and value in files:
            yield from self._not_allowed(node, files[value].resolve())

    def _not_allowed(self, node: Scalar, path: Path) -> Iterator[Fault]:
        source = node.mark.source
        if not source.flag and not self._permissions.allow_file(path, source.folder):
            yield node.mark.fault(
                f"{path} is outside the recipe's folder, and a recipe reads no files from elsewhere by itself: if "
                f"you trust it with this one, run it with `--allow-folder {path.parent}`, or list the folder under "
                f"`allow_folders` in {settings_shown()}"
            )

    def _locate_baselines(self, tree: Mapping, data: dict[str, Any]) -> list[Fault]:
        """Make the runs' folders that expectations name absolute in ``data``; a fault for each that lies outside."""
        faults: list[Fault] = []
        expect = tree.get("expect")
        for index, item in enumerate(expect.items if isinstance(expect, Items) else ()):
            node = child(item, "of")
            if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value or node.broken:
                continue  # the grammar reports what is wrong
            try:
                path = Path(node.mark.source.folder, Path(node.value).expanduser())
                faults += self._not_allowed(node, path.resolve())
                data["expect"][index]["of"] = str(path)
            except (OSError, RuntimeError, ValueError) as error:
                faults.append(node.mark.fault(f"{quoted(node.value)} cannot be a run's folder: {error}"))
        return faults


def _known_keys(place: Place) -> set[str]:
    return set(keys_at(Recipe, place)) | (set() if place else {"extends", "profiles"})


def _option_keys(component: Component, start: Place) -> Callable[[Place], set[str]]:
    def known(place: Place) -> set[str]:
        own = set(keys_at(component.options, place[len(start) :]))
        return own | core_keys(component.kind) if place == start else own

    return known


def components_of(tree: Mapping) -> Iterator[tuple[Place, Kind, Mapping]]:
    """Every component that the tree names, at every place where the grammar has one."""

    def walk(node: Node | None, pattern: tuple[str, ...], place: Place) -> Iterator[tuple[Place, Mapping]]:
        if not pattern:
            component = as_component(node, place) if node is not None else None
            if isinstance(component, Mapping):
                yield place, component
        elif pattern[0] not in ("*", "#"):
            yield from walk(child(node, pattern[0]), pattern[1:], (*place, pattern[0]))
        elif isinstance(node, Items):
            for index, item in enumerate(node.items):
                yield from walk(item, pattern[1:], (*place, index))
        elif isinstance(node, Mapping) and pattern[0] == "*":
            for key, entry in node.entries.items():
                yield from walk(entry.node, pattern[1:], (*place, key))

    for pattern, kind in COMPONENTS.items():
        for place, node in walk(tree, pattern, ()):
            yield place, kind, node


def _without_blanks(node: Node, place: Place) -> Node:
    """The tree without keys of the core that are blank or null, which count as absent.

    Nulls among a plugin's options stay: they may mean something.
    """
    if isinstance(node, Items):
        return Items(node.mark, tuple(_without_blanks(item, (*place, n)) for n, item in enumerate(node.items)))
    if not isinstance(node, Mapping):
        return node
    known = keys_at(Recipe, place)
    entries = {
        key: Entry(entry.key, _without_blanks(entry.node, (*place, key)))
        for key, entry in node.entries.items()
        if not (key in known and is_null(entry.node))
    }
    return Mapping(node.mark, entries, broken=node.broken)


def _put_options(data: Any, place: Place, kind: Kind, node: Mapping, options: dict[str, Any]) -> None:
    """Write validated options into the plain data, beside the keys that are the core's."""
    *parents, last = place
    for step in parents:
        data = data[step]
    core = core_keys(kind)
    data[last] = {key: plain(entry.node) for key, entry in node.entries.items() if key in core} | options


def _by_folder(node: Node | None, dumps: dict[Path, Any], main: Path) -> Any:
    """One dump from several that differ in the folder their paths are relative to: each value of its node's folder."""
    value = dumps[main]
    if node is None or len(dumps) == 1:
        return value
    if isinstance(node, Mapping) and isinstance(value, dict):
        return {
            key: _by_folder(node.get(key), {folder: dump[key] for folder, dump in dumps.items()}, main) for key in value
        }
    if isinstance(node, Items) and isinstance(value, list) and len(value) == len(node.items):
        return [
            _by_folder(item, {folder: dump[index] for folder, dump in dumps.items()}, main)
            for index, item in enumerate(node.items)
        ]
    return dumps.get(node.mark.source.folder, value)


def _type_faults(converted: Coerced) -> list[Fault]:
    faults = []
    for place, (node, wanted) in converted.items():
        in_quotes = isinstance(node.value, str) and isinstance(resolve(node.value), int | float)
        cure = "; remove the quotes" if in_quotes else ""
        faults.append(node.mark.fault(f"`{dotted(place)}` must be {wanted}, not {quoted(node.value)}{cure}"))
    return faults

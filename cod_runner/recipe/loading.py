"""From a recipe's file to a checked recipe: parents, profile, ``--set``, flags, and every fault at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cod_runner.errors import Fault, RecipeError, SettingError
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.plain_text import shortened
from cod_runner.recipe.arms import DEFAULT_ARMS, SPELLED_OUT
from cod_runner.recipe.chain import OWN_KEYS, RecipeFile, read_chain
from cod_runner.recipe.checks import Domain, check_sense, domain_of
from cod_runner.recipe.expectation import Expectation
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.messages import nearest, quoted
from cod_runner.recipe.nodes import (
    Entry,
    Items,
    Mapping,
    Mark,
    Node,
    Scalar,
    Source,
    from_plain,
    mark_at,
    marks,
    text_of,
)
from cod_runner.recipe.overlays import arms_chosen, merge, set_at
from cod_runner.recipe.own_plugins import load_own_plugins, plugin_paths
from cod_runner.recipe.validation import Checked, Validator, components_of
from cod_runner.recipe.writing import recipe_yaml
from cod_runner.recipe.yaml import DEEPEST, read_value
from cod_runner.registry import Registry

NO_FLAGS: Dict[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that was read and checked."""

    recipe: Recipe
    """What runs: every option complete, paths absolute, expectations only on the cells that run."""
    written: Recipe
    """The recipe without profile, ``--set`` and flags; with them where it is complete only with them."""
    path: Path
    profile: str | None
    folder: Path
    """The recipe's folder; absolute."""
    not_run: list[Expectation]
    """The expectations on cells that the profile or a flag excludes."""
    tree: Mapping
    """What runs, as written: every key and value with its position."""
    profiles: tuple[str, ...] = ()
    """Names of the recipe's profiles."""
    flags: tuple[str, ...] = ()
    """What was put on top of the file, as the command line writes it: ``--profile``, ``--set``, ``--k``, ..."""

    @contextmanager
    def pointing(self) -> Iterator[None]:
        """Raise a :class:`SettingError` from inside as a :class:`RecipeError` at the line to be changed."""
        try:
            yield
        except SettingError as error:
            place = error.place
            if place is None:
                places = ((kind, text_of(node.get("use")), place) for place, kind, node in components_of(self.tree))
                place = next((place for kind, use, place in places if (kind, use) == error.component), ())
            mark = mark_at(self.tree, (*place, *error.setting))
            raise RecipeError.of([mark.fault(str(error))]) from error

    def to_yaml(self) -> str:
        """The resolved, complete recipe; it runs again from anywhere."""
        return recipe_yaml(self.recipe)


def load_recipe(
    path: Path,
    registry: Registry,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    executor: str | None = None,
    flags: Dict[str, Any] = NO_FLAGS,
    permissions: Permissions = NO_PERMISSIONS,
) -> LoadedRecipe:
    """Read ``path`` with its parents, apply the overlays, and check everything.

    ``executor`` is the name of the one that runs the cells; another than the recipe's begins with its defaults, so that
    ``overrides``, which come next, can give it options. These are ``key.path=value`` of ``--set``, values in YAML.
    ``flags`` hold the values of ``k``, ``seeds``,
    ``methods`` (names of those that run) and ``arms``, and come last. Every profile is checked, chosen or not. Files
    that the recipe names lie below its folder, or below one that ``permissions`` allow.
    Raises :class:`RecipeError` with every fault found.
    """
    faults: list[Fault] = []
    files = read_chain(path, faults)
    if files is None:
        raise RecipeError.of(faults)
    validator = Validator(registry, permissions)
    base = _merged(None, [file.body for file in files], validator, faults)
    named = dict.fromkeys(name for file in files for name in file.profiles)
    profiles = {name: _profile(base, files, name, validator, faults) for name in named}
    if profile is not None and profile not in profiles:
        hint = nearest(profile, profiles) or "; the recipe has no profiles"
        faults.append(_flag("profile").fault(f"no profile is named {quoted(profile)}{hint}"))
    running = profiles.get(profile or "", base)
    if executor is not None:
        mark = _flag("executor")
        running = _merged(running, [_mapping(mark, executor=_mapping(mark, use=Scalar(mark, executor)))], validator, [])
    if overrides:  # the items of a default list can be addressed too
        running = _with_overrides(validator.completed(running), overrides, validator, faults)
    running = _with_flags(running, flags, faults)
    refused = load_own_plugins((base, *profiles.values(), running), registry, permissions)
    if refused:  # what the files declare would be unknown
        raise RecipeError.of([*faults, *refused])

    written = validator.check(base)
    domain = domain_of(written.tree)
    written_faults = frozenset(_all_faults(written, domain))
    for name, tree in profiles.items():
        if name != profile:
            found = _all_faults(validator.check(tree), domain)
            faults += _with_the_profile([each for each in found if each not in written_faults], files, name)
    checked = written if running is base else validator.check(running)
    found = _all_faults(checked, domain | domain_of(profiles.get(profile or "", base)))
    faults += [each for each in found if each in written_faults]
    new = [each for each in found if each not in written_faults]
    faults += new if profile is None else _with_the_profile(new, files, profile)
    if faults or checked.recipe is None:
        raise RecipeError.of(faults)
    cells = domain_of(checked.tree)
    expect = checked.recipe.expect
    return LoadedRecipe(
        recipe=checked.recipe.model_copy(
            update={"expect": [each for each in expect if cells.holds(each)], "plugins": plugin_paths(checked.tree)}
        ),
        written=written.recipe or checked.recipe,
        path=path,
        profile=profile,
        folder=files[-1].source.folder,
        not_run=[each for each in expect if not cells.holds(each)],
        tree=checked.tree,
        profiles=tuple(profiles),
        flags=tuple(_as_flags(profile, executor, overrides, flags)),
    )


def _as_flags(
    profile: str | None, executor: str | None, overrides: Sequence[str], flags: Dict[str, Any]
) -> Iterator[str]:
    yield from () if profile is None else ("--profile", profile)
    yield from () if executor is None else ("--executor", executor)
    for each in overrides:
        yield from ("--set", each)
    for name, value in flags.items():
        yield from (f"--{name}", value if isinstance(value, str) else ",".join(map(str, value)))


def _merged(base: Mapping | None, overlays: Sequence[Mapping], validator: Validator, faults: list[Fault]) -> Mapping:
    tree: Node | None = base
    for overlay in overlays:
        listed = overlay.get("arms")
        if isinstance(listed, Items):
            known = _known_arms(listed, tree, faults)
            entries = {key: entry for key, entry in overlay.entries.items() if key != "arms"}
            if known is not None:
                entries["arms"] = Entry(overlay.entries["arms"].key, known)
            overlay = Mapping(overlay.mark, entries, broken=overlay.broken)
        tree = merge(tree, overlay, (), validator.alternatives)
    assert isinstance(tree, Mapping)
    return tree


def _known_arms(listed: Items, tree: Node | None, faults: list[Fault]) -> Items | None:
    """The list without the names that mean no arm, and a fault for each; None where that leaves nothing."""
    below = tree.get("arms") if isinstance(tree, Mapping) else None
    names = {*(below.entries if isinstance(below, Mapping) else ()), *SPELLED_OUT}
    unknown = [item for item in listed.items if (name := text_of(item)) is not None and name not in names]
    faults += [
        item.mark.fault(f"no arm is named {quoted(str(text_of(item)))}{nearest(str(text_of(item)), names)}")
        for item in unknown
    ]
    left = tuple(item for item in listed.items if item not in unknown)
    return Items(listed.mark, left) if left or not unknown else None


def _profile(
    base: Mapping, files: Sequence[RecipeFile], name: str, validator: Validator, faults: list[Fault]
) -> Mapping:
    """The recipe under a profile: a parent's profile of that name first, the file's own on top."""
    return _merged(base, [file.profiles[name] for file in files if name in file.profiles], validator, faults)


def _all_faults(checked: Checked, domain: Domain) -> list[Fault]:
    """The faults of grammar and options, and those of the whole; expectations may be about ``domain`` too."""
    return checked.faults + check_sense(checked.tree, checked.options, domain | domain_of(checked.tree))


def _with_the_profile(faults: Sequence[Fault], files: Sequence[RecipeFile], name: str) -> list[Fault]:
    """Faults that occur only under a profile; one at a place outside the profile says so."""
    own = {
        (mark.source.shown, mark.line, mark.column)
        for file in files
        if name in file.profiles
        for mark in marks(file.profiles[name])
    }
    return [
        fault
        if fault.line is None or (fault.file, fault.line, fault.column) in own
        else replace(fault, sentence=f"{fault.sentence} (with the profile {quoted(name)})")
        for fault in faults
    ]


def _flag(name: str) -> Mark:
    return Mark(Source(f"--{name}", Path.cwd(), flag=True))


def _mapping(mark: Mark, **nodes: Node) -> Mapping:
    return Mapping(mark, {key: Entry(mark, node) for key, node in nodes.items()})


def _with_overrides(tree: Mapping, overrides: Sequence[str], validator: Validator, faults: list[Fault]) -> Mapping:
    for text in overrides:
        mark = _flag(f"set {shortened(text, 60)}")
        path, equals, value = text.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys):
            faults.append(mark.fault("write it as `key.path=value`"))
            continue
        if len(keys) > DEEPEST:
            faults.append(mark.fault(f"leads more than {DEEPEST} levels deep"))
            continue
        if keys[0] in OWN_KEYS:
            faults.append(mark.fault(f"`{keys[0]}` belongs in a file and cannot be set"))
            continue
        node = read_value(value, mark.source, faults)
        if keys == ["arms"] and isinstance(node, Items):
            node = _known_arms(node, tree, faults)
        if node is None:
            continue
        try:
            changed = set_at(tree, keys, node, (), validator.alternatives)
        except LookupError as error:
            faults.append(mark.fault(str(error.args[0])))
            continue
        assert isinstance(changed, Mapping)
        tree = changed
    return tree


def _with_flags(tree: Mapping, flags: Dict[str, Any], faults: list[Fault]) -> Mapping:
    for name, value in flags.items():
        mark = _flag(name)
        node = from_plain(value, mark)
        if name == "methods":
            node = _chosen_methods(tree, value, mark, faults)
        if name == "arms":
            node = _chosen_arms(tree, node, faults)
        tree = Mapping(tree.mark, {**tree.entries, name: Entry(mark, node)}, broken=tree.broken)
    return tree


def _chosen_arms(tree: Mapping, names: Node, faults: list[Fault]) -> Node:
    """The arms of these names; a list where the recipe has a list, so that its cells stay the same."""
    defined = tree.get("arms")
    known = _known_arms(names, tree, faults) if isinstance(names, Items) else names
    if known is None:
        return defined if defined is not None else from_plain(list(DEFAULT_ARMS), names.mark)
    return arms_chosen(known, defined) if isinstance(defined, Mapping) else known


def _chosen_methods(tree: Mapping, names: Sequence[str], mark: Mark, faults: list[Fault]) -> Node:
    methods = tree.get("methods")
    if not isinstance(methods, Mapping):
        return methods if methods is not None else from_plain(None, mark)
    for name in names:
        if name not in methods.entries:
            faults.append(mark.fault(f"no method is named {quoted(name)}{nearest(name, methods.entries)}"))
    if not names:
        faults.append(mark.fault("names no method"))
    chosen = {name: entry for name, entry in methods.entries.items() if name in names}
    return Mapping(methods.mark, chosen or methods.entries)

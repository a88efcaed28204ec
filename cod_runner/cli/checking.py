"""``codrun plugins NAME --check``: a component's contract, tried on toy data."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from cod_runner.api import Component
from cod_runner.cli.listing import chosen_plugins
from cod_runner.errors import CodrunError, PluginError, RecipeError
from cod_runner.local_plugins import LocalFile
from cod_runner.plain_text import one_line
from cod_runner.registry import Registry


@dataclass(frozen=True)
class Checked:
    """What came of one component's check."""

    kind: str
    name: str
    source: str
    """Its package and version."""
    kept: Sequence[str]
    """What was checked and holds, in the contract's words; empty where something does not."""
    wrong: str | None
    """One sentence, where it breaks its contract."""
    unchecked: str | None = None
    """One sentence, where nothing can be said of it: it cannot be built without options, say."""


def check_plugins(registry: Registry, name: str, settings: Sequence[str]) -> list[Checked]:
    """Check the component, or every component of the plugin, called ``name``, or those of the file ``NAME.py``.

    ``settings`` are options, ``KEY=VALUE`` with the value in YAML. Raises :class:`PluginError` where there is none of
    that name, or where the plugin is broken.
    """
    if name.endswith(".py"):  # who names a file of code on the command line wants it to run
        plugin = registry.register_file(Path(name).absolute())
        if plugin.fault is not None:
            raise PluginError(f"{name} cannot be loaded: {plugin.fault}")
        chosen = [(plugin, plugin.components)]
    else:
        chosen = chosen_plugins(registry, name)
    broken = next((plugin for plugin, _ in chosen if plugin.fault), None)
    if broken is not None:
        raise PluginError(f"the plugin `{broken.name}` of {broken.distribution} is broken: {broken.fault}")
    components = [component for _, components in chosen for component in components]
    if not components:
        raise PluginError(f"`{name}` declares no component, so there is nothing to check")
    if settings and len(components) > 1:
        raise RecipeError(f"--set: `{name}` is {len(components)} components; name one of them")
    options = _options(settings)
    with _importable(registry.local_files):
        return [_checked(registry, component, options) for component in components]


@contextmanager
def _importable(files: Sequence[LocalFile]) -> Iterator[None]:
    """For the process in which a check asks options: it imports their module."""
    former = list(sys.path)
    sys.path += [str(file.path.parent) for file in files]
    try:
        yield
    finally:
        sys.path[:] = former


def _checked(registry: Registry, component: Component, options: dict[str, Any]) -> Checked:
    from cod_runner.testing.checks import check_component  # imports torch
    from cod_runner.testing.checks.subject import NoToySuits

    named = registry.named(component.kind, component.name)
    source = named.partition("(")[2].removesuffix(")")
    kept: list[str] = []
    unchecked: str | None = None
    wrong = registry.unresolved(component)
    if wrong is None:
        try:
            kept = check_component(component, options)
        except AssertionError as error:
            raised = error.__cause__
            where = registry.own_line(component.kind, component.name, raised) if raised is not None else ""
            wrong = one_line(f"{error}{where}")
        except NoToySuits as error:
            unchecked = one_line(str(error))
        except CodrunError as error:
            cure = "" if options else "; give it options with `--set KEY=VALUE`"
            unchecked = one_line(f"{error}{cure}")
    return Checked(component.kind, component.name, source, tuple(kept), wrong, unchecked)


def _options(settings: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {setting}: write KEY=VALUE")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {setting}: what follows `=` is not YAML") from error
        # a file is the user's, and the check has a folder of its own
        is_file = isinstance(read, str) and Path(read).is_file()
        options[key.strip()] = str(Path(read).absolute()) if is_file else read
    return options


def checks_json(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """As plain data."""
    return [asdict(each) for each in checked]


def show_checks(console: Console, checked: Sequence[Checked]) -> None:
    """What holds, component by component."""
    for each in checked:
        if each.wrong is None and each.unchecked is None:
            named = one_line(f"{each.kind} {each.name}")
            console.print(Text.assemble((named, "bold"), f" ({one_line(each.source)}) keeps its contract on toy data:"))
            for clause in each.kept:
                console.print(Text(f"  {one_line(clause)}"))


def raise_if_wrong(checked: Sequence[Checked]) -> None:
    """Raise :class:`CodrunError` with the sentence of each component that does not keep its contract, or of which
    nothing can be said."""
    wrong = [each.wrong for each in checked if each.wrong is not None]
    unchecked = [each.unchecked for each in checked if each.unchecked is not None]
    if not wrong and not unchecked:
        return
    if len(checked) == 1:
        raise CodrunError("; ".join(wrong + unchecked))
    told = []
    if wrong:
        verb = "does not keep its contract" if len(wrong) == 1 else "do not keep their contract"
        told.append(f"{len(wrong)} of {len(checked)} components {verb}: {'; '.join(wrong)}")
    if unchecked:
        told.append(f"{len(unchecked)} of {len(checked)} components could not be checked: {'; '.join(unchecked)}")
    raise CodrunError("; ".join(told))

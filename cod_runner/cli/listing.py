"""What ``codrun plugins`` shows: every plugin, where it comes from, and the options of its components."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cod_runner.api import KINDS, Component
from cod_runner.cli.option_types import described
from cod_runner.errors import PluginError
from cod_runner.plain_text import one_line
from cod_runner.registry import Plugin, Registry


def plugins_json(registry: Registry, name: str | None = None) -> list[dict[str, Any]]:
    """Every plugin as plain data; with ``name`` only that plugin, or only the components of that name."""
    return [
        {
            "plugin": plugin.name,
            "module": plugin.module,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "fault": plugin.fault,
            "components": [
                {
                    "kind": component.kind,
                    "name": component.name,
                    "summary": component.summary,
                    "options": _schema(component),
                }
                for component in components
            ],
        }
        for plugin, components in chosen_plugins(registry, name)
    ]


def _schema(component: Component) -> dict[str, Any]:
    try:
        return component.options.model_json_schema()
    except PydanticInvalidForJsonSchema:  # an option of a type that JSON Schema cannot express
        return {"properties": {name: {} for name in component.options.model_fields}}


def show_plugins(console: Console, registry: Registry, name: str | None = None) -> None:
    """A table of all plugins, or one component with each of its options."""
    chosen = chosen_plugins(registry, name)
    table = Table("kind", "name", "plugin", "from", "what it does", box=None, header_style="bold", pad_edge=False)
    rows = [(component, plugin) for plugin, components in chosen for component in components]
    for component, plugin in sorted(rows, key=lambda row: (KINDS.index(row[0].kind), row[0].name)):
        source = f"{plugin.distribution} {plugin.version}"
        table.add_row(
            component.kind,
            Text(one_line(component.name), "bold"),
            *(Text(one_line(told)) for told in (plugin.name, source, component.summary)),
        )
    for plugin, _ in chosen:
        if plugin.fault:
            table.add_row(
                Text("broken", "red"),
                "",
                Text(one_line(plugin.name)),
                Text(one_line(plugin.distribution)),
                Text(one_line(plugin.fault), "red"),
            )
    console.print(table)
    if name is not None:
        for component, _ in rows:
            console.print()
            _show_options(console, component)


def chosen_plugins(registry: Registry, name: str | None) -> list[tuple[Plugin, list[Component]]]:
    """Every plugin with its components; with ``name`` that plugin, or the components of that name.

    Raises :class:`PluginError` where there is neither.
    """
    if name is None:
        return [(plugin, plugin.components) for plugin in registry.plugins]
    chosen = []
    for plugin in registry.plugins:
        if plugin.name == name:
            chosen.append((plugin, plugin.components))
        elif named := [component for component in plugin.components if component.name == name]:
            chosen.append((plugin, named))
    if not chosen:
        near = _near(registry, name)
        hint = f"did you mean {' or '.join(f'`{each}`' for each in near)}?" if near else "`codrun plugins` lists them"
        raise PluginError(f"no plugin and no component is named `{name}`; {hint}")
    return chosen


def _near(registry: Registry, name: str) -> list[str]:
    """Up to three names like this one, or else of what is described with it: `cosin` stands for `similarity`, say."""
    components = [component for plugin in registry.plugins for component in plugin.components]
    known = {plugin.name for plugin in registry.plugins} | {component.name for component in components}
    described = [each.name for each in components if len(name) > 3 and name.lower() in each.summary.lower()]
    return difflib.get_close_matches(name, sorted(known), 3) or described[:3]


def _show_options(console: Console, component: Component) -> None:
    console.print(
        Text.assemble((one_line(f"{component.kind} {component.name}"), "bold"), one_line(_column_of(component)))
    )
    if not component.options.model_fields:
        console.print("  no options")
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("option", no_wrap=True)
    for column in ("type", "default", "meaning"):
        table.add_column(column)
    for option in described(component.options):
        told = (f"  {option.name}", option.type, option.default, option.meaning)
        table.add_row(*(Text(one_line(each)) for each in told))
    console.print(table)


def _column_of(component: Component) -> str:
    """For a metric: what reports call it."""
    if component.kind != "metric":
        return ""
    return f": {component.title or component.name}{'' if component.higher_is_better else ' (lower is better)'}"

"""The public signatures change together with the version of the plugin API, and a plugin can ask for a version."""

from __future__ import annotations

from typing import Any

import pytest
from public_api import changes, public_api, written

from cod_runner.api import API_VERSION, Component, Options, hookimpl
from cod_runner.api.version import unmet_requirement
from cod_runner.registry import Registry

REWRITE = "then run `python tests/cod_runner/api/public_api.py`, which writes public_api.txt anew"


def complaint(before: list[str], now: list[str], then: tuple[int, int], version: tuple[int, int]) -> str:
    """What is to be done about the differences between two lists of signatures; "" where nothing is."""
    changed, added = changes(before, now)
    if changed and version[0] <= then[0]:
        listed = "\n  ".join(changed)
        return (
            f"public signatures have changed, so raise MAJOR of API_VERSION (cod_runner/api/version.py) to "
            f"{then[0] + 1}.0, {REWRITE}; a plugin written for {then[0]}.{then[1]} may break on:\n  {listed}"
        )
    if added and version <= then:
        listed = "\n  ".join(added)
        return (
            f"public signatures were added, so raise MINOR of API_VERSION (cod_runner/api/version.py) to "
            f"{then[0]}.{then[1] + 1}, {REWRITE}:\n  {listed}"
        )
    if changed or added or version != then:
        return f"API_VERSION is {version[0]}.{version[1]} and public_api.txt is of {then[0]}.{then[1]}: {REWRITE}"
    return ""


def test_signatures_only_change_together_with_the_version() -> None:
    then, lines = written()
    found = complaint(lines, public_api(), then, API_VERSION)
    assert not found, found


BEFORE = ["class Loss", "Loss.bind()", "class Notes", "Notes.text: str  [1]", "read()", "read(0 path: Path)"]


@pytest.mark.parametrize(
    ("removed", "added", "raise_to"),
    [
        ("", "read(1 limit: int = 5)", "MINOR of API_VERSION (cod_runner/api/version.py) to 1.4"),
        ("", "Notes.author: str = ''  [2]", "to 1.4"),
        ("", "write()", "to 1.4"),
        ("", "hook codrun_later(1 row: Row)", "to 1.4"),
        ("", "read(1 limit: int)", "MAJOR of API_VERSION (cod_runner/api/version.py) to 2.0"),
        ("", "Notes.author: str  [2]", "to 2.0"),
        ("", "Loss.unbind()", "to 2.0"),
        ("read(0 path: Path)", "read(0 path: str)", "to 2.0"),
        ("Notes.text: str  [1]", "", "to 2.0"),
    ],
)
def test_what_is_added_raises_minor_and_what_is_changed_major(removed: str, added: str, raise_to: str) -> None:
    now = [line for line in [*BEFORE, added] if line not in (removed, "")]
    said = complaint(BEFORE, now, (1, 3), (1, 3))
    assert raise_to in said and (added or removed) in said
    assert complaint(BEFORE, now, (1, 3), (2, 0)) == f"API_VERSION is 2.0 and public_api.txt is of 1.3: {REWRITE}"
    assert complaint(BEFORE, BEFORE, (1, 3), (1, 3)) == ""


def test_versions_that_a_plugin_may_ask_for() -> None:
    major, minor = API_VERSION
    assert unmet_requirement(f"{major}.{minor}") is None
    assert unmet_requirement(f"{major}.0") is None
    here = f"and this codrun has {major}.{minor}; update"
    newer = f"it needs version {major}.{minor + 1} of the plugin API, {here} codrun"
    assert unmet_requirement(f"{major}.{minor + 1}") == newer
    assert unmet_requirement(f"{major + 1}.0") == f"it needs version {major + 1}.0 of the plugin API, {here} codrun"
    assert unmet_requirement(f"{major - 1}.7") == f"it needs version {major - 1}.7 of the plugin API, {here} the plugin"


@pytest.mark.parametrize("asked", ["1", "one", "1.0.0", 1.0, (1, 0), "", "1.x", "9" * 5000 + ".0"])
def test_what_is_no_version_is_said(asked: Any) -> None:
    said = unmet_requirement(asked)
    assert said is not None and said.startswith("it has `codrun_api = ")
    assert said.endswith('which is no version of the plugin API, such as `"1.0"`') and len(said) < 150


class Asking:
    """A plugin with a metric."""

    def __init__(self, version: object) -> None:
        self.codrun_api = version

    @hookimpl
    def codrun_components(self) -> list[Component]:
        return [Component("metric", "mine", Options, "mine:Mine", "a metric")]


def test_a_plugin_for_another_version_is_skipped_and_named() -> None:
    registry = Registry()
    registry.register("newer", "newer.plugin", lambda: Asking("2.0"), "newer-plugin", "0.1")
    assert registry.names("metric") == []
    assert registry.warnings == [
        "plugin `newer` of newer-plugin (newer.plugin) is broken and was skipped: PluginError: it needs version 2.0 of "
        "the plugin API, and this codrun has 1.0; update codrun"
    ]


def test_a_plugin_for_this_version_or_none_is_loaded() -> None:
    for plugin in (Asking("1.0"), Asking(None)):
        registry = Registry()
        registry.register("fits", "fits.plugin", lambda plugin=plugin: plugin)
        assert registry.warnings == []
    assert registry.names("metric") == ["mine"]

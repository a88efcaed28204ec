"""What strangers name reaches a terminal as text: plugins, folders, recipes, arguments."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict
from rich.console import Console
from rich.text import Text

from cod_runner.api import Component, Options, hookimpl
from cod_runner.cli import call
from cod_runner.counterfactuals.quality import Quality
from cod_runner.counterfactuals.show import show_pairs
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.terminal import Terminal

ROOT = Path(__file__).parents[3]
QUICKSTART = str(ROOT / "recipes" / "quickstart.yaml")
MARKUP = ("[/red]", "[bold]b[/bold]", "[link=http://host]x[/link]", "[x", ":warning:", "\\[/red]\\")
CONTROL = (
    "\x1b[2J\x1b[31m", "\x9b31m", "\u202egnp.exe", "\u2066a", "\u200fa", "a\nerror: forged", "a\rb", "\x07", "\udc80",
)  # fmt: skip
ODD = ("[/red]", "\x1b[2J", "\u202ea", "a\nerror: forged", "\udc80", "\0", "n" * 300, "n/" * 3000, "~nouser/x", "")
INSTALLED = Registry.discover()


class NoOptions(Options):
    pass


def plugin_that(**said: Any) -> object:
    class Plugin:
        @hookimpl
        def codrun_components(self) -> list[Component]:
            return [Component(**{"kind": "loss", "name": "odd", "options": NoOptions, "build": "m:A", **said})]

    return Plugin()


@pytest.fixture
def with_plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the command line find one plugin, and another that breaks with a message of its own."""

    def install(text: str) -> None:
        def broken() -> object:
            raise ValueError(text)

        registry = Registry()
        registry.register("odd", "odd.plugin", lambda: plugin_that(summary=text), text, "1")
        registry.register("broken", "broken.plugin", broken, text, "1")
        monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: registry))

    return install


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


def harmless(printed: str) -> bool:
    printed.encode()
    return not any(character in printed for character in "\x1b\x9b\u202e\u2066\u200f\r\x07") and (
        "\nerror: forged" not in printed
    )


@pytest.mark.parametrize("text", [*MARKUP, *CONTROL], ids=ascii)
def test_a_plugin_s_words_are_text(
    text: str, with_plugin: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with_plugin(text)
    assert call(["plugins"]) == 0
    assert call(["plugins", "odd"]) == 0
    assert call(["plugins", text]) == 2
    printed = capsys.readouterr()
    assert harmless(printed.out + printed.err)
    if text in MARKUP:
        assert text in printed.out
        assert text in printed.err
    assert call(["plugins", "--json"]) == 0
    listed = capsys.readouterr().out
    assert harmless(listed)
    assert json.loads(listed)[0]["components"][0]["summary"] == text


@pytest.mark.parametrize("said", [{"summary": None}, {"name": ""}, {"name": 3}, {"title": b"x"}], ids=str)
def test_a_plugin_without_words_is_broken(said: dict[str, str]) -> None:
    registry = Registry()
    fault = registry.register("odd", "odd.plugin", lambda: plugin_that(**{"summary": "s", **said})).fault
    assert fault is not None
    assert "must be texts" in fault


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize("error", [Mute(), ValueError("x" * 1_000_000)], ids=["mute", "endless"])
def test_an_error_of_a_plugin_takes_nothing_down(error: Exception) -> None:
    def broken() -> object:
        raise error

    fault = Registry().register("odd", "odd.plugin", broken).fault
    assert fault is not None
    assert fault.startswith(type(error).__name__)
    assert len(fault) < 600


def test_options_without_a_json_schema_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class OddOptions(Options):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        odd: Registry | None = None

    registry = Registry()
    assert registry.register("odd", "odd.plugin", lambda: plugin_that(summary="s", options=OddOptions)).fault is None
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: registry))
    assert call(["plugins", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["components"][0]["options"] == {"properties": {"odd": {}}}


@pytest.mark.parametrize("text", [*MARKUP, *CONTROL], ids=ascii)
def test_the_run_s_folder_is_text(text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(["plan", QUICKSTART, "--out", str(tmp_path / text)]) == 0
    printed = capsys.readouterr()
    assert harmless(printed.out + printed.err)
    if text in MARKUP:
        assert f"quickstart -> {tmp_path / text}" in printed.out
    assert call(["plan", QUICKSTART, "--out", str(tmp_path / text), "--json"]) == 0
    listed = capsys.readouterr().out
    assert harmless(listed)
    assert json.loads(listed)["folder"] == str(tmp_path / text)


@pytest.mark.parametrize(
    "arguments",
    [["validate", "?"], ["plan", "?"], ["report", "?"], ["compare", "?", "?"], ["new", "recipe", "?"],
     ["new", "plugin", "?", "--kind", "loss"], ["new", "plugin", "x", "--kind", "?"], ["plugins", "?"],
     ["plan", QUICKSTART, "--k", "?"], ["plan", QUICKSTART, "--seeds", "?"], ["plan", QUICKSTART, "--methods", "?"],
     ["plan", QUICKSTART, "--arms", "?"], ["plan", QUICKSTART, "--profile", "?"], ["plan", QUICKSTART, "--set", "?"],
     ["plan", QUICKSTART, "--set", "name=?"], ["plan", QUICKSTART, "--set", "k=?"], ["?"], ["--?"]],
    ids=lambda arguments: " ".join(each for each in arguments if each != QUICKSTART),
)  # fmt: skip
def test_an_odd_argument_is_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: INSTALLED))
    for text in ODD:
        code = call([each.replace("?", text) for each in arguments])
        printed = capsys.readouterr()
        assert code in (1, 2) or text in ("", "~nouser/x")
        assert harmless(printed.out + printed.err)
        assert "Traceback" not in printed.err


@pytest.mark.parametrize("digits", ["9" * 299 + "2", "9" * 5000])
@pytest.mark.parametrize("flag", ["--k", "--seeds"])
def test_a_number_of_many_digits_is_a_sentence(flag: str, digits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plan", QUICKSTART, flag, digits]) in (0, 2)
    printed = capsys.readouterr()
    assert len(printed.err) < 1000


@pytest.mark.parametrize("out", ["", " ", "/dev/null", "file", "file/x", "n" * 300, "n/" * 3000, "a\0b", "fifo"])
def test_a_place_that_can_be_no_folder_is_refused(
    out: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: INSTALLED))
    Path("file").write_text("")
    os.mkfifo("fifo")
    for command in ("plan", "run", "cfes"):
        assert call([command, QUICKSTART, "--out", out]) == 2
        said = capsys.readouterr().err
        assert "Invalid value for '--out'" in said
        assert "Traceback" not in said
        assert len(said) < 500
    assert sorted(path.name for path in Path().iterdir()) == ["fifo", "file"]


def test_an_unwritable_place_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", QUICKSTART, "--out", "/proc/none/x"]) == 1
    assert "cannot be created" in capsys.readouterr().err


@pytest.mark.parametrize("text", [*MARKUP, *CONTROL], ids=ascii)
def test_a_run_s_words_are_text(text: str) -> None:
    for terminal in (False, True):
        out = io.StringIO()
        progress = Progress(Terminal(file=out, force_terminal=terminal, color_system=None, width=400))
        progress.say(text)
        progress.warn(text)
        with progress.bar(text) as step:
            step(1, 2)
        assert "\x1b[2J" not in out.getvalue()
        assert terminal or harmless(out.getvalue())
        if text in MARKUP:
            assert out.getvalue().count(text) >= 2
        assert progress.notes == [text]


@pytest.mark.parametrize("text", [*MARKUP, *CONTROL], ids=ascii)
def test_a_run_s_words_are_text_in_anybodys_log(text: str) -> None:
    """Whoever calls codrun from Python may send the log of `codrun` to a terminal; without a handler Python does."""
    log = logging.getLogger("codrun")
    handler = logging.StreamHandler(io.StringIO())
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        progress = Progress(Terminal(file=io.StringIO()), quiet=True)
        progress.say(text)
        progress.warn(text)
        progress.caution(text)
        progress.pass_on(f"a warning: {text}")
        with progress.stage(text), progress.bar(text):
            pass
        assert call(["plugins", text]) == 2
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    said = handler.stream.getvalue()
    assert said.count("\n") == 7
    assert harmless(said)


@pytest.mark.parametrize("text", [*MARKUP, *CONTROL], ids=ascii)
def test_a_pair_s_words_are_text(text: str) -> None:
    line = {
        "source_id": text, "original": text, "counterfactual": f"not {text}", "generator": text, "edits": 1,
        "teacher_before": [0.1, 0.9], "teacher_after": [0.9, 0.1], "verified": False, "reasons": {text: 1},
    }  # fmt: skip
    out = io.StringIO()
    console = Console(file=out, width=400)  # any console, not only our own
    show_pairs(console, [line, {**line, "counterfactual": None}], [text, "b"], [Quality(text, 0.5, 1.0)])
    printed = out.getvalue().replace("a\nerror: forged", "")  # a text of several lines is shown on several
    assert harmless(printed)
    if text in MARKUP and "[" not in text[1:]:
        assert out.getvalue().count(text) >= 4


def test_a_terminal_takes_colour_from_styles_alone() -> None:
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, color_system="standard", width=80)
    console.print(Text("red", "red"), "[red]not[/red] :smile: \x1b[2J")
    assert out.getvalue() == "\x1b[31mred\x1b[0m [red]not[/red] :smile: \\x1b[2J\n"

"""Trackers that fail are named once and stop nothing; those that the recipe does not suit stop the run at its start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import create_model

from cod_runner import running
from cod_runner.api import BuildContext, CodrunError, Component, Options, SettingError, hookimpl
from cod_runner.blame import shown
from cod_runner.context import RunSettings
from cod_runner.errors import RecipeError
from cod_runner.hookspecs import Hooks
from cod_runner.observers import Observers
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

HOOKS = sorted(name for name in vars(Hooks) if name.startswith("codrun_") and name != "codrun_components")
RECIPE = """
recipe: 1
name: watched
dataset: {use: moons, n: 100, validation: 20}
k: [4]
seeds: [0]
teacher: {use: mlp, hidden: [8], finetune: {steps: 30, lr: 0.05, batch_size: 32}}
student: {use: mlp, hidden: [4]}
methods: {kd: [hard, {use: kd, weight: 2}]}
arms: [plain]
train: {steps: 3, lr: 0.01}
"""
GONE = "; it observes no longer, the run goes on"


class Everywhere:
    """Every hook leads to ``met``."""

    def met(self, hook: str) -> None:
        raise NotImplementedError


def _leading(hook: str) -> Callable[[Everywhere], None]:
    def called(self: Everywhere) -> None:
        self.met(hook)

    return hookimpl(called)  # type: ignore[no-any-return]


for _hook in HOOKS:
    setattr(Everywhere, _hook, _leading(_hook))


class Witness(Everywhere):
    """Remembers its hooks."""

    seen: ClassVar[list[str]] = []

    def __init__(self, options: Options, context: BuildContext) -> None:
        pass

    def met(self, hook: str) -> None:
        self.seen.append(hook)


class Failing(Everywhere):
    """Raises ``error`` in the hook that its options name, or when it is built."""

    error: ClassVar[BaseException] = ValueError()
    seen: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.place = options.place
        self.met("build")

    def met(self, hook: str) -> None:
        self.seen.append((self.place, hook))
        if hook == self.place:
            raise self.error


class Misspelt:
    def __init__(self, options: Options, context: BuildContext) -> None:
        pass

    @hookimpl
    def codrun_cell_finnished(self, row: Any) -> None: ...


def without_hooks(options: Options, context: BuildContext) -> object:
    return object()


class Plugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        for place in ("build", *HOOKS):
            options = create_model("FailingOptions", __base__=Options, place=(str, place))
            yield Component("tracker", f"fails_in_{place}", options, f"{__name__}:Failing", "fails")
        yield Component("tracker", "witness", Options, f"{__name__}:Witness", "sees")
        yield Component("tracker", "nothing", Options, f"{__name__}:without_hooks", "none of its methods is a hook")
        yield Component("tracker", "misspelt", Options, f"{__name__}:Misspelt", "one of them is no hook")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    for observer in (Witness, Failing):
        monkeypatch.setattr(observer, "seen", [])
    registry = Registry.discover()
    registry.register("own", __name__, Plugin, "own-package", "1.2")
    return registry


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, error: BaseException, *places: str
) -> tuple[running.RunResult, list[str]]:
    """The run, and what it says of trackers."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setattr(Failing, "error", error)
    path = tmp_path / "watched.yaml"
    trackers = ", ".join(["witness", *(f"fails_in_{place}" for place in places)])
    path.write_text(f"{RECIPE}trackers: [{trackers}]\n")
    loaded = load_recipe(path, registry)
    progress = Progress(quiet=True)
    with loaded.pointing():
        result = running.run(loaded, registry, RunSettings(out=tmp_path / "run", jobs=1), progress)
    return result, [note for note in progress.notes if "the tracker" in note]


def test_those_that_raise_are_named_once_and_called_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    places = ("build", *HOOKS)
    result, said = run(tmp_path, monkeypatch, registry, ValueError("two\nlines"), *places)
    at = f"{shown(__file__)}:{_line_of('raise self.error')} in met"
    for place in places:
        named = f"the tracker `fails_in_{place}` (own-package 1.2)"
        assert said.count(f"{named} raised ValueError: two lines, at {at}{GONE}") == 1
        calls = [hook for failing, hook in Failing.seen if failing == place]
        assert calls[-1] == place and calls.count(place) == 1
    assert len(said) == len(places)
    assert set(Witness.seen) == set(HOOKS), "the others are called all the same"
    assert [row["steps"] for row in map(json.loads, result.folder.cells.read_text().splitlines())] == [3]
    assert "raise self.error" in result.folder.log.read_text(), "the traceback"


def _line_of(text: str) -> int:
    return next(number for number, line in enumerate(Path(__file__).read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(3), "raised SystemExit: 3, at "),
        (KeyError(), "raised KeyError, at "),
        (CodrunError("the disk of the tracker is full"), f"failed: the disk of the tracker is full{GONE}"),
    ],
)
def test_what_it_raises_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, error: BaseException, told: str
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    said: list[str] = []
    observers = Observers(registry, said.append)
    observers.build("fails_in_codrun_cell_finished", {}, BuildContext())
    observers.notify("codrun_cell_finished", row={})
    (sentence,) = said
    assert sentence.startswith(f"the tracker `fails_in_codrun_cell_finished` (own-package 1.2) {told}")


@pytest.mark.parametrize("place", ["build", "codrun_run_started", "codrun_step"])
def test_an_unsuitable_recipe_ends_the_run_at_the_trackers_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, place: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        run(tmp_path, monkeypatch, registry, SettingError("this needs three dimensions"), place)
    assert str(caught.value) == f"{tmp_path / 'watched.yaml'}:12:21: this needs three dimensions"
    assert not (tmp_path / "run" / "cells.jsonl").exists()


def test_an_interruption_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monkeypatch, registry, KeyboardInterrupt(), "codrun_step")


def test_an_object_without_hooks_is_named(registry: Registry) -> None:
    said: list[str] = []
    observers = Observers(registry, said.append)
    observers.build("nothing", {}, BuildContext())
    (sentence,) = said
    assert "raised TypeError: none of its methods is a hook of codrun that is marked with `@hookimpl`" in sentence


def test_a_misspelt_hook_is_named(registry: Registry) -> None:
    said: list[str] = []
    Observers(registry, said.append).build("misspelt", {}, BuildContext())
    (sentence,) = said
    assert "(own-package 1.2) raised PluginValidationError: " in sentence
    assert "codrun_cell_finnished" in sentence


def test_a_plugin_that_observes_every_run_is_guarded_too(registry: Registry) -> None:
    class Observing:
        @staticmethod
        @hookimpl
        def codrun_cell_finished(row: Any) -> None:
            raise OSError(5, "input/output error")

    said: list[str] = []
    registry.register("eager", __name__, lambda: Observing, "eager-package", "1")
    observers = Observers(registry, said.append)
    for _ in range(2):
        observers.notify("codrun_cell_finished", row={})
    (sentence,) = said
    assert sentence.startswith(
        f"the plugin `eager` (eager-package) raised OSError: [Errno 5] input/output error, at {shown(__file__)}:"
    )


def test_failures_in_workers_are_told_once_and_count_here_too(registry: Registry) -> None:
    elsewhere = [Observers(registry, lambda sentence: None) for _ in range(2)]
    for observers in elsewhere:
        observers.build("nothing", {}, BuildContext())
    said: list[str] = []
    here = Observers(registry, said.append)
    for observers in elsewhere:
        here.take(observers.failures.values())
    assert len(said) == 1
    assert set(here.failures) == {"nothing"}


WORKER_PLUGIN = """
from cod_runner.api import Component, Options, hookimpl

class Breaking:
    def __init__(self, options, context):
        pass

    @hookimpl
    def codrun_step(self, cell, step):
        raise RuntimeError("no steps today")

    @hookimpl
    def codrun_run_finished(self):
        raise RuntimeError("it is not called any more")

@hookimpl
def codrun_components():
    yield Component("tracker", "breaking", Options, "breaking_in_workers:Breaking", "fails where a cell trains")
"""


def test_one_that_fails_in_workers_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    (site / "breaking_in_workers-1.0.dist-info").mkdir(parents=True)
    (site / "breaking_in_workers.py").write_text(WORKER_PLUGIN)
    about = site / "breaking_in_workers-1.0.dist-info"
    about.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: breaking-in-workers\nVersion: 1.0\n")
    about.joinpath("entry_points.txt").write_text("[codrun]\nbreaking = breaking_in_workers\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    path = tmp_path / "watched.yaml"
    path.write_text(RECIPE.replace("[0]", "[0, 1]") + "trackers: [breaking]\n")
    registry = Registry.discover()
    progress = Progress()
    result = running.run(load_recipe(path, registry), registry, RunSettings(out=tmp_path / "run", jobs=2), progress)
    (said,) = [note for note in progress.notes if "the tracker" in note]
    line = WORKER_PLUGIN.splitlines().index('        raise RuntimeError("no steps today")') + 1
    assert said == (
        "the tracker `breaking` (breaking-in-workers 1.0) raised RuntimeError: no steps today, at "
        f"{site / 'breaking_in_workers.py'}:{line} in codrun_step{GONE}"
    )
    assert "Traceback" not in capsys.readouterr().err
    assert "Traceback" in result.folder.log.read_text()
    assert len(result.folder.cells.read_text().splitlines()) == 2
    curves = sorted(each.name for each in (tmp_path / "run" / "training").iterdir())
    assert curves == ["kd-plain-k4-s0.jsonl", "kd-plain-k4-s1.jsonl"], "the curves are there without it"

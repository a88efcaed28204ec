"""What a recipe cannot ask of a student that trains itself: one message each, at its line, before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cod_runner.api import Component, Options, hookimpl
from cod_runner.errors import RecipeError
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry

RECIPE = """\
recipe: 1
name: alone
dataset: {use: csv, path: data.csv, labels: [negative, positive]}
k: [8]
seeds: [0]
teacher: {use: transformers, model: /nowhere/big}
student: autodidact
counterfactuals: {generators: [word_dropout]}
methods:
  own: [hard]
arms:
  plain: {}
  cod: {add: flips}
train: {steps: 3}
"""


class AutodidactOptions(Options):
    def trains_itself(self) -> bool:
        return True


class Autodidact:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("student", "autodidact", AutodidactOptions, "never:built", "trains itself")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    found.register("autodidact", __name__, lambda: Autodidact)
    return found


@pytest.fixture
def found(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("text,label\n")

    def found(old: str = "", new: str = "") -> list[str]:
        assert RECIPE.count(old) == 1 or not old
        Path("r.yaml").write_text(RECIPE.replace(old, new) if old else RECIPE)
        try:
            load_recipe(Path("r.yaml"), registry)
        except RecipeError as error:
            return str(error).splitlines()
        return []

    return found


@pytest.mark.parametrize("losses", ["[hard]", "[{use: hard, label_smoothing: 0.1}]"])
def test_labels_alone_suit_it(found: Callable[..., list[str]], losses: str) -> None:
    assert found("[hard]", losses) == []


@pytest.mark.parametrize("loss", ["kd", "soft", "random_soft", "lwd", "pair"])
def test_every_other_loss_is_refused_at_its_line(found: Callable[..., list[str]], loss: str) -> None:
    (fault,) = found("[hard]", f"[hard, {loss}]")
    assert fault == (
        "r.yaml:10:15: the student `autodidact` trains itself on labels alone, so the loss "
        f"`{loss}` would not be used; remove it, or take one that reads labels alone"
    )


def test_texts_without_a_label_and_a_chosen_epoch_are_refused(found: Callable[..., list[str]]) -> None:
    (fault,) = found("{add: flips}", "{add: flips, unlabelled: {from: pool, rows: 5}}")
    assert fault.startswith("r.yaml:13:33: the student `autodidact` trains itself on labels alone, so texts without")
    (fault,) = found("train: {steps: 3}", "evaluate: {select: best_dev}")
    assert fault == ("r.yaml:14:20: the student `autodidact` trains itself, so no epoch of it can be chosen; remove it")

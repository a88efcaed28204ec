"""A registry of small components of this test set's own, and a recipe that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from cod_runner.api import Component, Options, PathOption, hookimpl
from cod_runner.errors import RecipeError
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.registry import Registry


class TableOptions(Options):
    path: PathOption = Field(description="the file")
    splits: dict[str, PathOption] = Field(default_factory=dict)
    text: str = "text"
    labels: tuple[str, ...] = ()
    values: dict[str, str | None] = Field(default_factory=dict)
    quote: str | None = '"'
    rows: int = Field(100, ge=1)

    @field_validator("labels")
    @classmethod
    def _differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("lists the same label twice")
        return value


class PresetOptions(Options):
    labels: tuple[str, ...] = ("negative", "positive")


class ModelOptions(Options):
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("model", "layers_from_teacher"),)

    model: str | None = None
    layers_from_teacher: list[int] | None = None
    max_length: int = 256

    @model_validator(mode="after")
    def _one(self) -> ModelOptions:
        if (self.model is None) == (self.layers_from_teacher is None):
            raise ValueError("give either `model` or `layers_from_teacher`")
        return self


class TemperatureOptions(Options):
    temperature: float = Field(1.0, gt=0)


class LayerPair(Options):
    teacher: int
    student: int


class LayerOptions(Options):
    layers: Literal["uniform", "last"] | int | list[LayerPair] = "uniform"
    pool: Literal["mean", "cls"] | None = None


class WordOptions(Options):
    words: PathOption | None = None
    candidates: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(default=[1])


class DropOptions(Options):
    share: float = Field(0.15, gt=0, lt=1)


class EncoderOptions(Options):
    encoder: str = "small"
    neighbours: int = 20


class BrittleOptions(Options):
    value: int = 0

    @field_validator("value")
    @classmethod
    def _divide(cls, value: int) -> int:
        return 1 // value


class NoOptions(Options):
    pass


DECLARED: list[tuple[Any, str, type[Options]]] = [
    ("dataset", "csv", TableOptions),
    ("dataset", "preset", PresetOptions),
    ("teacher", "transformers", ModelOptions),
    ("student", "transformers", ModelOptions),
    ("student", "tiny", NoOptions),
    ("generator", "lexicon", WordOptions),
    ("generator", "word_dropout", DropOptions),
    ("selector", "random", NoOptions),
    ("selector", "typical", EncoderOptions),
    ("chooser", "middle", NoOptions),
    ("loss", "hard", NoOptions),
    ("loss", "kd", TemperatureOptions),
    ("loss", "lwd", LayerOptions),
    ("loss", "brittle", BrittleOptions),
    ("executor", "processes", NoOptions),
    ("tracker", "log", NoOptions),
    *[("metric", name, NoOptions) for name in ("accuracy", "agreement", "kl", "ece", "f1")],
]


class SmallPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        for kind, name, options in DECLARED:
            yield Component(kind, name, options, build="nowhere:Nothing", summary=f"the {kind} {name}")


RECIPE = """\
recipe: 1
name: small
dataset: {use: csv, path: data.csv, labels: [negative, positive]}
k: [8, 16]
seeds: [0, 1]
teacher: {use: transformers, model: big}
student: {use: transformers, model: small}
counterfactuals: {generators: [lexicon]}
methods:
  kd: [hard, {use: kd, weight: 20, temperature: 2}]
  lwd: [hard, lwd]
"""
"""A valid recipe; tests change one line of it or add some."""


ARMS = """\
arms:
  plain: {}
  cod: {add: flips}
  near_miss: {add: misses}
  dropout: {add: {use: word_dropout}, keep: same}
  cod_2: {add: flips, per_original: 2}
  brackets: {add: [misses, flips]}
  unpaired: {add: flips, of: others}
  typical: {select: typical}
  typical_cod: {select: typical, add: flips}
  answers: {add: flips, unlabelled: {from: attempts, per_original: 8}}
  pool: {unlabelled: {from: pool, rows: 500}}
"""
"""Arms told in full, of every sort."""
TWELVES = RECIPE.replace("k: [8, 16]", "k: [12, 24]") + "train: {batch_size: 12}\n"
"""A recipe whose k and batches fill pairs and groups of three."""


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.register("small", "small.plugin", SmallPlugin)
    assert registry.warnings == []
    return registry


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write ``name`` below the working folder, which is a folder of this test's own."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return Path(name)

    return write


Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]


@pytest.fixture
def load(registry: Registry, write: Callable[..., Path]) -> Load:
    """Write a recipe and load it."""
    return lambda text=RECIPE, **given: load_recipe(write(text), registry, **given)


@pytest.fixture
def faults(load: Load) -> FaultLines:
    """The lines that a recipe's error prints."""

    def faults(text: str | bytes = RECIPE, **given: Any) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, **given)
        assert caught.value.exit_code == 2
        lines = str(caught.value).splitlines()
        assert lines == [str(fault) for fault in caught.value.faults]
        return lines

    return faults


@pytest.fixture
def recipe() -> str:
    return RECIPE


@pytest.fixture
def all_arms() -> str:
    """A valid recipe with arms of every sort."""
    return TWELVES + ARMS

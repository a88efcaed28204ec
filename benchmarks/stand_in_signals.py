"""Signals of a teacher that was never asked: random numbers of its true shape, on the disk as a run leaves them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from cod_runner.api import BuildContext, Classifier, Input, ModelShape
from cod_runner.engine.hidden_files import HiddenFiles
from cod_runner.engine.signals_file import SignalsFile, write_signals
from cod_runner.engine.teacher_signals import Said, TeacherSignals, input_key
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.sizes import read_layers, shapes


class _StandIns(TeacherSignals):
    """What a teacher could have said of each input."""

    def __init__(self, labels: tuple[str, ...], shape: ModelShape, hidden: HiddenFiles, words: dict[bytes, Said]):
        super().__init__(labels, shape, hidden)
        self._words = words

    def said(self, keys: Sequence[bytes]) -> list[Said]:
        return [self._words[key] for key in keys]


def stand_in_signals(
    recipe: Recipe, registry: Registry, labels: tuple[str, ...], inputs: Sequence[Input], folder: Path
) -> SignalsFile:
    """For a student of the recipe, whose tokens are taken for the teacher's; all inputs must have equally many. One
    file with the layers that the recipe's losses read lies under every input's name."""
    teacher, _ = shapes(recipe, registry)
    assert teacher is not None
    shape = ModelShape(teacher.shape.layers, teacher.shape.width, len(labels))
    student: Classifier = registry.build(
        "student", recipe.student.use, recipe.student.options, BuildContext(labels=labels)
    )
    encoded = student.encode(inputs)
    (tokens,) = {len(each.ids) for each in encoded}
    words = {
        input_key(value): Said(torch.randn(len(labels)), tuple(each.ids), 0)
        for value, each in zip(inputs, encoded, strict=True)
    }
    hidden = HiddenFiles(folder / "hidden")
    first, *others = words
    layers = set[int]().union(*(read_layers(recipe, method, registry) for method in recipe.methods))
    hidden.add(first, {layer: torch.randn(tokens, shape.width) for layer in layers}, within=hidden.folder)
    for key in others:
        hidden.path(key).parent.mkdir(parents=True, exist_ok=True)
        os.link(hidden.path(first), hidden.path(key))
    return write_signals(_StandIns(labels, shape, hidden, words), inputs, folder / "run" / ".signals")

"""Declares the loss `crd`; importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from cod_runner.api import Component, ModelShape, Needs, Options, hookimpl, layer_mapping


class CRDOptions(Options):
    """Tells the teacher's vector of a text from its vectors of other texts, by the student's."""

    layers: Literal["last"] | tuple[int, int] = Field(
        "last", description="last, or one pair [student layer, teacher layer], counted from 1"
    )
    pool: Literal["cls", "mean"] = Field(
        "cls", description="a text's vector: cls, where the classification head reads; mean, over its tokens"
    )
    negatives: Literal["other_class", "all"] = Field(
        "other_class", description="other_class: texts that the teacher reads as another class; all: all other texts"
    )
    dimensions: int = Field(128, ge=1, description="of the space in which the two are compared")
    temperature: float = Field(0.07, gt=0, description="similarities (cosines) are divided by it")
    learning_rate: float | None = Field(None, gt=0, description="of the two projections; absent: the student's")

    def mapping(self, teacher: ModelShape, student: ModelShape) -> tuple[int, int]:
        """(student layer, teacher layer); raises :class:`SettingError` where one does not exist."""
        pair = (student.layers, teacher.layers) if self.layers == "last" else self.layers
        return layer_mapping([pair], student.layers, teacher.layers, owner="crd's ")[0]

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        """Both sides of :meth:`mapping`."""
        ours, theirs = self.mapping(teacher, student)
        return Needs(teacher=(theirs,), student=(ours,))


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="loss",
        name="crd",
        options=CRDOptions,
        build="codrun_crd.loss:CRD",
        summary="contrastive representation distillation over the texts of the training set",
    )

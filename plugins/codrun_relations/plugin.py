"""Declares the loss `relations`; importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from cod_runner.api import Component, ModelShape, Needs, Options, SettingError, hookimpl, layer_mapping


class RelationsOptions(Options):
    """How a text's tokens relate to each other: the student's relations are pulled to the teacher's."""

    layers: Literal["last", "uniform"] | Annotated[list[tuple[NonNegativeInt, NonNegativeInt]], Field(min_length=1)] = (
        Field("last", description="last, uniform, or pairs [student layer, teacher layer], counted from 1")
    )
    heads: int = Field(8, ge=1, description="parts that hidden states are cut into; must divide both models' widths")

    def mapping(self, teacher: ModelShape, student: ModelShape) -> list[tuple[int, int]]:
        """(student layer, teacher layer) pairs; raises :class:`SettingError` where a layer does not exist."""
        if self.layers == "last":
            return [(student.layers, teacher.layers)]
        return layer_mapping(self.layers, student.layers, teacher.layers, owner="relations' ")

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        """Both sides of :meth:`mapping`; raises :class:`SettingError` where `heads` does not divide the widths."""
        if teacher.width % self.heads or student.width % self.heads:
            possible = [each for each in range(1, 65) if teacher.width % each == student.width % each == 0]
            raise SettingError(
                f"relations' `heads: {self.heads}` does not divide both widths, the teacher's {teacher.width} and the "
                f"student's {student.width}; take one of {', '.join(map(str, possible))}",
                "heads",
            )
        mapping = self.mapping(teacher, student)
        return Needs(teacher=tuple(theirs for _, theirs in mapping), student=tuple(ours for ours, _ in mapping))


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="loss",
        name="relations",
        options=RelationsOptions,
        build="codrun_relations.loss:Relations",
        summary="relations between a text's tokens, after MiniLM; needs no projection",
    )

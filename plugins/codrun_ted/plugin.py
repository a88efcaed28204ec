"""Declares the loss `ted`; importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from cod_runner.api import Component, ModelShape, Needs, Options, SettingError, hookimpl, layer_mapping


class TEDOptions(Options):
    """Task-aware filters on both sides, trained first; then the mean squared error between what they let through."""

    layers: Literal["uniform"] | list[tuple[int, int]] = Field(
        "uniform", description="uniform, or pairs [student layer, teacher layer], counted from 1"
    )
    interval: int = Field(
        1, ge=1, description="with `uniform`: a filter at every n-th student layer, counted back from the last"
    )
    filter: Literal["linear", "nonlinear"] = Field("linear", description="nonlinear: linear, GELU, linear")
    width: int | None = Field(None, ge=1, description="of what a filter lets through; absent: the teacher's width")
    filter_epochs: int = Field(50, ge=0, description="passes over the training set in which the filters learn the task")
    filter_lr: float = Field(2.0e-5, gt=0, description="learning rate of those passes")
    pool: Literal["none", "mean", "cls"] = Field(
        "none", description="none: every real token; mean or cls: one vector per text, for unlike tokenizers"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="of the student's filters while it distils; absent: the student's"
    )

    @model_validator(mode="after")
    def _interval_with_uniform(self) -> TEDOptions:
        if self.layers != "uniform" and self.interval != 1:
            raise ValueError("`interval` goes with `layers: uniform`; pairs of layers say themselves which are meant")
        return self

    def mapping(self, teacher: ModelShape, student: ModelShape) -> list[tuple[int, int]]:
        """(student layer, teacher layer) pairs, as :func:`layer_mapping` gives them; at least one."""
        if not self.layers:
            raise SettingError(
                "ted's `layers` is empty; name at least one pair [student layer, teacher layer], or `uniform`",
                "layers",
            )
        return layer_mapping(self.layers, student.layers, teacher.layers, interval=self.interval, owner="ted's ")

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        """Both sides of :meth:`mapping`."""
        mapping = self.mapping(teacher, student)
        return Needs(teacher=tuple(theirs for _, theirs in mapping), student=tuple(ours for ours, _ in mapping))


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="loss",
        name="ted",
        options=TEDOptions,
        build="codrun_ted.loss:TED",
        summary="task-aware layer-wise distillation through trained filters",
        version=2,
    )

"""Which layers each loss wants; no torch, for ``codrun plan`` asks before anything is loaded."""

from __future__ import annotations

from cod_runner.api import ModelShape, Needs, Options, layer_mapping
from codrun_losses.plugin import LWDOptions


def of_logits(options: Options, teacher: ModelShape, student: ModelShape) -> Needs:
    """A loss on logits alone."""
    return Needs()


def of_lwd(options: LWDOptions, teacher: ModelShape, student: ModelShape) -> Needs:
    """Both sides of :func:`mapped_layers`."""
    pairs = mapped_layers(options.layers, teacher, student)
    return Needs(teacher=tuple(theirs for _, theirs in pairs), student=tuple(ours for ours, _ in pairs))


def mapped_layers(
    layers: str | list[tuple[int, int]], teacher: ModelShape, student: ModelShape
) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs, as :func:`layer_mapping` gives them."""
    return layer_mapping(layers, student.layers, teacher.layers)

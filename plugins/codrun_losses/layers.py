"""Which layers each loss wants; no torch, for ``codrun plan`` asks before anything is loaded."""

from __future__ import annotations

from cod_runner.api import ModelShape, Needs, Options, SettingError
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
    """(student layer, teacher layer) pairs. ``uniform`` spreads the teacher's layers evenly over the student's:
    student layer i goes with teacher layer round(i x teacher layers / student layers), so 6 and 12 give i and 2i."""
    if isinstance(layers, str):
        ratio = teacher.layers / student.layers
        return [(layer, max(1, round(layer * ratio))) for layer in range(1, student.layers + 1)]
    for ours, theirs in layers:
        if not (0 <= ours <= student.layers and 0 <= theirs <= teacher.layers):
            raise SettingError(
                f"`layers` names the pair [{ours}, {theirs}] (student, teacher), but the student has layers 0 to "
                f"{student.layers} and the teacher 0 to {teacher.layers}",
                "layers",
            )
    return [(ours, theirs) for ours, theirs in layers]

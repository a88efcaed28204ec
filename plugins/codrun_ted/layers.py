"""Which layers TED compares; no torch, for ``codrun plan`` asks before anything is loaded."""

from __future__ import annotations

from cod_runner.api import ModelShape, Needs, SettingError
from codrun_ted.plugin import TEDOptions


def of_ted(options: TEDOptions, teacher: ModelShape, student: ModelShape) -> Needs:
    """Both sides of :func:`mapped_layers`."""
    pairs = mapped_layers(options, teacher, student)
    return Needs(teacher=tuple(theirs for _, theirs in pairs), student=tuple(ours for ours, _ in pairs))


def mapped_layers(options: TEDOptions, teacher: ModelShape, student: ModelShape) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs. ``uniform`` gives student layer i the teacher layer
    round(i x teacher layers / student layers)."""
    if options.layers == "uniform":
        ratio = teacher.layers / student.layers
        chosen = range(student.layers, 0, -options.interval)
        return [(layer, max(1, round(layer * ratio))) for layer in sorted(chosen)]
    if not options.layers:
        raise SettingError(
            "ted's `layers` is empty; name at least one pair [student layer, teacher layer], or `uniform`",
            "layers",
        )
    for ours, theirs in options.layers:
        if not (0 <= ours <= student.layers and 0 <= theirs <= teacher.layers):
            raise SettingError(
                f"ted's `layers` names the pair [{ours}, {theirs}] (student, teacher), but the student has layers 0 to "
                f"{student.layers} and the teacher 0 to {teacher.layers}",
                "layers",
            )
    return list(options.layers)

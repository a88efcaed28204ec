"""Which layers TED compares; no torch, for ``codrun plan`` asks before anything is loaded."""

from __future__ import annotations

from cod_runner.api import ModelShape, Needs, SettingError, layer_mapping
from codrun_ted.plugin import TEDOptions


def of_ted(options: TEDOptions, teacher: ModelShape, student: ModelShape) -> Needs:
    """Both sides of :func:`mapped_layers`."""
    pairs = mapped_layers(options, teacher, student)
    return Needs(teacher=tuple(theirs for _, theirs in pairs), student=tuple(ours for ours, _ in pairs))


def mapped_layers(options: TEDOptions, teacher: ModelShape, student: ModelShape) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs, as :func:`layer_mapping` gives them; at least one."""
    if not options.layers:
        raise SettingError(
            "ted's `layers` is empty; name at least one pair [student layer, teacher layer], or `uniform`",
            "layers",
        )
    return layer_mapping(options.layers, student.layers, teacher.layers, interval=options.interval, owner="ted's ")

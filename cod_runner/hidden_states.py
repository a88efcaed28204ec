"""Which student layer is compared with which teacher layer, for losses between hidden states; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.errors import SettingError


def layer_mapping(
    layers: str | Sequence[tuple[int, int]], student: int, teacher: int, *, interval: int = 1, owner: str = ""
) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs of models that have so many layers.

    ``uniform`` spreads the teacher's layers evenly over the student's: student layer i goes with teacher layer
    round(i x teacher / student), so 6 and 12 give i and 2i; ``interval`` keeps every n-th, counted back from the last.
    Raises :class:`SettingError` at the option ``layers``, which ``owner`` has ("ted's "), for one that does not exist.
    """
    if isinstance(layers, str):
        chosen = range(student, 0, -interval)
        return [(layer, max(1, round(layer * (teacher / student)))) for layer in reversed(chosen)]
    for ours, theirs in layers:
        if not (0 <= ours <= student and 0 <= theirs <= teacher):
            raise SettingError(
                f"{owner}`layers` names the pair [{ours}, {theirs}] (student, teacher), but the student has layers 0 "
                f"to {student} and the teacher 0 to {teacher}",
                "layers",
            )
    return [(ours, theirs) for ours, theirs in layers]

"""What losses between hidden states share: the layer mapping and two ways to pool. Importing it loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cod_runner.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor


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


def masked_mean(values: Tensor, mask: Tensor | None, dim: int = 1) -> Tensor:
    """Mean over the real tokens of each row, whichever side it is padded on; 0 for a row that has none.

    ``values`` is ``[..., batch, tokens, ...]`` with the tokens at ``dim``, which is dropped; ``mask`` is
    ``[batch, tokens]``, true (or 1) at real tokens; None: every token is real.
    """
    if mask is None:
        return values.mean(dim)
    real = mask.reshape(*mask.shape, *[1] * (values.dim() - dim - 1)).bool()
    return values.masked_fill(~real, 0.0).sum(dim) / real.sum(1).clamp(min=1)


def head_pooled(states: Tensor, pooled_at: Tensor | None, mask: Tensor | None = None) -> Tensor:
    """What the classification head reads of ``[batch, tokens, width]``: the state at ``pooled_at [batch]``, or where
    that is None, the mean over the real tokens. ``[batch, width]``."""
    import torch

    if pooled_at is None:
        return masked_mean(states, mask)
    return states[torch.arange(len(states), device=states.device), pooled_at]


def pooled(states: Tensor, mask: Tensor | None, pooled_at: Tensor | None, pool: str) -> Tensor:
    """One vector per text, ``[batch, width]``: for ``mean`` that over real tokens, for ``cls`` what the head reads."""
    return masked_mean(states, mask) if pool == "mean" else head_pooled(states, pooled_at, mask)

"""What a teacher or student reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Mixture:
    """Two texts as one input: their embeddings, mixed position by position, as ``share`` of the first and the rest of
    the second. A classifier that cannot mix refuses it in ``encode``. (Vectors mix by themselves.)"""

    first: str
    second: str
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a mixture's share is a number from 0 to 1, not {self.share!r}")


Input: TypeAlias = str | tuple[float, ...] | Mixture
"""What a teacher or student reads: a text, one vector, or two texts mixed."""


def input_as_json(value: Input) -> str | list[float] | dict[str, str | float]:
    """An input as JSON spells it; different inputs are spelled differently."""
    if isinstance(value, Mixture):
        return {"first": value.first, "second": value.second, "share": float(value.share)}
    return value if isinstance(value, str) else [float(number) for number in value]


def input_from_json(value: Any) -> Input:
    """What :func:`input_as_json` spelled; raises :class:`ValueError` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(type(number) in (int, float) for number in value):
        return tuple(map(float, value))
    if isinstance(value, dict) and value.keys() == {"first", "second", "share"}:
        first, second, share = value["first"], value["second"], value["share"]
        if isinstance(first, str) and isinstance(second, str) and type(share) in (int, float):
            return Mixture(first, second, float(share))
    raise ValueError(f"{value!r} is no text, no vector and no mixture of two texts")

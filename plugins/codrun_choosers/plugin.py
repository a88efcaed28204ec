"""Declares the choosers `margin`, `fresh_words` and `disagreement`; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl

WITHIN = "edits that a candidate may have above the fewest; those with more come last"


class AsksNothing(Options):
    """A chooser that knows what the search heard of the teacher, and asks it nothing."""

    def questions(self, examples: int) -> int | None:
        """None."""
        return 0


class MarginOptions(AsksNothing):
    """Options of the chooser `margin`."""

    which: Literal["nearest", "median", "farthest"] = Field(
        "nearest", description="the candidate whose margin past the boundary is the smallest, the middle or the largest"
    )
    within_edits: float = Field(0, ge=0, description=WITHIN)


class FreshWordsOptions(AsksNothing):
    """Options of the chooser `fresh_words`."""

    within_edits: float = Field(1, ge=0, description=WITHIN)


class DisagreementOptions(AsksNothing):
    """Options of the chooser `disagreement`."""

    steps: int = Field(20, ge=1, description="steps that the student trains on the originals before it is asked")
    misread: bool = Field(
        False, description="first the candidates that the student reads as another class than the teacher does"
    )
    within_edits: float = Field(1, ge=0, description=WITHIN)


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="chooser",
        name="margin",
        options=MarginOptions,
        build="codrun_choosers.margin:Margin",
        summary="of the smallest changes the one nearest to the teacher's boundary, in the middle, or farthest from it",
    )
    yield Component(
        kind="chooser",
        name="fresh_words",
        options=FreshWordsOptions,
        build="codrun_choosers.fresh_words:FreshWords",
        summary="of the small changes the one whose words changed least often in the set so far",
    )
    yield Component(
        kind="chooser",
        name="disagreement",
        options=DisagreementOptions,
        build="codrun_choosers.disagreement:Disagreement",
        summary="of the small changes the one on which a briefly trained student and the teacher differ most",
    )

"""Declares the generator `adversarial`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class AdversarialOptions(Options):
    """Steps along the teacher's gradient towards another class."""

    size: float = Field(
        5.0, gt=0, le=1000, description="length of the first round's step; for texts in mean norms of an embedding"
    )
    growth: float = Field(1.3, gt=1, le=10, description="factor by which each round's step is longer than the last")
    rounds: int = Field(8, ge=1, le=32, description="steps tried per input, until one is accepted")

    def asks_for_gradients(self) -> bool:
        """Its steps lead along the gradient."""
        return True

    def questions(self, examples: int) -> int:
        """One text a round."""
        return examples * self.rounds


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="adversarial",
        options=AdversarialOptions,
        build="codrun_adversarial.generator:Adversarial",
        summary="a step along the teacher's gradient towards the runner-up class, read back as words",
    )

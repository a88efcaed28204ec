"""Declares the generator `word_dropout`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class WordDropoutOptions(Options):
    """Omits words at random."""

    share: float = Field(0.15, gt=0, lt=1, description="share of words to omit; at least one goes and one stays")
    rounds: int = Field(8, ge=1, description="draws per text, until a copy is accepted")

    def questions(self, examples: int) -> int:
        """One copy a round."""
        return examples * self.rounds


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="word_dropout",
        options=WordDropoutOptions,
        build="codrun_word_dropout.generator:WordDropout",
        summary="the text with a random share of its words omitted; the copies of the arm `control`",
    )

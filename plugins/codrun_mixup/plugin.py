"""Declares the generator `mixup`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class MixupOptions(Options):
    """Mixes a text with others of the pool, in the space of embeddings; for rows that have the teacher's word alone."""

    alpha: float = Field(
        1.0, gt=0, description="shares are drawn from Beta(alpha, alpha); 1: all alike, below: extreme"
    )
    rounds: int = Field(32, ge=1, description="mixtures per text at most, one a round")


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="mixup",
        options=MixupOptions,
        build="codrun_mixup.generator:Mixup",
        summary="the text mixed with one of the pool, for `unlabelled`",
    )

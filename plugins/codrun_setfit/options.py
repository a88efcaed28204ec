"""Options of the student ``setfit``. Every command imports this, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from cod_runner.api import CheckpointOption, Destination, Options, ShapeEstimate
from codrun_transformers.options import Blocks, StudentOptions


class SetFitOptions(Options):
    """A sentence encoder that learns from pairs of labelled texts, then a logistic regression on its vectors.

    SetFit trains itself, on the rows that have a label: its losses are `hard` alone, and nothing of `train` counts.
    """

    model: CheckpointOption = Field(description="a sentence encoder: hub name, local folder, or package:NAME/folder")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    max_length: int = Field(256, ge=2, description="longest input in tokens; limited to what the model can read")
    layers: Annotated[int, Field(ge=1)] | Blocks | None = Field(
        None, description="use only the first n blocks of the checkpoint, or these blocks, counted from 1"
    )
    pooling: Literal["auto", "mean", "cls", "last"] = Field(
        "auto", description="auto: as the checkpoint says, lengths of 1 included"
    )
    iterations: int | None = Field(
        20,
        ge=1,
        description="for each text so many pairs with a text of its class and so many with one of another; null: all "
        "pairs, the fewer kind repeated",
    )
    epochs: int = Field(1, ge=1, description="passes over the pairs")
    batch_size: int = Field(16, ge=1, description="pairs in a step")
    lr: float = Field(2.0e-5, gt=0, description="of the encoder")

    def as_encoder(self) -> StudentOptions:
        """The encoder and its new head, as the student `transformers` has them."""
        return StudentOptions(
            model=self.model,
            revision=self.revision,
            max_length=self.max_length,
            layers=self.layers,
            pooling=self.pooling,
            new_head=True,
        )

    def identity(self) -> dict[str, Any]:
        """Every option; the checkpoint is identified by its content, or by its name on the hub."""
        return {**self.model_dump(mode="json"), **self.as_encoder().identity()}

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return self.as_encoder().destinations()

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
        """What the checkpoint's ``config.json`` says; None for a hub model that was never fetched."""
        return self.as_encoder().shape(teacher)

    def trains_itself(self) -> bool:
        return True

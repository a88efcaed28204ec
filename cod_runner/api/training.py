"""How a model is trained: settings that recipe and engine share."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cod_runner.api.options import Options


class TrainSettings(Options):
    """How a model is trained. ``steps`` or ``epochs``, never both."""

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("epochs", "steps"),)

    epochs: int | None = Field(None, ge=1, description="passes over the training set")
    steps: int | None = Field(None, ge=1, description="optimiser steps, instead of epochs")
    batch_size: int = Field(8, ge=1, description="examples per step; even where there are pairs")
    lr: float = Field(6.0e-5, gt=0, description="peak learning rate")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="how the learning rate falls after the warm-up: to zero, in a line or a cosine, or never"
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps that warm up")
    weight_decay: float = Field(0.0, ge=0, description="of every trained parameter, biases and norms too")
    optimiser: Literal["adamw", "adam"] = Field(
        "adamw", description="adamw takes weight decay from the weights, adam adds it to the gradient"
    )
    betas: tuple[float, float] = Field(
        (0.9, 0.999), description="how slowly the averages of the gradient and of its square forget, each below 1"
    )
    eps: float = Field(1e-8, gt=0, description="added to the root of the averaged square, against division by zero")
    clip: float | None = Field(None, gt=0, description="largest gradient norm; absent: no clipping")
    accumulation: int = Field(1, ge=1, description="batches whose gradients make one step")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="autocast; auto is bf16 where the machine computes in it, else fp32"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, about a third more time"
    )
    compact_vocabulary: bool = Field(True, description="train only the embedding rows in use; exact")

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("each of the two must be at least 0 and below 1")
        return value

    default_epochs: ClassVar[int] = 100

    @model_validator(mode="before")
    @classmethod
    def _some_length(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("epochs") is None and value.get("steps") is None:
            return {**value, "epochs": cls.default_epochs}
        return value

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give `steps` or `epochs`, not both")
        return self


class FinetuneSettings(TrainSettings):
    """How a teacher is fine-tuned, once, on gold labels."""

    default_epochs: ClassVar[int] = 3

    rows: int = Field(5000, ge=2, description="training rows, drawn from the pool; more than there are: all")
    lr: float = Field(2.0e-5, gt=0, description="peak learning rate")
    seed: int = Field(0, ge=0, description="of the rows, their order, the head's first values and dropout")

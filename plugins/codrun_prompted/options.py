"""Options of the teacher ``prompted``. Every command imports this, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cod_runner.api import (
    Answering,
    CheckpointOption,
    Destination,
    Kept,
    LabelPromptFields,
    ModelShape,
    Options,
    Origin,
    ShapeEstimate,
    checkpoint_origin,
    checkpoint_sizes,
    hub_destinations,
)
from codrun_prompted.conversion import kept_copy
from codrun_prompted.source import ENDING, located


class PromptedOptions(LabelPromptFields, Options):
    """Options of ``teacher: {use: prompted}``."""

    model: CheckpointOption = Field(
        description="hub name, folder, package:NAME/folder, a .gguf file, or package:NAME of a package that holds one"
    )
    gguf: str | None = Field(None, description="this file of the folder or hub repository, instead of safetensors")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="precision of the weights; auto is float32 on a CPU, and on a GPU bfloat16 if it computes in that, "
        "else float32; answers differ, so what is taken is part of the teacher's fingerprint",
    )
    quantise: Literal["none", "8bit", "4bit"] = Field("none", description="weights in fewer bits, by bitsandbytes")
    max_length: int = Field(256, ge=2, description="tokens of a text that the model reads; the rest is truncated")
    form: Literal["auto", "chat", "completion"] = Field(
        "auto", description="auto is chat where the tokenizer has a chat template, else a text to be continued"
    )
    coverage_floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="end the run where the label words take less of the probability than this, on average",
    )

    @field_validator("gguf")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None and (not value.endswith(ENDING) or value.startswith("/") or ".." in value.split("/")):
            raise ValueError(f"must be the name of a {ENDING} file in the folder or repository that `model` names")
        return value

    @model_validator(mode="after")
    def _one_file(self) -> PromptedOptions:
        if self.gguf is not None and self.model.endswith(ENDING):
            raise ValueError("give the file in `model` or in `gguf`, not in both")
        return self

    def identity(self) -> dict[str, Any]:
        """Every option that decides an answer; the model is identified by its content, or by its name on the hub."""
        decides = self.model_dump(mode="json", exclude={"coverage_floor", "gguf"})
        return {**decides, **self.prompt_identity(), "model": located(self.model, self.gguf).identity()}

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return hub_destinations(self.model, "model")

    def origins(self) -> Sequence[Origin]:
        """The language model."""
        return [replace(checkpoint_origin(self.model), what="language model")]

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
        """What the checkpoint's ``config.json`` says; None for a GGUF file and for a hub model never fetched."""
        if located(self.model, self.gguf).is_gguf:
            return None
        sizes = checkpoint_sizes(self.model, self.revision)
        if sizes is None:
            return None
        return ShapeEstimate(ModelShape(sizes.layers, sizes.width, classes=0), self.max_length)

    def keeps(self) -> Sequence[Kept]:
        """A GGUF file's weights as float32."""
        copy = kept_copy(located(self.model, self.gguf))
        return [] if copy is None else [copy]

    def answering(self) -> Answering:
        """It costs no money, and has the hidden states of its last position."""
        return Answering(shots=self.shots, seed=self.seed, hidden_states=True, leave_one_out=True)

"""Options of a ``transformers`` teacher or student. Every command imports this, so it imports nothing heavy."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from cod_runner.api import (
    CheckpointOption,
    Destination,
    Options,
    ShapeEstimate,
    checkpoint_folder,
    checkpoint_identity,
    file_digest,
    hub_destinations,
)
from codrun_transformers import shape
from codrun_transformers.lengths import longest_of
from codrun_transformers.sentence_folder import WEIGHTS, Asked, pooling_of


def _ascending_blocks(blocks: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in itertools.pairwise(blocks)):
        raise ValueError("blocks are counted from 1 and must be in ascending order, each once")
    return blocks


Blocks = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1), AfterValidator(_ascending_blocks)]


DEBERTA = re.compile(r"deberta-v[23]")
USED_POSITIONS = (
    "`student: {positions: used}` trains this DeBERTa about twice as fast where texts are of some 30 tokens, half as "
    "fast again at 100, no faster at 256; results differ in their last bits"
)


class LoraOptions(Options):
    """Low-rank adapters that train in place of the backbone while a teacher is fine-tuned; merged on save."""

    r: int = Field(8, ge=1, description="rank")
    alpha: float = Field(16, gt=0, description="scale; the update is multiplied by alpha / r")
    dropout: float = Field(0.05, ge=0, lt=1, description="of what enters an adapter, while it trains")
    targets: list[str] | None = Field(
        None,
        min_length=1,
        description="linear layers that get an adapter, by name; absent: peft's default",
    )


class ModelOptions(Options):
    """Options that teacher and student share."""

    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    max_length: int = Field(256, ge=2, description="longest input in tokens; limited to what the model can read")
    layers: Annotated[int, Field(ge=1)] | Blocks | None = Field(
        None, description="use only the first n blocks of the checkpoint, or these blocks, counted from 1"
    )
    pooling: Asked | None = Field(
        None,
        description="one linear layer on the mean of the last states, or on the first (cls) or last token's; auto: "
        "as the checkpoint says, if it is one of sentence-transformers; absent: the head of its class",
    )
    new_head: bool = Field(False, description="replace the checkpoint's classification head with a new one")
    label_map: dict[str, str] = Field(
        default_factory=dict, description="label of the data set to its name in the checkpoint's own head"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="every dropout rate; absent: the checkpoint's")
    padding_side: Literal["left", "right"] | None = Field(None, description="absent: the tokenizer's")
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = Field(
        None, description="attention implementation; absent: the best that transformers finds"
    )

    def _decides(self, model: str | None) -> dict[str, Any]:
        """Every option, for keys. Raises :class:`SettingError`."""
        decides = self.model_dump(mode="json")
        if self.pooling is None:  # as before there was the option
            del decides["pooling"]
        if model is None:
            return decides
        decides["model"] = checkpoint_identity(model)
        folder = checkpoint_folder(model)
        if self.pooling is not None and folder is not None:
            pooling, found = pooling_of(folder, model, self.pooling)
            decides["pooling"] = pooling
            if found is not None and found.head is not None and not self.new_head:
                decides["head"] = file_digest(found.head / WEIGHTS)
        return decides


class TeacherOptions(ModelOptions):
    """Options of ``teacher: {use: transformers}``."""

    model: CheckpointOption = Field(description="hub name, local folder, or package:NAME/folder")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="precision of the weights; below float32 only for a teacher that is not fine-tuned"
    )
    device_map: str | dict[str, int | str] | None = Field(
        None, description="spreads a teacher that does not fit on one device over several (needs accelerate)"
    )
    lora: LoraOptions | None = Field(
        None, description="low-rank adapters while the teacher is fine-tuned, merged into the weights on save"
    )

    @model_validator(mode="after")
    def _one_device(self) -> TeacherOptions:
        if self.pooling is not None and self.device_map is not None:
            raise ValueError("`device_map` goes with the head of the model's class, not with `pooling`")
        return self

    def identity(self) -> dict[str, Any]:
        """Every option; the checkpoint is identified by its content, or by its name on the hub."""
        return self._decides(self.model)

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return hub_destinations(self.model, "model")

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
        """What the checkpoint's files say; None for a hub model that was never fetched."""
        return shape.of_checkpoint(self.model, self.revision, self.layers, self.max_length)


class MeasureOptions(Options):
    """Options of the measures ``similarity`` and ``fluency``."""

    model: CheckpointOption = Field(description="hub name, local folder, or package:NAME/folder")
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    max_length: int = Field(256, ge=2, description="tokens of a text that the model reads; the rest is truncated")

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return hub_destinations(self.model, "model")


class StudentOptions(ModelOptions):
    """Options of ``student: {use: transformers}``."""

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("model", "layers_from_teacher"),)

    model: CheckpointOption | None = Field(None, description="hub name, local folder, or package:NAME/folder")
    layers_from_teacher: Blocks | None = Field(
        None, description="copy these blocks of the teacher, counted from 1, under a new head"
    )
    freeze_embeddings: bool = Field(False, description="do not train the word embeddings")
    positions: Literal["all", "used"] = Field(
        "all",
        description="used: DeBERTa-v2 or v3 computes only the positions that a batch's texts have, without padding, "
        "about twice as fast for short texts; equal but for rounding",
    )

    @field_validator("layers_from_teacher", mode="before")
    @classmethod
    def _list_of_blocks(cls, value: Any) -> Any:
        if isinstance(value, int):
            raise ValueError("`layers_from_teacher` must be a list of blocks, such as [1, 3, 5]")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> StudentOptions:
        if (self.model is None) == (self.layers_from_teacher is None):
            raise ValueError("give either `model` or `layers_from_teacher`")
        if self.layers_from_teacher is not None:
            for name in ("revision", "layers", "new_head", "label_map"):
                if getattr(self, name):
                    raise ValueError(f"`{name}` goes with `model`, not with `layers_from_teacher`")
        return self

    def identity(self) -> dict[str, Any]:
        """Every option; a checkpoint is identified by its content, or by its name on the hub. Without `positions: all`,
        which keys knew nothing of before there was another."""
        decides = self._decides(self.model)
        if self.positions == "all":
            del decides["positions"]
        else:
            decides["positions"] = "used, no padding"  # plain `used` once computed padding too, to other last bits
        return decides

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return hub_destinations(self.model, "model")

    def tip(self, teacher: ShapeEstimate | None) -> str:
        """That there is ``positions: used``, for a DeBERTa that goes without."""
        own = self.shape(teacher)
        # a model of the hub that was never fetched is known by its name alone
        known = (self.model or "").lower() if own is None else (own.architecture or "")
        return USED_POSITIONS if self.positions == "all" and DEBERTA.search(known) else ""

    def from_teacher(self) -> bool:
        """Whether its blocks are the teacher's."""
        return self.layers_from_teacher is not None

    def longest_input(self, texts: Sequence[str]) -> int | None:
        """By the checkpoint's own tokenizer, if it is on this machine."""
        return None if self.model is None else longest_of(self.model, self.revision, texts)

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
        """What the checkpoint's files or the teacher's shape say; None if that is unknown."""
        if self.model is not None:
            return shape.of_checkpoint(self.model, self.revision, self.layers, self.max_length)
        if teacher is None or self.layers_from_teacher is None:
            return None
        return shape.cut_from(teacher, len(self.layers_from_teacher), self.max_length)

"""Declares the generator `masked_lm`: words that the teacher relies on, infilled by a masked language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from cod_runner.api import Component, Destination, Options, file_digest, hookimpl, hub_destination

DECIDING_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
"""Configuration, weights and tokenizer of a folder."""


class MaskedLmOptions(Options):
    """Options of the generator `masked_lm`."""

    model: str = Field(min_length=1, description="hub name, or folder (./, ../, ~ or /), of any AutoModelForMaskedLM")
    revision: str | None = Field(None, description="of the hub's model: branch, tag or commit")
    max_fraction: float = Field(0.55, gt=0, le=1, description="largest share of the words that may be masked")
    search_steps: int = Field(4, ge=1, le=10, description="steps of the binary search over the masked share")
    beam: int = Field(3, ge=1, le=32, description="partial infillings retained at each mask")
    samples: int = Field(8, ge=1, le=128, description="words tried at each mask, the model's likeliest")
    fluency: float = Field(0.2, ge=0, le=10, description="weight of a nat of the model's log probability")
    candidates: int = Field(4, ge=1, le=64, description="proposals per text")
    max_length: int = Field(256, ge=8, description="longest text that the model sees, in its tokens")

    @field_validator("model")
    @classmethod
    def _beside_the_recipe(cls, value: str, info: ValidationInfo) -> str:
        folder = (info.context or {}).get("folder")
        if not value.startswith(("./", "../", "~", "/")):
            return value
        path = Path(value).expanduser()
        return str(path if path.is_absolute() or folder is None else Path(folder, path))

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return [] if Path(self.model).is_absolute() else [hub_destination(self.model, "model")]

    def identity(self) -> dict[str, Any]:
        """Every option; a folder counts by its files' content."""
        decides = self.model_dump(mode="json")
        folder = Path(self.model)
        if folder.is_absolute() and folder.is_dir():
            files = [path for path in sorted(folder.iterdir()) if path.suffix in DECIDING_SUFFIXES]
            decides["model"] = {path.name: file_digest(path) for path in files}
        return decides


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="masked_lm",
        options=MaskedLmOptions,
        build="codrun_masked_lm.generator:MaskedLmGenerator",
        summary="masks the words the teacher relies on and infills them with any masked language model, as MiCE does",
    )

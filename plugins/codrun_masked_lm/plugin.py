"""Declares the generator `masked_lm`: words that the teacher relies on, or random ones, infilled by a masked language
model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from cod_runner.api import (
    CheckpointOption,
    Component,
    Destination,
    Options,
    checkpoint_folder,
    file_digest,
    hookimpl,
    hub_destinations,
)

DECIDING_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
"""Configuration, weights and tokenizer of a folder."""

SEARCHED = {"max_fraction", "search_steps", "beam", "fluency", "candidates"}
"""Options of the guided search alone."""
UNGUIDED = {"guided", "share", "rounds"}
"""Options that came with the other mode: left out of the guided search's identity, which is older."""


class MaskedLmOptions(Options):
    """Options of the generator `masked_lm`."""

    model: CheckpointOption = Field(
        min_length=1, description="any AutoModelForMaskedLM: hub name, local folder, or package:NAME/folder"
    )
    revision: str | None = Field(None, description="of the hub's model: branch, tag or commit")
    max_fraction: float = Field(0.55, gt=0, le=1, description="largest share of the words that may be masked")
    search_steps: int = Field(4, ge=1, le=10, description="steps of the binary search over the masked share")
    beam: int = Field(3, ge=1, le=32, description="partial infillings retained at each mask")
    samples: int = Field(8, ge=1, le=128, description="words tried at each mask, the model's likeliest")
    fluency: float = Field(0.2, ge=0, le=10, description="weight of a nat of the model's log probability")
    candidates: int = Field(4, ge=1, le=64, description="proposals per text")
    max_length: int = Field(256, ge=8, description="longest text that the model sees, in its tokens")
    guided: bool = Field(
        True,
        description="search by the teacher's word; false: infill random words and ask no teacher, by `share`, "
        "`rounds` and `samples` alone",
    )
    share: float = Field(0.15, gt=0, le=1, description="share of the words to infill, where not guided; at least one")
    rounds: int = Field(8, ge=1, description="draws per text, where not guided, until one is accepted")

    def destinations(self) -> Sequence[Destination]:
        """The hub, for a model that is named as there."""
        return hub_destinations(self.model, "model")

    def asks_for_attribution(self) -> bool:
        """The guided search masks the words that weigh most."""
        return self.guided

    def questions(self, examples: int) -> int | None:
        """One text a round, where not guided; a search asks about as many as its texts' lengths make it."""
        return None if self.guided else examples * self.rounds

    def identity(self) -> dict[str, Any]:
        """Every option that decides in its mode; a folder counts by its files' content."""
        decides = self.model_dump(mode="json", exclude=UNGUIDED if self.guided else SEARCHED)
        folder = checkpoint_folder(self.model)
        if folder is not None:
            files = [path for path in sorted(folder.iterdir()) if path.suffix in DECIDING_SUFFIXES]
            decides["model"] = {path.name: file_digest(path) for path in files}
        return decides


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="masked_lm",
        options=MaskedLmOptions,
        build="codrun_masked_lm.generator:build",
        summary="masks the words the teacher relies on, as MiCE does, or random ones; a masked language model infills",
    )

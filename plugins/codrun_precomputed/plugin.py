"""Declares the generator `precomputed`; importing this reads no file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from cod_runner.api import Component, Options, PathOption, file_digest, hookimpl


class PrecomputedOptions(Options):
    """A CSV or JSONL file of pairs."""

    path: PathOption = Field(description="CSV (with a header line) or JSONL, by its suffix")
    original: str = Field("original", description="column of the originals")
    counterfactual: str = Field("counterfactual", description="column of the counterfactuals")
    target: str | None = Field(None, description="column that names the label each counterfactual is meant for")

    def identity(self) -> dict[str, Any]:
        """The file's content and how it is read, but not its path."""
        path = Path(self.path)
        try:
            digest = file_digest(path) if path.is_file() else None  # the generator says what is wrong, when it is built
        except OSError:
            digest = None
        return {"sha256": digest, **self.model_dump(exclude={"path"})}


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="precomputed",
        options=PrecomputedOptions,
        build="codrun_precomputed.generator:Precomputed",
        summary="pairs from a CSV or JSONL file, written by people or by an earlier run",
    )

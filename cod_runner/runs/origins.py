"""What of other people's a run's students are made of: checkpoints, data, language models, and the licences they state.

It is written into ``run.json``, so that a model card needs neither plugin nor checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cod_runner.api import Origin
from cod_runner.errors import CodrunError
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry

CARD = "README.md"
MAKERS = ("dataset", "teacher", "student", "generator", "selector", "chooser")
"""The kinds of components from which something enters a student."""
LONGEST_CARD = 1_000_000
"""Bytes of a card that is read."""
_FRONT_MATTER = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---", re.DOTALL)
_LICENCE = re.compile(
    r"^(license|license_name):[ \t]*([\"']?)([A-Za-z0-9][A-Za-z0-9.+_-]{0,63})\2[ \t\r]*$", re.MULTILINE
)


class OriginRecord(BaseModel):
    """One of them."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    role: str
    """The kind of the component that uses it: teacher, student, generator, dataset, ..."""
    use: str = ""
    """That component's name."""
    what: str
    """``checkpoint``, ``data set``, ``language model``."""
    name: str
    on_the_hub: bool = False
    license: str | None = None
    """As its own card states it; None where there is no card here, or it states none."""


def origins_of(recipe: Recipe, registry: Registry) -> list[OriginRecord]:
    """All of them, each once for each role; none of a component whose plugin is gone or takes other options today."""
    found: dict[OriginRecord, None] = {}
    for _, kind, use in recipe.used():
        if kind not in MAKERS:
            continue
        try:
            for origin in registry.options(kind, use.use, use.options).origins():
                record = OriginRecord(
                    role=kind,
                    use=use.use,
                    what=origin.what,
                    name=origin.name,
                    on_the_hub=origin.on_the_hub,
                    license=stated_licence(origin),
                )
                found[record] = None
        except (CodrunError, ValidationError):
            continue
    return list(found)


def longest_input(recipe: Recipe, registry: Registry) -> int | None:
    """Positions (tokens) of a text that the student reads; None where nothing says so."""
    try:
        teacher = registry.options("teacher", recipe.teacher.use, recipe.teacher.options).shape(None)
        student = registry.options("student", recipe.student.use, recipe.student.options).shape(teacher)
    except (CodrunError, ValidationError):
        return None
    return None if student is None else student.longest


def stated_licence(origin: Origin) -> str | None:
    """The ``license`` of its own card's front matter: of its folder, or of the hub's cache on this machine."""
    return next((stated for card in _cards(origin) if (stated := _stated(card))), None)


def _cards(origin: Origin) -> Iterator[Path]:
    if origin.folder is not None:
        yield origin.folder / CARD
    elif origin.on_the_hub:
        from huggingface_hub import try_to_load_from_cache  # takes 0.2 s, needed only for hub names

        kind = "dataset" if origin.what == "data set" else "model"
        cached = try_to_load_from_cache(origin.name, CARD, repo_type=kind)
        if isinstance(cached, str):
            yield Path(cached)


def _stated(path: Path) -> str | None:
    """``license`` of a card's YAML block, or the name that stands beside ``other``.

    A card may be a stranger's, so the block is not read as YAML: a licence is a word on a line of its own.
    """
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_CARD:
            return None
        block = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    words = {key: word for key, _, word in _LICENCE.findall(block[1])} if block else {}
    licence = words.get("license")
    return words.get("license_name", licence) if licence == "other" else licence

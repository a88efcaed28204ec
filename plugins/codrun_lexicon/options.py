"""Options of the generator ``lexicon``."""

from __future__ import annotations

import hashlib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from pydantic import Field

from cod_runner.api import Options, PathOption, file_bytes

READINGS, SINGLES = 1_000, 24
SORTS, PARTNERS = 5, 6
"""Sorts of edits, from natural to odd, and single edits that may extend a combination."""
WORDS_A_TEXT = 40
"""Assumed where a text's words are left out one by one."""


class LexiconOptions(Options):
    """What the generator may change, and how hard it searches."""

    words: PathOption | dict[str, list[str | tuple[str, str]]] | None = Field(
        None,
        description="your own words: a list per label, and `opposites`, a list of pairs; here, or in a YAML file. "
        "Where labels are not sentiment, a few for each label help most",
    )
    max_edits: int = Field(4, ge=1, le=8, description="most edits that are combined; the fewest that flip win")
    beam: int = Field(6, ge=1, le=50, description="best combinations, which are extended by another edit")
    candidates: int = Field(6, ge=1, le=50, description="flips proposed per request")
    telling_words: int = Field(
        8,
        ge=0,
        le=50,
        description="words to swap or delete, by the teacher's attribution; 0: none, and it is not asked for one, "
        "which spares a language model a question for every word",
    )
    substitutes: int = Field(6, ge=1, le=50, description="lexicon words tried in place of each of these")
    flips: int = Field(
        1,
        ge=1,
        le=50,
        description="flips that end the search, which begins with few and natural edits; more give a chooser a choice",
    )
    singles: int = Field(
        SINGLES, ge=1, le=500, description="single edits of each sort that the teacher reads first, natural ones first"
    )
    readings: int = Field(
        READINGS,
        ge=1,
        description="pool texts that the teacher reads, once, to learn words where labels are not sentiment",
    )

    def advice(self) -> str:
        """Words of one's own are what other labels than sentiment need most."""
        if self.words is None:
            return (
                "write under `words:` some words that tell each label, as in `words: {LABEL: [word, word], ...}`, or "
                "name a YAML file of such lists there"
            )
        where = "under `words:`" if isinstance(self.words, dict) else "into the file that `words:` names"
        return f"put more words that tell each label {where}"

    def asks_for_attribution(self) -> bool:
        """Swaps and deletions begin with the words that weigh most."""
        return self.telling_words > 0

    def questions(self, examples: int) -> int:
        """Single edits of every sort, combinations of every length, and a word left out at a time; most texts flip
        after a few of them. The readings are asked for where labels are not sentiment."""
        words = WORDS_A_TEXT if self.asks_for_attribution() else 0
        combined = SORTS * (self.max_edits - 1) * self.beam * PARTNERS
        return examples * (words + SORTS * self.singles + combined) + self.readings

    def identity(self) -> dict[str, Any]:
        """The options, and every word list by its content or version."""
        decides = self.model_dump(mode="json")
        if self.readings == READINGS:
            del decides["readings"]  # which keeps the keys of before there was this option
        if self.flips == 1:
            del decides["flips"]  # so does this
        if self.singles == SINGLES:
            del decides["singles"]
        packaged = resources.files("codrun_lexicon").joinpath("opposites.txt").read_bytes()
        decides["opposites"] = hashlib.sha256(packaged).hexdigest()
        try:
            decides["vader"] = metadata.version("vaderSentiment")
        except metadata.PackageNotFoundError:
            decides["vader"] = None  # the generator reports this when it is built
        if isinstance(self.words, str):
            decides["words"] = hashlib.sha256(file_bytes(Path(self.words), "words")).hexdigest()
        return decides

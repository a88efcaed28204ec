"""Options of the generator ``lexicon``."""

from __future__ import annotations

from pydantic import Field

from cod_runner.api import Options, PathOption


class LexiconOptions(Options):
    """What the generator may change, and how hard it searches."""

    words: PathOption | None = Field(
        None, description="YAML of own words: a list of words for each label, and `opposites`, a list of pairs"
    )
    max_edits: int = Field(4, ge=1, le=8, description="edits combined at most; the fewest that flip win")
    beam: int = Field(6, ge=1, le=50, description="combinations that are extended by another edit")
    candidates: int = Field(6, ge=1, le=50, description="flips offered for each request")
    telling_words: int = Field(8, ge=1, le=50, description="words, by the teacher's attribution, to swap or leave out")
    substitutes: int = Field(6, ge=1, le=50, description="lexicon words tried in the place of each of these")

"""A user's own words: YAML with a list of words per label and, under ``opposites``, pairs of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cod_runner.api import DataError, read_text

OPPOSITES = "opposites"


@dataclass(frozen=True)
class OwnWords:
    """The content of the file; empty without a file."""

    by_label: dict[str, tuple[str, ...]] = field(default_factory=dict)
    opposites: tuple[tuple[str, str], ...] = ()
    """Pairs (praise, blame)."""


def read_own_words(path: str | None, labels: Sequence[str]) -> OwnWords:
    """Read and check the file; raises :class:`DataError` that names it and the key at fault."""
    if path is None:
        return OwnWords()
    try:
        said = yaml.safe_load(read_text(Path(path), "words"))
    except RecursionError as error:
        raise DataError(f"the word list {path} nests brackets too deeply; it must be lists of words") from error
    except (yaml.YAMLError, ValueError) as error:  # the latter for a date or a number that cannot be
        raise DataError(f"the word list {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict):
        raise DataError(f"the word list {path} must be a mapping of labels, or `{OPPOSITES}`, to lists of words")
    unknown = [f"{key!s:.60}" for key in said if str(key) not in {*labels, OPPOSITES}]
    if unknown:
        raise DataError(
            f"the word list {path} has words for `{unknown[0]}`, which is not a label; the labels are "
            f"{', '.join(labels)}"
        )
    pairs = said.pop(OPPOSITES, None) or []
    if not isinstance(pairs, list):
        raise DataError(f"the word list {path}: `{OPPOSITES}` must be a list of pairs, as in [[good, bad]]")
    return OwnWords(
        {str(label): _words(path, str(label), words) for label, words in said.items()},
        tuple(_pair(path, number, pair) for number, pair in enumerate(pairs, start=1)),
    )


def _words(path: str, label: str, words: Any) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"the word list {path}: `{label}` must be a list of words; put numbers and yes/no in quotes")
    return tuple(word.strip().lower() for word in words)


def _pair(path: str, number: int, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(word, str) and word.strip() for word in pair):
        raise DataError(
            f"the word list {path}: each of `{OPPOSITES}` must be two words, as in [good, bad]; number {number} is not"
        )
    return pair[0].strip().lower(), pair[1].strip().lower()

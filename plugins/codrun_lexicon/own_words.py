"""A user's own words, in the recipe or in a YAML file: a list of words per label and, under ``opposites``, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cod_runner.api import DataError, read_text

OPPOSITES = "opposites"


@dataclass(frozen=True)
class OwnWords:
    """What the user says of words; empty where nothing is said."""

    by_label: dict[str, tuple[str, ...]] = field(default_factory=dict)
    opposites: tuple[tuple[str, str], ...] = ()
    """Pairs (praise, blame)."""


def own_words(said: str | Mapping[str, Sequence[Any]] | None, labels: Sequence[str]) -> OwnWords:
    """The words that a recipe holds, or those of the file that it names; raises :class:`DataError` that names the key
    at fault, and the file."""
    if said is None:
        return OwnWords()
    if isinstance(said, str):
        return _checked(_content_of(said), f"the word list {said}", labels)
    return _checked(said, "`words`", labels)


def _content_of(path: str) -> Any:
    try:
        return yaml.safe_load(read_text(Path(path), "words"))
    except RecursionError as error:
        raise DataError(f"the word list {path} nests brackets too deeply; it must be lists of words") from error
    except (yaml.YAMLError, ValueError) as error:  # the latter for a date or a number that cannot be
        raise DataError(f"the word list {path} is not YAML: {' '.join(str(error).split())}") from error


def _checked(said: Any, where: str, labels: Sequence[str]) -> OwnWords:
    if not isinstance(said, Mapping):
        raise DataError(f"{where} must be a mapping of labels, or `{OPPOSITES}`, to lists of words", "words")
    unknown = [f"{key!s:.60}" for key in said if str(key) not in {*labels, OPPOSITES}]
    if unknown:
        raise DataError(
            f"{where} has words for `{unknown[0]}`, which is not a label; the labels are {', '.join(labels)}", "words"
        )
    pairs = said.get(OPPOSITES) or []
    if not isinstance(pairs, list):
        raise DataError(f"{where}: `{OPPOSITES}` must be a list of pairs, as in [[good, bad]]", "words")
    return OwnWords(
        {str(label): _words(where, str(label), words) for label, words in said.items() if label != OPPOSITES},
        tuple(_pair(where, number, pair) for number, pair in enumerate(pairs, start=1)),
    )


def _words(where: str, label: str, words: Any) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"{where}: `{label}` must be a list of words; put numbers and yes/no in quotes", "words")
    return tuple(word.strip().lower() for word in words)


def _pair(where: str, number: int, pair: Any) -> tuple[str, str]:
    two = isinstance(pair, list | tuple) and len(pair) == 2
    if not two or not all(isinstance(word, str) and word.strip() for word in pair):
        raise DataError(
            f"{where}: each of `{OPPOSITES}` must be two words, as in [good, bad]; number {number} is not", "words"
        )
    return pair[0].strip().lower(), pair[1].strip().lower()

"""A user's own words: YAML with a list of words per label and, under ``opposites``, pairs of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cod_runner.api import DataError

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
        said = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the word list {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"the word list {path} is not YAML in UTF-8: {error}") from error
    if not isinstance(said, dict):
        raise DataError(f"the word list {path} must be a mapping of labels, or `{OPPOSITES}`, to lists of words")
    unknown = [str(key) for key in said if str(key) not in {*labels, OPPOSITES}]
    if unknown:
        raise DataError(
            f"the word list {path} has words for `{unknown[0]}`, which is not a label; the labels are "
            f"{', '.join(labels)}"
        )
    pairs = said.pop(OPPOSITES, None) or []
    return OwnWords(
        {str(label): _words(path, str(label), words) for label, words in said.items()},
        tuple(_pair(path, pair) for pair in pairs),
    )


def _words(path: str, label: str, words: Any) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"the word list {path}: `{label}` must be a list of words; put numbers and yes/no in quotes")
    return tuple(word.strip().lower() for word in words)


def _pair(path: str, pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(word, str) and word.strip() for word in pair):
        raise DataError(f"the word list {path}: each of `{OPPOSITES}` must be two words, as in [good, bad]; not {pair}")
    return pair[0].strip().lower(), pair[1].strip().lower()

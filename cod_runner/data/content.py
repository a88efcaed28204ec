"""What decides whether two inputs are equal, a random order of rows that depends on nothing else, and rows by class."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from cod_runner.api import Example, Input


def content_of(value: Input) -> Input:
    """What decides whether two inputs are equal: a text after NFC and folding of white space, or the vector."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    return value


def content_rank(purpose: str, seed: int, example: Example) -> bytes:
    """A pseudo-random sort key that depends on the purpose, the seed and the content alone, so that sorting by it
    gives the same order in every process, whatever the order of a file's rows."""
    content = content_of(example.input)
    if isinstance(content, tuple):
        content = tuple(map(float, content))
    spelled = content if isinstance(content, str) else repr(content)
    return hashlib.sha256(f"{purpose}\0{seed}\0{spelled}".encode("utf-8", "surrogatepass")).digest()


def by_class(rows: Iterable[Example], classes: int) -> list[list[Example]]:
    """The rows by class id, ``[classes][rows]``, each in their order."""
    found: list[list[Example]] = [[] for _ in range(classes)]
    for row in rows:
        found[row.hard_label].append(row)
    return found

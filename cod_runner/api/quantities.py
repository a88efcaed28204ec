"""Options that are quantities with a unit."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_WRITTEN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?((?:[KMGT]i?)?B)")
_UNITS = {"B": 1} | {
    f"{prefix}{binary}B": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for binary, base in (("", 1000), ("i", 1024))
}
_LARGEST = 10**18
"""More than any machine has; a number beyond it is a slip of the hand."""


def _bytes(value: Any) -> int:
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        size = round(float(found[1]) * _UNITS[found[2]])
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(f"write it as in 8GB, 512MB or 8GiB, or as a whole number of bytes, not {value!r:.40}")
    if not 1 <= size <= _LARGEST:
        raise ValueError(f"{value!r:.40} is not an amount of memory; write it as in 8GB")
    return size


_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})? ?([KMGT]i?)?B$"},
    ]
}


MemoryOption = Annotated[int, BeforeValidator(_bytes), Field(title="amount of memory"), WithJsonSchema(_SCHEMA)]
"""An option that is an amount of memory, in bytes: written as 8GB (a thousand million each), 8GiB (2 to the power of 30
each), or as a whole number of bytes."""

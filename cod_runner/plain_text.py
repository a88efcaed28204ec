"""Text of strangers (labels, data, plugins, providers, file names) as a terminal, a log or a page may show it."""

from __future__ import annotations

import json
import logging
import math
import re
from typing import Any

_OBEYED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
"""Characters that move the cursor, colour a terminal, change the text's direction or are invisible, and lone
surrogates; the inside of a character class."""
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
"""The flag of a region, such as Scotland's, which emoji spell with invisible letters."""
_JOINING = "[^\x00-\x7f\u200b-\u200f\u2028-\u202e\u2060-\u206f]"
_JOINED = f"(?<={_JOINING})[\u200c\u200d](?={_JOINING})"
"""A joiner inside an emoji, or inside a word of a script that needs it: Persian, Hindi, ..."""
_STEP = re.compile(f"({_FLAG}|{_JOINED})|[{_OBEYED}]")
_LINE_END = re.compile("\r\n|[\n\x0b\x0c\r\x85\u2028\u2029]")
_IN_JSON = re.compile(f"({_FLAG}|{_JOINED}|\n)|[{_OBEYED}]")


def visible(text: str) -> str:
    r"""The text with control, direction and invisible characters written out, as in ``\x1b`` or ``\u202e``.

    Tabs and line ends stay, and so do the joiners of emoji, Persian or Hindi.
    """
    return text if text.isascii() and text.isprintable() else _STEP.sub(_written_out, text)


def one_line(text: str) -> str:
    """The :func:`visible` text with a space for every line end and tab, where a line break would be a forgery."""
    return visible(_LINE_END.sub(" ", text).replace("\t", " "))


def shortened(text: str, length: int) -> str:
    """The text, cut and ended with `...` where it is too long."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def json_text(data: Any) -> str:
    """Data as indented JSON that reads back as the same data and that a terminal can show safely.

    What :func:`visible` writes out is escaped as JSON does. JSON has no infinite number and no NaN: they are null.
    """
    return _IN_JSON.sub(_escaped_in_json, json.dumps(without_nan(data), indent=2, ensure_ascii=False, allow_nan=False))


def json_line(data: Any) -> str:
    """:func:`json_text` on one line."""
    return _IN_JSON.sub(_escaped_in_json, json.dumps(without_nan(data), ensure_ascii=False, allow_nan=False))


def without_nan(data: Any) -> Any:
    """Plain data with None for every number that is infinite or NaN, which JSON cannot hold."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_nan(value) for value in data]
    return data


class LogLines(logging.Formatter):
    """Formats a record as one visible line; a traceback below it keeps its lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _written_out(found: re.Match[str]) -> str:
    if found.group(1):
        return found.group()
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped_in_json(found: re.Match[str]) -> str:
    return found.group() if found.group(1) else json.dumps(found.group())[1:-1]

"""One list of characters that are written out, for terminal, log, page and JSON."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cod_runner.plain_text import LogLines, json_line, json_text, one_line, visible

ANYTHING = st.text(st.characters(categories=None), max_size=40)
READABLE = (
    "tab\tand\nline",
    "שלום עולם مرحبا",
    "é e\u0301 ß 漢字",
    "[bold]a[/bold] {+b+}",
    "می\u200cخواهم",
    "क्\u200dष",
    "👨\u200d👩\u200d👧 ❤\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
)
"""Persian and Hindi with the joiners that they need, a family, Scotland's flag."""


@pytest.mark.parametrize(
    ("character", "shown"),
    [("\x00", r"\x00"), ("\x07", r"\x07"), ("\x1b", r"\x1b"), ("\x7f", r"\x7f"), ("\x9b", r"\x9b"),
     ("\u061c", r"\u061c"), ("\u200b", r"\u200b"), ("\u200d", r"\u200d"), ("\u200f", r"\u200f"), ("\u2028", r"\u2028"),
     ("\u202e", r"\u202e"), ("\u2066", r"\u2066"), ("\ufeff", r"\ufeff"), ("\ud800", r"\ud800"),
     ("\U000e0041", r"\U000e0041")],
)  # fmt: skip
def test_what_is_obeyed_or_invisible_is_written_out(character: str, shown: str) -> None:
    assert visible(f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize("text", READABLE)
def test_what_reads_as_text_stays(text: str) -> None:
    assert visible(text) == text


def test_one_line_is_one_line() -> None:
    assert one_line("a\r\nb\nc\td\x85e\u2028f\rg") == "a b c d e f g"


@given(ANYTHING)
def test_any_text_can_be_printed(text: str) -> None:
    shown = one_line(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert one_line(shown) == shown, "written out once"


@given(st.recursive(ANYTHING | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner)))
def test_json_reads_back_as_the_same_data_and_can_be_printed(data: object) -> None:
    text = json_text(data)
    text.encode()
    assert json.loads(text) == data
    assert not any(character in text for character in "\x1b\x9b\u202e")


def test_a_log_s_record_is_one_line() -> None:
    record = logging.LogRecord("codrun", logging.INFO, "", 0, "got %s", ("\x1b[2J\n2026 ERROR forged",), None)
    assert LogLines().format(record).endswith(r"INFO got \x1b[2J 2026 ERROR forged")


def test_json_has_null_for_what_it_has_no_number_for() -> None:
    data = {"a": [float("nan"), 1.5, (float("inf"), True)], "b": {"c": -float("inf"), "d": None, "e": "NaN"}}
    expected = {"a": [None, 1.5, [None, True]], "b": {"c": None, "d": None, "e": "NaN"}}
    assert json.loads(json_text(data), parse_constant=pytest.fail) == expected
    assert json.loads(json_line(data), parse_constant=pytest.fail) == expected

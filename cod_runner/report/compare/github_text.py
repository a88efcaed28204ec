"""Texts of strangers in a comment on GitHub or its like: shown as they are, calling nobody, linking to nothing."""

from __future__ import annotations

import re

from cod_runner.plain_text import one_line, shortened
from cod_runner.report.text import markdown_line

LONGEST_NAME = 300
LONGEST_SENTENCE = 4000
"""Characters that are shown."""
_BREAK = "&#8203;"
"""A space of no width: what stands on its two sides is read as two words."""
_CALLS = re.compile(
    r"(?<=@)(?=\w)|(?<=#)(?=\d)|(?<=\bgh-)(?=\d)|(?<=\bwww)(?=\.)|(?<=:)(?=//)|(?<=:)(?=[\w+-]+:)", re.IGNORECASE
)
"""Inside a mention, a reference to an issue, a bare address, an emoji's name."""


def code(text: str) -> str:
    """The text as a code span, inside which a forge reads no markup, mention, reference, address or formula."""
    shown = shortened(" ".join(one_line(text).split()), LONGEST_NAME) or "(empty)"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def plain(text: str) -> str:
    """The text as words of a sentence: escaped as in ``table.md``, and without what a forge adds to Markdown."""
    shown = markdown_line(shortened(text, LONGEST_SENTENCE)).replace("[", "\\[")
    return _CALLS.sub(_BREAK, shown).replace("$", "&#36;")

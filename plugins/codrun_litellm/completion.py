"""Prompts for base models, which continue a text and follow no instructions: a few pairs, then a text without its own.

The pairs are verified demonstrations of the run where there are any, in-context examples as in Brown et al., "Language
Models are Few-Shot Learners" (2020), section 2, arXiv 2005.14165; else two of ours for the prompt's task, whose classes
have names of their own, so that they say nothing of the data set. An answer is one line, so each text is put on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cod_runner.api import Request
from codrun_litellm.alike import ALIKE
from codrun_litellm.prompts import Demonstration, as_valid, filled, names_in, prompt_text, template_name

VERSION = 1
"""Increase it when a prompt's wording changes: it is part of every answer's key."""
STOP = ["\n"]
"""An answer ends with its line."""

HEADING = """\
Each text is followed by the same text with as few words changed as can be, so that its class is another. {describe} \
The classes are: {labels}."""
HEADINGS = {
    "paraphrase": "Each text is followed by one that says the same in other words.",
    "in_domain": "Each text is followed by another one of the same kind.",
}
PAIRS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "generic": (
        ("The shop opens at nine today.", "Does the shop open at nine today?", "statement", "question"),
        ("I visited my uncle in Leeds.", "I will visit my uncle in Leeds.", "past", "future"),
    ),
    "sentiment": (
        ("The staff were friendly, the soup hot.", "The staff were rude, the soup cold.", "praise", "complaint"),
        ("We waited an hour and went home hungry.", "We waited a minute and went home full.", "complaint", "praise"),
    ),
    "grammaticality": (
        ("She walks to school with her brother.", "She walk to school with her brother.", "correct", "incorrect"),
        ("The children was playing in the yard.", "The children were playing in the yard.", "incorrect", "correct"),
    ),
    "topic": (
        ("The bank has put up its rates again.", "The club has put up its ticket prices again.", "finance", "sport"),
        ("Doctors discussed the new vaccine.", "Engineers discussed the new engine.", "health", "industry"),
    ),
    "paraphrase": (
        ("The train was late because of the snow.", "Snow held the train up.", "", ""),
        ("Nobody told me that the office had moved.", "I was never told of the office's new address.", "", ""),
    ),
    "in_domain": (
        ("The train was late because of the snow.", "The road was closed after the storm.", "", ""),
        ("Add the flour and stir until it is smooth.", "Let the rice simmer for a quarter of an hour.", "", ""),
    ),
}  # fmt: skip
"""By prompt: text, edited text, the class before and after."""


def completion_template(prompt: str) -> str:
    """Name and version of a prompt in this form."""
    return f"{template_name(prompt)}-completion-v{VERSION}"


def to_be_continued(
    request: Request, prompt: str, labels: Sequence[str], describe: str, demonstrations: Sequence[Demonstration] = ()
) -> str:
    """The text whose next line is the candidate.

    ``prompt`` as for chats; of a file with instructions, these come first. Raises :class:`DataError` if it cannot be
    read.
    """
    if prompt in ALIKE:
        heading = HEADINGS[prompt]
    else:
        heading = filled(
            prompt_text(prompt) if prompt.startswith("file:") else HEADING, names_in(request, labels, describe)
        )
    pairs = [(before, after, labels[old], labels[new]) for before, after, old, new in demonstrations]
    blocks = [_block(*pair) for pair in pairs or PAIRS.get(prompt, PAIRS["generic"])]
    old, new = ("", "") if prompt in ALIKE else (labels[request.label], labels[request.target])
    return as_valid("\n\n".join([heading, *blocks, _block(request.input, "", old, new)]))


def continued(text: str, finish: str) -> str:
    """The candidate in an answer: its first line; "" where that was cut off."""
    line, ended, _ = text.lstrip(" \t").partition("\n")
    return "" if finish == "length" and not ended else line.strip()


def _block(before: Any, after: Any, old: str, new: str) -> str:
    given, wanted = (f"Text ({_line(old)}):", f"Edited ({_line(new)}):") if new else ("Text:", "Another:")
    return f"{given} {_line(before)}\n{wanted} {_line(after)}".rstrip()


def _line(text: Any) -> str:
    return " ".join(line.strip() for line in str(text).splitlines() if line.strip())

"""The parts of a new recipe as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cod_runner.data.corpus import Corpus
from cod_runner.recipe.writing import value_yaml
from cod_runner.scaffold.defaults import (
    ARMS,
    EVALUATED_ROWS,
    UNLABELLED_ROWS,
    UNLABELLED_ROWS_ASKED,
    WORDS_IN_USE,
    WORDS_TO_TRY,
)
from cod_runner.scaffold.words import suggested_words

SAYS_LITTLE = frozenset("label labels class classes category target text texts content body column value y".split())
"""Names of columns that tell a language model nothing of the task."""
VERBS = frozenset("is has was are does did can will".split())
"""With which names of columns begin that answer yes or no."""
MOST_WORDS = 3


def dataset_lines(component: str, options: dict[str, Any]) -> str:
    """The data set and its options, a mapping over several lines."""
    lines = [f"  use: {component}"]
    for key, value in options.items():
        if isinstance(value, dict):
            lines += [f"  {key}:", *(f"    {value_yaml(raw)}: {value_yaml(name)}" for raw, name in value.items())]
        else:
            lines.append(f"  {key}: {value_yaml(value)}")
    if options["labels"] == [str(index) for index in range(len(options["labels"]))]:
        lines[-1] += "      # names are better: write them here, in the order of the ids"
    return "\n".join(lines)


def task_in_words(label: str, text: Sequence[str], labels: Sequence[str], joint: str) -> str:
    """One sentence on the task, for a language model: what is asked, and what the answers are."""
    listed = f"{', '.join(labels[:-1])} or {labels[-1]}"
    of = "the text" if len(text) == 1 else f"{' and '.join(text)}, with `{joint.strip()}` between them"
    spoken = spoken_name(label)
    return f"What is the {spoken} of {of}: {listed}?" if spoken else f"Which of these fits {of}: {listed}?"


def spoken_name(column: str) -> str | None:
    """A column's name as words of a sentence, such as ``product type``; None where it says nothing, or too much."""
    words = re.sub(r"[_\s]+", " ", column).strip().lower().removeprefix("the ").split(" ")
    tells = len(words) <= MOST_WORDS and all(re.fullmatch(r"[^\W\d]+", word) for word in words)
    return " ".join(words) if tells and not set(words) & SAYS_LITTLE and words[0] not in VERBS else None


def asked_as_lines(label: str, text: Sequence[str]) -> str:
    """What the prompt calls a text and its label, where the columns' names say it."""
    names = {"text_name": spoken_name(text[0]) if len(text) == 1 else None, "label_name": spoken_name(label)}
    return "".join(f"  {key}: {value_yaml(name.capitalize())}\n" for key, name in names.items() if name)


def words_lines(corpus: Corpus, *, in_use: bool) -> str:
    """The lexicon's words for each label; a comment unless they are ``in_use``."""
    suggested = suggested_words(corpus.pool, corpus.labels)
    before = " " * 8 if in_use else f"{' ' * 6}#   "
    listed = "\n".join(f"{before}{value_yaml(label)}: {value_yaml(words)}" for label, words in suggested.items())
    if not in_use:
        return WORDS_TO_TRY.format(rows=len(corpus.pool), listed=listed)
    advice = (
        "correct them" if corpus.fold is None else f"write your own\n{' ' * 37}# (each of these rows is measured too)"
    )
    return WORDS_IN_USE.format(rows=len(corpus.pool), listed=listed, advice=advice)


def arms_lines(corpus: Corpus, *, asked: bool) -> str:
    """An arm with the texts that have no label, if there are any; "" else. ``asked``: each is a question to a language
    model."""
    rows = min(len(corpus.unlabelled), UNLABELLED_ROWS_ASKED if asked else UNLABELLED_ROWS)
    return ARMS.format(rows=rows) if rows else ""


def evaluate_lines(split: str, folds: int | None, *, asked: bool) -> str:
    """Where students are measured, if that is not what a recipe says by itself; "" else."""
    if folds is not None:
        return (
            f"evaluate: {{folds: {folds}}}                # few rows: each seed is measured on another part of them\n"
        )
    said = {"split": split} if split != "validation" else {}
    bounded = {"rows": EVALUATED_ROWS} if asked else {}
    if not said | bounded:
        return ""
    line = f"evaluate: {value_yaml(said | bounded)}"
    return f"{line:<37}# the teacher is asked about each of them too\n" if asked else f"{line}\n"

"""How good a teacher is against always answering the most frequent class, which nobody needs a teacher for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cod_runner.binomial import at_least
from cod_runner.progress import Progress

SIGNIFICANCE = 0.05
"""Of the test of :func:`warning_of_chance`."""


def accuracy_in_words(facts: Mapping[str, Any]) -> str:
    """One sentence on the teacher's accuracy, from its facts in ``run.json``."""
    label, share, rows = _most_frequent(facts)
    return (
        f"the teacher labels {facts['accuracy']:.3f} of {rows:,} evaluation rows correctly; always answering "
        f"`{label}` would be right for {share:.3f}"
    )


def warning_of_chance(facts: Mapping[str, Any]) -> str | None:
    """One sentence, where a teacher cannot be told from always answering the most frequent class, by the exact
    one-sided binomial test; None where it can, or nothing was measured."""
    if "accuracy" not in facts or not facts.get("rows_by_class"):
        return None
    label, share, rows = _most_frequent(facts)
    p = at_least(round(facts["accuracy"] * rows), rows, share)
    if p < SIGNIFICANCE:
        return None
    return (
        f"the teacher is near chance: it labels {facts['accuracy']:.3f} of {rows:,} evaluation rows correctly, and "
        f"always answering `{label}` {share:.3f} (p = {p:.2g} that so many are right by chance). Students learn what "
        f"it says, and its flips mean little: {_cure(facts)}"
    )


def warn_of_chance(progress: Progress, facts: Mapping[str, Any]) -> None:
    """Say it, where there is something to say."""
    if (near := warning_of_chance(facts)) is not None:
        progress.warn(near)


def _most_frequent(facts: Mapping[str, Any]) -> tuple[str, float, int]:
    """(the class, its share, the number of all rows)."""
    counts: Mapping[str, int] = facts["rows_by_class"]
    label = max(counts, key=lambda name: counts[name])
    return label, counts[label] / sum(counts.values()), sum(counts.values())


def _cure(facts: Mapping[str, Any]) -> str:
    if facts.get("shots") == 0:
        return (
            "if it is a language model, give it `shots`, say in `describe` what the labels mean, or take a larger one; "
            "if not, see what it says of a text of each label"
        )
    if "shots" in facts:
        return "give it more `shots`, say in `describe` what the labels mean, or take a larger model"
    if facts.get("finetuned"):
        return "raise `epochs` or `lr` of `teacher.finetune`, give it more rows, or take a larger model"
    return "see that its labels are those of the data, in their order, or train it with `teacher.finetune`"

"""The chooser `fresh_words`: no stock clauses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from cod_runner.api import BuildContext, Choice, Choosing, DataError, Input
from codrun_choosers.plugin import FreshWordsOptions
from codrun_choosers.small_changes import followed_by_the_others, small_changes

WORD = re.compile(r"\w+(?:['’]\w+)*")
Changes: TypeAlias = Counter[tuple[str, str]]
"""How often each word was added (``+``) or removed (``-``)."""


class FreshWords:
    """Ranks small changes by how often their words were added, or removed, in the first choices for earlier originals:
    the mean over a candidate's changed words, so that a change of more words is not staler by that alone. Between equal
    means the given order decides, which is that of the edits.

    A clause that flips the teacher anywhere, such as "but it works", would otherwise stand in many counterfactuals, and
    a student could learn it in place of the contrast. A word that was removed before and is added now is no repetition,
    since it then speaks for either class.
    """

    nested = True

    def __init__(self, options: FreshWordsOptions, context: BuildContext) -> None:
        self._within = options.within_edits

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        """For each choice, positions of its candidates, the best first."""
        seen: Changes = Counter()
        ranked = []
        for choice in choices:
            before = _words(choice.original.input)
            changes = [_changes(before, _words(candidate.input)) for candidate in choice.candidates]
            stale = [_mean_count(each, seen) for each in changes]
            small = sorted(small_changes(choice, self._within), key=stale.__getitem__)
            ranked.append(followed_by_the_others(small, choice))
            if small:
                seen += changes[small[0]]
        return ranked


def _mean_count(changes: Changes, seen: Changes) -> float:
    return sum(seen[change] * count for change, count in changes.items()) / max(1, changes.total())


def _changes(before: Counter[str], after: Counter[str]) -> Changes:
    added = {("+", word): count for word, count in (after - before).items()}
    return Counter(added | {("-", word): count for word, count in (before - after).items()})


def _words(value: Input) -> Counter[str]:
    if not isinstance(value, str):
        raise DataError("the chooser `fresh_words` compares words, but the inputs of this data set are not texts")
    return Counter(WORD.findall(value.casefold().replace("’", "'")))

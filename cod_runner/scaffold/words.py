"""Words that say each label, suggested from labelled texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from cod_runner.api import Example

WORDS_OF_A_LABEL = 8
"""A handful, which the author of the recipe reads and corrects."""
SEEN = 2
"""Texts of a label that must hold a word."""
SMOOTHING = 0.5
CLEAR = 1.0
"""Log-odds, in standard errors, from which on a word is suggested."""
SHORTEST = 3
COMMON_WORDS = frozenset(
    "about after again all also always and any are back because been before both but came can come could day days "
    "did does done down each end even evening ever every few find first five for found four from gave get give goes "
    "got had has have her here his hour hours how into its just keep last less let like long made make many may "
    "mine minutes more morning most much must never new next night not now off old once one only other our out over "
    "own put said same say see she should since six some still such take ten than that the their them then there "
    "these they this those though three through time times too took two under until upon use used very want was "
    "week weeks well went were what thanks when where which while who why will with without would year years yet "
    "you your".split()
)
"""English words that go with no subject, however often they stand with one label among few texts."""
_SENTIMENT = re.compile(
    r"(very |somewhat |slightly )?(pos|positive|good|neg|negative|bad|neu|neutral|mixed|happy|sad|(dis)?liked?|loved?|"
    r"hated?|(un)?favou?rable|\d|\d stars?)"
)


def speaks_of_sentiment(labels: Sequence[str]) -> bool:
    """Whether the names of the labels are of praise and blame, for which lexicons have words; two numbers are ids, more
    may be stars."""
    folded = [" ".join(label.lower().replace("_", " ").split()) for label in labels]
    ids = len(folded) == 2 and all(label.isdecimal() for label in folded)
    return all(map(_SENTIMENT.fullmatch, folded)) and not ids


def suggested_words(rows: Sequence[Example], labels: Sequence[str]) -> dict[str, list[str]]:
    """For each label the words that go with it, the clearest first, by smoothed log-odds of texts against all others.

    Only the labels of ``rows`` are read.
    """
    having = [Counter[str]() for _ in labels]
    texts = [0] * len(labels)
    for row in rows:
        texts[row.hard_label] += 1
        having[row.hard_label].update(_words_of(str(row.input)))
    return {name: _of_label(label, having, texts) for label, name in enumerate(labels)}


def _of_label(label: int, having: Sequence[Counter[str]], texts: Sequence[int]) -> list[str]:
    elsewhere: Counter[str] = Counter()
    for other, counts in enumerate(having):
        if other != label:
            elsewhere.update(counts)
    rest = sum(texts) - texts[label]
    clear = {}
    for word, count in having[label].items():
        if count >= SEEN and word not in COMMON_WORDS:
            here, there = count + SMOOTHING, elsewhere[word] + SMOOTHING
            odds = here / (texts[label] - count + SMOOTHING) / (there / (rest - elsewhere[word] + SMOOTHING))
            clear[word] = math.log(odds) / math.sqrt(1 / here + 1 / there)
    ranked = sorted((word for word in clear if clear[word] > CLEAR), key=lambda word: (-clear[word], word))
    return ranked[:WORDS_OF_A_LABEL]


def _words_of(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]+", text.lower()) if len(word) >= SHORTEST}

"""Which way words lean between two classes: by the valence lexicon for sentiment, otherwise learned from the pool."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from cod_runner.api import CodrunError, Example
from codrun_lexicon.opposites import Opposites
from codrun_lexicon.text import Sentence

_PRAISE = re.compile(r"(pos|positive|good|favou?rable|happy|recommended|praise|thumbs.?up|yes|like[ds]?|love[ds]?)")
_BLAME = re.compile(
    r"(neg|negative|bad|unfavou?rable|sad|not.recommended|blame|thumbs.?down|no|dislike[ds]?|hate[ds]?)"
)
_NEUTRAL = re.compile(r"(neu|neutral|mixed|ok|okay|average)")
_STARS = re.compile(r"(?:rating[ _-]?)?(\d)(?:\.0)?(?:[ _-]?(?:stars?|points?))?|(one|two|three|four|five)[ _-]?stars?")
_NUMBERS = ("one", "two", "three", "four", "five")
SMOOTHING = 0.5
SEEN_ENOUGH = 3
"""Number of texts that must hold a word before its learned leaning counts."""


def sentiment_of_labels(labels: Sequence[str]) -> tuple[float, ...] | None:
    """Each class's position from blame (-1) to praise (1), if every label name gives it; else None."""
    names = [" ".join(label.lower().replace("_", " ").split()) for label in labels]
    stars = [_STARS.fullmatch(name) for name in names]
    if len(names) > 2 and all(stars):
        counts = [float(match[1] or 1 + _NUMBERS.index(match[2])) for match in stars if match]
        low, high = min(counts), max(counts)
        return tuple(2 * (count - low) / (high - low) - 1 for count in counts) if high > low else None
    places: list[float] = []
    for name in names:
        strength = 1.0
        if name.startswith("very "):
            name = name.removeprefix("very ")
        elif name.startswith(("somewhat ", "slightly ")):
            name, strength = name.split(" ", 1)[1], 0.5
        if _PRAISE.fullmatch(name):
            places.append(strength)
        elif _BLAME.fullmatch(name):
            places.append(-strength)
        elif _NEUTRAL.fullmatch(name):
            places.append(0.0)
        else:
            return None
    return tuple(places) if len(set(places)) > 1 else None


@functools.cache
def vader() -> Mapping[str, float]:
    """Word to valence, -4 to 4, from the lexicon file of vaderSentiment; its module is never imported."""
    spec = find_spec("vaderSentiment")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((Path(folder, "vader_lexicon.txt") for folder in folders), None)
    if path is None or not path.is_file():
        raise CodrunError("the generator `lexicon` needs the word list of vaderSentiment; pip install vaderSentiment")
    valences = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition("\t")
        if word.isalpha() and rest:
            valences[word.lower()] = float(rest.split("\t")[0])
    return valences


class Leaning:
    """How much a word speaks for one class against another.

    For sentiment this comes from the handwritten list and the valence lexicon; for other tasks from smoothed log-odds
    over the training pool. A user's own word lists come before either.
    """

    def __init__(
        self, labels: Sequence[str], pool: Sequence[Example], listed: Opposites, own: Mapping[str, Sequence[str]]
    ) -> None:
        self.sentiment = sentiment_of_labels(labels)
        self._listed = listed
        self._own = [frozenset(word.lower() for word in own.get(label, ())) for label in labels]
        self._texts: Counter[str] = Counter()
        self._with: list[Counter[str]] = [Counter() for _ in labels]
        self._rows = [0] * len(labels)
        for example in pool:
            words = {token.lower for token in Sentence.of(str(example.input)).tokens if token.is_word}
            self._texts.update(words)
            self._with[example.label].update(words)
            self._rows[example.label] += 1

    def learned(self, word: str, label: int, target: int) -> float:
        """Log-odds of the word in texts of ``target`` against those of ``label``, in standard errors; 0 if rare."""
        if self._texts[word] < SEEN_ENOUGH or not self._rows[label] or not self._rows[target]:
            return 0.0
        there, here = self._with[target][word] + SMOOTHING, self._with[label][word] + SMOOTHING
        odds = math.log(there / (self._rows[target] - there + 1) / (here / (self._rows[label] - here + 1)))
        return odds / math.sqrt(1 / there + 1 / here)

    def direction(self, label: int, target: int) -> int:
        """1 if ``target`` is closer to praise than ``label``, -1 if closer to blame, 0 if neither."""
        if self.sentiment is None:
            return 0
        change = self.sentiment[target] - self.sentiment[label]
        return (change > 0) - (change < 0)

    def towards(self, word: str, label: int, target: int) -> float:
        """Above 0: the word speaks for ``target``; below 0: for ``label``; about 1 is a clear case."""
        if word in self._own[target] or word in self._own[label]:
            return 1.0 if word in self._own[target] else -1.0
        direction = self.direction(label, target)
        if not direction:
            learned = self.learned(word, label, target) / 3
            return max(-1.0, min(1.0, learned)) if abs(learned) > 0.5 else 0.0
        side = self._listed.side(word)
        if side:
            return float(side * direction)
        return vader().get(word, 0.0) / 2 * direction

    def typical(self, label: int, target: int) -> list[str]:
        """Words that speak for ``target``, the clearest first: the user's own, then listed or learned ones."""
        own = sorted(self._own[target])
        if self.direction(label, target):
            known: Sequence[str] = [word for word in vader() if self._texts[word] >= SEEN_ENOUGH]
        else:
            known = [word for word, texts in self._texts.items() if texts >= SEEN_ENOUGH]
        leaning = {word: self.towards(word, label, target) for word in known if len(word) > 2}
        others = sorted((word for word, lean in leaning.items() if lean > 0.5), key=lambda word: (-leaning[word], word))
        return own + [word for word in others if word not in set(own)]

"""Which way words lean between two classes: for sentiment by the valence lexicon, else by the teacher's readings."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from cod_runner.api import CodrunError
from codrun_lexicon.opposites import Opposites
from codrun_lexicon.readings import SEEN_ENOUGH, Readings

_PRAISE = re.compile(r"(pos|positive|good|favou?rable|happy|recommended|praise|thumbs.?up|yes|like[ds]?|love[ds]?)")
_BLAME = re.compile(
    r"(neg|negative|bad|unfavou?rable|sad|not.recommended|blame|thumbs.?down|no|dislike[ds]?|hate[ds]?)"
)
_NEUTRAL = re.compile(r"(neu|neutral|mixed|ok|okay|average)")
_STARS = re.compile(r"(?:rating[ _-]?)?(\d)(?:\.0)?(?:[ _-]?(?:stars?|points?))?|(one|two|three|four|five)[ _-]?stars?")
_NUMBERS = ("one", "two", "three", "four", "five")


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

    For sentiment this comes from the handwritten list and the valence lexicon, for other tasks from smoothed log-odds
    over what the teacher says of the pool's texts. A user's own word lists come before either.
    """

    def __init__(
        self,
        labels: Sequence[str],
        in_texts: Mapping[str, int],
        readings: Readings,
        listed: Opposites,
        own: Mapping[str, Sequence[str]],
    ) -> None:
        """``in_texts`` is the number of the pool's texts that hold each word."""
        self.sentiment = sentiment_of_labels(labels)
        self._listed, self._readings, self._in_texts = listed, readings, in_texts
        self._own = [frozenset(word.lower() for word in own.get(label, ())) for label in labels]

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
            learned = self._readings.towards(word, label, target) / 3
            return max(-1.0, min(1.0, learned)) if abs(learned) > 0.5 else 0.0
        side = self._listed.side(word)
        if side:
            return float(side * direction)
        return vader().get(word, 0.0) / 2 * direction

    def typical(self, label: int, target: int) -> list[str]:
        """Words that speak for ``target``, the clearest first: the user's own, then listed or learned ones."""
        own = sorted(self._own[target])
        if self.direction(label, target):
            known: Sequence[str] = [word for word in vader() if self._in_texts.get(word, 0) >= SEEN_ENOUGH]
        else:
            known = [word for word, texts in self._in_texts.items() if texts >= SEEN_ENOUGH]
        leaning = {word: self.towards(word, label, target) for word in known if len(word) > 2}
        others = sorted((word for word, lean in leaning.items() if lean > 0.5), key=lambda word: (-leaning[word], word))
        return own + [word for word in others if word not in set(own)]

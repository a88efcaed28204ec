"""A teacher without weights and generators by the script, for tests of the search."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence

from cod_runner.api import Attribution, Input, Proposal, Request, TeacherView

WORDS: Mapping[str, tuple[int, float]] = {
    "good": (1, 2.0), "great": (1, 3.0), "warm": (1, 1.0),
    "bad": (0, 2.0), "awful": (0, 3.0), "cold": (0, 1.0),
    "odd": (2, 4.0),
}  # fmt: skip
"""Word to the class it speaks for and how strongly."""


class WordCountTeacher:
    """Softmax of the summed weights of the words; class 0 of an empty text, narrowly."""

    def __init__(self, labels: tuple[str, ...] = ("negative", "positive")) -> None:
        self.labels = labels
        self.calls = 0
        self.read: list[Input] = []

    def score(self, inputs: Sequence[Input]) -> list[tuple[float, ...]]:
        self.calls += bool(inputs)
        self.read += inputs
        return [self._probabilities(value) for value in inputs]

    def _probabilities(self, value: Input) -> tuple[float, ...]:
        logits = [0.1, *[0.0] * (len(self.labels) - 1)]
        if isinstance(value, str):
            for word in re.findall(r"\w+", value.lower()):
                label, weight = WORDS.get(word, (0, 0.0))
                if label < len(logits):
                    logits[label] += weight
        else:
            logits[1] += sum(value)
        total = sum(map(math.exp, logits))
        return tuple(math.exp(logit) / total for logit in logits)

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        found = []
        for text, target in zip(inputs, targets, strict=True):
            words = re.finditer(r"\w+(?:'\w+)?", str(text))
            found.append(
                [
                    Attribution(word.start(), word.end(), weight if label == target else -weight)
                    for word in words
                    for label, weight in [WORDS.get(word[0].lower(), (0, 0.0))]
                ]
            )
        return found

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        if not isinstance(original, str) or not isinstance(changed, str):
            moved = math.dist(original, changed)  # type: ignore[arg-type]
            return moved, moved / math.hypot(*original)
        old, new = re.findall(r"\w+|[^\w\s]", original), re.findall(r"\w+|[^\w\s]", changed)
        codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        edits = sum(max(b - a, d - c) for kind, a, b, c, d in codes if kind != "equal")
        return float(edits), edits / max(1, len(old))

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        return [() for _ in words]


class Scripted:
    """Proposes what the script says for an input and a round; remembers what it was asked."""

    def __init__(self, script: Mapping[str, Sequence[Sequence[Proposal | str]]], rounds: int = 1) -> None:
        self.rounds = rounds
        self.asked: list[list[Request]] = []
        self._script = script

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        self.asked.append(list(requests))
        return [self._of(request) for request in requests]

    def _of(self, request: Request) -> list[Proposal]:
        rounds = self._script.get(str(request.input), ())
        offered = rounds[request.round - 1] if request.round <= len(rounds) else ()
        return [Proposal(one) if isinstance(one, str) else one for one in offered]

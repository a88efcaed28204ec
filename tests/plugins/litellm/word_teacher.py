"""A teacher without weights that counts good and bad words, for tests of the generator `litellm`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cod_runner.api import Attribution, BuildContext, Input, Request, Spending
from codrun_litellm.generator import LitellmGenerator
from codrun_litellm.options import LitellmOptions

LABELS = ("negative", "positive")
GOOD, BAD = {"good", "great", "warm"}, {"bad", "awful", "cold"}


class WordTeacher:
    """Class 1 where good words outnumber bad ones."""

    labels = LABELS

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        scores = []
        for text in inputs:
            words = re.findall(r"\w+", str(text).lower())
            margin = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
            scores.append((0.9, 0.1) if margin <= 0 else (0.1, 0.9))
        return scores

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return [
            [
                Attribution(found.start(), found.end(), 1.0 if found[0] in (BAD, GOOD)[target] else -0.5)
                for found in re.finditer(r"\w+", str(text))
            ]
            for text, target in zip(inputs, targets, strict=True)
        ]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        old, new = str(original).split(), str(changed).split()
        codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        edits = sum(max(b - a, d - c) for code, a, b, c, d in codes if code != "equal")
        return float(edits), edits / max(1, len(old))

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        return [() for _ in words]


def generator(
    store: Path,
    api_base: str | None,
    *,
    spending: Spending | None = None,
    offline: bool = False,
    labels: tuple[str, ...] = LABELS,
    pool: Sequence[object] = (),
    say: Callable[[str], None] = lambda sentence: None,
    **options: object,
) -> LitellmGenerator:
    """The generator `litellm` for model `openai/local` at ``api_base``."""
    settings = LitellmOptions.model_validate({"model": "openai/local", "api_base": api_base, **options})
    context = BuildContext(
        labels=labels,
        describe="Does a sentence praise a film?",
        store=store,
        spending=spending or Spending(),
        offline=offline,
        pool=pool,  # type: ignore[arg-type]
        say=say,
    )
    return LitellmGenerator(settings, context)


def asks(count: int, start: int = 0) -> list[Request]:
    """``count`` requests, each with a different text."""
    return [Request(f"r{i}", f"a good film number {i}", 1, 0) for i in range(start, start + count)]

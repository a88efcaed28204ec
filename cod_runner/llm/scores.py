"""Log-probabilities that a provider gave with an answer: how many are kept, and how they are written and read."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

TokenScores: TypeAlias = tuple[tuple[tuple[str, float], ...], ...]
"""For each token of an answer the likeliest tokens and their log-probabilities, the chosen one first."""
PromptScores: TypeAlias = tuple[tuple[str, float | None], ...]
"""The tokens of a prompt and their log-probabilities; None where there is none, as for a text's first token."""

MOST_TOKENS_SCORED, MOST_ALTERNATIVES = 8, 25
"""Of an answer, its first tokens: a label or a letter has come by then, and the ledger stays small."""
MOST_PROMPT_TOKENS_SCORED = 256
"""Of a prompt, its last tokens: what is to be scored stands at its end."""


def bounded_scores(scores: TokenScores | None) -> TokenScores | None:
    """As a ledger keeps them: the first tokens and alternatives, without numbers that JSON has no words for.

    A log-probability that is infinite or not a number is as good as none, so its entry is dropped. Everything else
    stays as the provider said it, a positive number too: judging it is the reader's part. None where nothing is left.
    """
    if scores is None:
        return None
    kept = tuple(
        tuple((valid_unicode(token), float(score)) for token, score in token_scores if math.isfinite(score))
        for token_scores in scores[:MOST_TOKENS_SCORED]
    )
    return tuple(each[:MOST_ALTERNATIVES] for each in kept) if any(kept) else None


def bounded_prompt_scores(scores: PromptScores | None) -> PromptScores | None:
    """The same of a prompt's last tokens; what is not a finite number is None, since every token keeps its place."""
    if not scores:
        return None
    return tuple(
        (valid_unicode(token), float(score) if score is not None and math.isfinite(score) else None)
        for token, score in scores[-MOST_PROMPT_TOKENS_SCORED:]
    )


def as_line(scores: TokenScores | None, prompt_scores: PromptScores | None) -> str:
    """Both as one line of JSON."""
    return json.dumps({"scores": scores, "prompt_scores": prompt_scores}, separators=(",", ":"), allow_nan=False)


def from_json(row: Any) -> tuple[TokenScores | None, PromptScores | None]:
    """Both from a mapping that may lack either; raises :class:`ValueError` or :class:`TypeError` where it is not one,
    or holds something else."""
    scores, prompt_scores = row.get("scores"), row.get("prompt_scores")
    return (
        None if scores is None else tuple(tuple((_text(a), _number(b)) for a, b in each) for each in scores),
        None
        if prompt_scores is None
        else tuple((_text(a), None if b is None else _number(b)) for a, b in prompt_scores),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a token is not text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a log-probability is not a number")
    return float(value)


def valid_unicode(text: str) -> str:
    """Half a surrogate pair, as a token may be, is not Unicode and would not survive being stored."""
    return text.encode("utf-8", "replace").decode()

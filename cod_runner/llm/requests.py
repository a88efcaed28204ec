"""Requests to a paid model, its answers, and how both are read from an export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cod_runner.errors import DataError
from cod_runner.llm.scores import PromptScores, TokenScores, bounded_prompt_scores, bounded_scores, from_json

MOST_TOKENS = 10**9
"""Of one answer; more is not a number of tokens."""
MOST_USD = 1e6
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a damaged request may raise."""


@dataclass(frozen=True)
class LLMRequest:
    """Everything that determines an answer. Contains no credentials: it is stored and exported unchanged."""

    provider: str
    model: str
    base: str
    messages: tuple[tuple[str, str], ...]
    """(role, content) of each message. A single message of the role ``prompt`` is a text to be continued: it goes to
    the provider's completion endpoint, not to its chat."""
    parameters: Mapping[str, Any]
    sample: int
    """Which of several samples of the same request."""
    template: str
    """Name and version of the prompt."""

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> LLMRequest:
        """Read what :meth:`as_json` wrote; raises one of :data:`UNREADABLE`."""
        return cls(
            provider=_text(row["provider"]),
            model=_text(row["model"]),
            base=_text(row["base"]),
            messages=tuple((str(message["role"]), str(message["content"])) for message in row["messages"]),
            parameters=dict(row["parameters"]),
            sample=int(row["sample"]),
            template=str(row["template"]),
        )

    def as_json(self) -> str:
        """Canonical JSON: equal requests have equal text."""
        return json.dumps(
            {
                "provider": self.provider,
                "model": self.model,
                "base": self.base,
                "messages": [{"role": role, "content": content} for role, content in self.messages],
                "parameters": dict(self.parameters),
                "sample": self.sample,
                "template": self.template,
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        )

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()


@dataclass(frozen=True)
class LLMAnswer:
    """A model's answer and what it cost. ``usd`` is None if the price is unknown."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    usd: float | None
    scores: TokenScores | None = None
    """For each of the answer's first tokens the likeliest tokens and their log-probabilities as the provider gives
    them, the chosen token first if it is named; None where the provider gave none. Not judged: a provider may give
    positive numbers, or name fewer tokens than were asked for."""
    prompt_scores: PromptScores | None = None
    """For completions that were asked with ``echo``: the prompt's last tokens and their log-probabilities; a text's
    first token has none."""

    @property
    def within_bounds(self) -> LLMAnswer:
        """The same, as a ledger can keep and add it up: numbers of tokens from 0 to :data:`MOST_TOKENS`, a price that
        is finite and not negative, or unknown, and the log-probabilities of so many tokens. A provider's answer is paid
        for, whatever its usage says."""
        tokens_in, tokens_out = (int(min(max(0, number), MOST_TOKENS)) for number in (self.tokens_in, self.tokens_out))
        usd = self.usd if self.usd is not None and 0 <= self.usd <= MOST_USD else None
        return replace(
            self,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            usd=usd,
            scores=bounded_scores(self.scores),
            prompt_scores=bounded_prompt_scores(self.prompt_scores),
        )


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank; raises :class:`DataError`."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_line(path: Path, number: int, line: str) -> tuple[LLMRequest, LLMAnswer, str]:
    """One line of an export: request, answer, when it was given; raises :class:`DataError` that names the line."""
    try:
        row = json.loads(line)
        request = LLMRequest.from_json(row)
        usd = None if row["usd"] is None else float(row["usd"])
        tokens = int(row["tokens_in"]), int(row["tokens_out"])
        answer = LLMAnswer(str(row["text"]), _text(row["finish"]), *tokens, usd, *from_json(row))
        if answer != answer.within_bounds:
            raise ValueError("its tokens, price or log-probabilities are negative, infinite, or too many to be true")
        created = _text(row["created"])
        datetime.fromisoformat(created)
        key, own = row["key"], request.key
    except UNREADABLE as error:
        raise DataError(
            f"{path}:{number}: not a line of `codrun ledger export` ({type(error).__name__}: {error})"
        ) from error
    if key != own:
        raise DataError(f"{path}:{number}: the request does not belong to its key; the line was changed")
    return request, answer, created


def _text(value: Any) -> str:
    """A string that is valid Unicode, which is all that SQLite keeps; raises :class:`ValueError`."""
    text = str(value)
    text.encode()
    return text

"""A model that labels opinions, for a local server that gives or withholds its log-probabilities in many ways."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, Example, Spending
from cod_runner.testing.llm_server import Call, Reply, chat_logprobs, completion_logprobs
from codrun_litellm.teacher import LitellmTeacher
from codrun_litellm.teacher_options import LitellmTeacherOptions

LABELS = ("negative", "positive")
WEIGHTS = {"good": 1.5, "great": 2.5, "bad": -1.5, "awful": -2.5}
LETTER_BIAS = 0.8
"""By which the model leans towards the letter A, whatever it stands for."""
SHOTS = (
    Example("s0", "an awful day", 0),
    Example("s1", "a great day", 1),
)
TEXTS = ["a good film", "a bad film", "an awful film", "a great film", "a film"]


def text_asked(call: Call) -> str:
    """The text that a call asks about."""
    return re.findall(r"(?:Text|Review): (.*)", call.prompt)[-1]


def opinion(text: str) -> float:
    """The log-odds of `positive`."""
    return sum(WEIGHTS.get(word, 0.0) for word in text.split())


def shares(call: Call, bias: float = LETTER_BIAS) -> dict[str, float]:
    """Each answer's probability: letters where the call lists them, words otherwise."""
    odds = opinion(text_asked(call))
    instruction = "\n".join(str(message["content"]) for message in call.body.get("messages", []))
    listed = dict(re.findall(r"^([A-Z]): (\w+)$", instruction, re.MULTILINE))
    if not listed:
        return softmax({"negative": -odds / 2, "positive": odds / 2})
    logits = {letter: (odds if word == "positive" else -odds) / 2 for letter, word in listed.items()}
    return softmax({**logits, "A": logits["A"] + bias})


def softmax(logits: Mapping[str, float]) -> dict[str, float]:
    total = sum(math.exp(value) for value in logits.values())
    return {name: math.exp(value) / total for name, value in logits.items()}


def logs(sizes: Mapping[str, float], rest: float = 0.02) -> dict[str, float]:
    """Likeliest first, with tokens that are no answer, which have ``rest`` of the probability."""
    told = {name: math.log(size * (1 - rest)) for name, size in sizes.items() if size > 0}
    others = {f"other{place}": math.log(rest / 20) for place in range(18)} if rest else {}
    return dict(sorted({**told, **others}.items(), key=lambda pair: -pair[1]))


def proper(call: Call) -> Reply:
    """Answers as OpenAI's older models do, at both endpoints."""
    sizes = shares(call)
    asked = call.body.get("logprobs")
    if call.is_completion:
        first = logs({f" {name}": size for name, size in sizes.items()})
        return Reply(next(iter(first)), logprobs=completion_logprobs([first]) if asked else None)
    return Reply(max(sizes, key=lambda name: sizes[name]), logprobs=chat_logprobs([logs(sizes)]) if asked else None)


def spelled(call: Call, sizes: Mapping[str, float], rest: float = 0.02) -> Reply:
    """A chat answer of which the first token has these probabilities."""
    first = logs(sizes, rest)
    return Reply(next(iter(first)), logprobs=chat_logprobs([first]))


def silent(text: Callable[[Call], str], **reply: Any) -> Callable[[Call], Reply]:
    """A server whose chats hold a text and what ``reply`` says, and that has no other endpoint."""

    def answer(call: Call) -> Reply:
        return Reply("no such path", status=404) if call.is_completion else Reply(text(call), **reply)

    return answer


def in_words(call: Call) -> str:
    """An answer in words, the same each time."""
    sizes = shares(call, 0.0)
    return max(sizes, key=lambda name: sizes[name])


def raw_chat(logprobs: Any, text: str = "A") -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps(
        {
            "id": "x", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{**choice, "logprobs": logprobs}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
    )  # fmt: skip


def teacher(
    store: Path,
    api_base: str | None,
    *,
    said: list[str] | None = None,
    spending: Spending | None = None,
    offline: bool = False,
    labels: tuple[str, ...] = LABELS,
    shots: Sequence[Example] = SHOTS,
    describe: str = "Is the text's opinion positive?",
    **options: object,
) -> LitellmTeacher:
    """The teacher `litellm` for model `openai/local` at ``api_base``."""
    settings = LitellmTeacherOptions.model_validate({"model": "openai/local", "api_base": api_base, **options})
    context = BuildContext(
        labels=labels, describe=describe, shots=shots, store=store, spending=spending or Spending(), offline=offline,
        say=(said if said is not None else []).append,
    )  # fmt: skip
    return LitellmTeacher(settings, context)


def positive(made: LitellmTeacher, texts: Sequence[str]) -> list[float]:
    """The log-odds that a teacher gives to the second label."""
    return [float(row[1] - row[0]) for row in made.score(texts)]

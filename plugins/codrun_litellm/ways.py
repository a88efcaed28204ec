"""Ways of asking a language model for a text's label: what is sent, and how the answers are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cod_runner.api import LabelPrompt, LLMAnswer, LLMRequest
from codrun_litellm.connection import Connection
from codrun_litellm.heard import Heard, averaged, heard_in, normalised, reads_letters, reads_words
from codrun_litellm.label_answers import named_label

MOST_LETTERS = 26
VERSION = 1
"""Raised when what is sent changes: it is part of every request's key."""
TEMPERATURE = 1.0
"""Of every call: some servers give log-probabilities as they are after the temperature."""
STOP = ("\n",)
SPACES = str.maketrans({"\u0120": " ", "\u2581": " ", "\u010a": "\n"})
"""How some tokenizers spell a space and a line break."""
CLOSE_TO_ONE = 1.02


@dataclass(frozen=True)
class Asking:
    """What every request of a way has in common."""

    connection: Connection
    template: str
    """What the answers' keys say of the way: its name, and whether a probe asks."""
    system_role: bool = True
    top: int = 20
    """How many of the likeliest tokens the server is asked for."""

    def chat(self, prompt: LabelPrompt, text: str, parameters: dict[str, Any], sample: int = 0) -> LLMRequest:
        """A conversation that ends with the text."""
        return self._request(prompt.conversation(text, system_role=self.system_role), parameters, sample)

    def completion(self, text: str, parameters: dict[str, Any], sample: int = 0) -> LLMRequest:
        """A text to be continued."""
        return self._request((("prompt", text),), parameters, sample)

    def _request(self, messages: tuple[tuple[str, str], ...], own: dict[str, Any], sample: int) -> LLMRequest:
        connection = self.connection
        parameters = {**connection.parameters, "temperature": TEMPERATURE, **own}
        return connection.request(messages, parameters, sample, f"label-{self.template}-v{VERSION}")


class Way(Protocol):
    """One way of asking."""

    told: str
    """In words that follow "asked": which way this is."""
    one_token: bool
    """Whether one token's log-probabilities are the answer."""

    def requests(self, text: str) -> list[LLMRequest]:
        """The calls that ask about one text."""
        ...

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        """What the answers to all of them, in their order, say; the first alone is enough for a probe."""
        ...


def orders_of(classes: int, wanted: int) -> list[tuple[int, ...]]:
    """Orders of the labels: as they are, reversed, then both rotated further and further; fewer where all are used."""
    forward = tuple(range(classes))
    both = [order[by:] + order[:by] for by in range(classes) for order in (forward, forward[::-1])]
    return list(dict.fromkeys(both))[:wanted]


class Letters:
    """By the letters A, B, ... of a list of the labels: one token each, whatever the labels are called."""

    one_token = True

    def __init__(self, asking: Asking, prompt: LabelPrompt, orders: int) -> None:
        self._asking = asking
        self._prompts = [prompt.lettered(order) for order in orders_of(len(prompt.names), orders)]
        self._reads = [reads_letters(each.answers) for each in self._prompts]
        self._classes = len(prompt.names)
        times = "in one order of the labels" if len(self._prompts) == 1 else f"in {len(self._prompts)} orders of them"
        self.told = f"by the letters of the listed labels, one token's log-probabilities {times}"

    def requests(self, text: str) -> list[LLMRequest]:
        parameters = {"max_tokens": 1, "logprobs": True, "top_logprobs": self._asking.top}
        return [self._asking.chat(prompt, text, parameters) for prompt in self._prompts]

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        pairs = zip(answers, self._reads, strict=False)
        return averaged([heard_in(answer, reads, self._classes) for answer, reads in pairs])


class Words:
    """By the labels' words in a chat: the first token of each."""

    one_token = True
    told = "by the first tokens of the labels' words, one token's log-probabilities"

    def __init__(self, asking: Asking, prompt: LabelPrompt) -> None:
        self._asking, self._prompt = asking, prompt
        self._reads = reads_words(prompt.names)

    def requests(self, text: str) -> list[LLMRequest]:
        parameters = {"max_tokens": 1, "logprobs": True, "top_logprobs": self._asking.top}
        return [self._asking.chat(self._prompt, text, parameters)]

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        return heard_in(answers[0], self._reads, len(self._prompt.names))


class Continuation:
    """By the first token that continues a few-shot text: for base models."""

    one_token = True
    told = "to continue a few-shot text, by the first tokens of the labels' words"

    def __init__(self, asking: Asking, prompt: LabelPrompt) -> None:
        self._asking, self._prompt = asking, prompt
        self._reads = reads_words(prompt.names)

    def requests(self, text: str) -> list[LLMRequest]:
        parameters = {"max_tokens": 1, "logprobs": self._asking.top}
        return [self._asking.completion(self._prompt.completion(text), parameters)]

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        return heard_in(answers[0], self._reads, len(self._prompt.names))


class WholeLabels:
    """By a few-shot text that each label in turn ends: the sum of the log-probabilities of all of the label's tokens,
    from a server that gives those of a prompt (`echo`)."""

    one_token = False
    told = "to continue a few-shot text, every label scored whole, a call for each"

    def __init__(self, asking: Asking, prompt: LabelPrompt) -> None:
        self._asking, self._prompt = asking, prompt
        names = prompt.names
        nested = any(one is not other and other.startswith(one) for one in names for other in names)
        # where one label begins another, what ends it is scored too
        self._endings = [f" {name}\n" if nested else f" {name}" for name in names]

    def requests(self, text: str) -> list[LLMRequest]:
        asked, parameters = self._prompt.completion(text), {"max_tokens": 1, "logprobs": 1, "echo": True}
        return [self._asking.completion(asked + ending, parameters) for ending in self._endings]

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        masses = []
        for answer, ending in zip(answers, self._endings, strict=False):
            tokens = answer.prompt_scores or ()
            if answer.finish == "content_filter":
                return Heard(fault="refused the text")
            if not tokens:
                return Heard(fault="gives no log-probabilities of the prompt")
            log = _of_the_ending(tokens, ending)
            if log is None:
                return Heard(fault="gives log-probabilities of the prompt that do not end with the label's tokens")
            if log >= 0:
                return Heard(fault=f"gives log-probabilities of a label that are none: {log:g}")
            masses.append(log)
        return _of_logs(masses, len(self._endings))


def _of_the_ending(tokens: Sequence[tuple[str, float | None]], ending: str) -> float | None:
    """The log-probability of the last tokens, that spell ``ending``; None where no tokens do."""
    total, spelled = 0.0, ""
    for token, log in reversed(tokens):
        spelled = token.translate(SPACES) + spelled
        if log is None:
            return None
        total += log
        if len(spelled) >= len(ending):
            return total if spelled.strip() == ending.strip() else None
    return None


def _of_logs(logs: Sequence[float], classes: int) -> Heard:
    sizes = [math.exp(log) for log in logs]
    if sum(sizes) > CLOSE_TO_ONE:
        return Heard(fault=f"gives log-probabilities that are none: the labels' add up to {sum(sizes):.3g}")
    if len(logs) < classes:  # a probe asks about one label
        return Heard((), sizes[0], listed=1)
    top = max(logs)
    return Heard(normalised([math.exp(max(log - top, -700.0)) for log in logs]), min(1.0, sum(sizes)), listed=classes)


class Samples:
    """By answers drawn at temperature 1: the share of each label among them, smoothed by Laplace's rule of succession,
    ``(count + 1) / (n + classes)``. An answer that names no label is not counted."""

    one_token = False

    def __init__(self, asking: Asking, prompt: LabelPrompt, samples: int, continued: bool = False) -> None:
        self._asking, self._samples, self._continued = asking, samples, continued
        self._classes = len(prompt.names)
        lettered = not continued and self._classes <= MOST_LETTERS
        # each order of the labels is shown as often as the others, as with letters
        orders = orders_of(self._classes, 2) if lettered else []
        self._prompts = [prompt.lettered(order) for order in orders] or [prompt]
        of_what = "continuations of a few-shot text" if continued else "answers in words"
        self.told = f"for {samples} {of_what} to each text, drawn at temperature 1"

    def requests(self, text: str) -> list[LLMRequest]:
        asked = []
        for place in range(self._samples):
            prompt = self._prompts[place % len(self._prompts)]
            parameters: dict[str, Any] = {"max_tokens": self._asking.connection.max_tokens, "seed": place}
            if self._continued:
                parameters = {**parameters, "stop": list(STOP)}
                asked.append(self._asking.completion(prompt.completion(text), parameters, place))
            else:
                asked.append(self._asking.chat(prompt, text, parameters, place))
        return asked

    def heard(self, answers: Sequence[LLMAnswer]) -> Heard:
        counts = [0] * self._classes
        for place, answer in enumerate(answers):
            prompt = self._prompts[place % len(self._prompts)]
            letters = prompt.answers if prompt.places else ()
            filtered = answer.finish == "content_filter" and not answer.text
            label = None if filtered else named_label(answer.text, prompt.names, letters)
            if label is not None:
                counts[label] += 1
        named = sum(counts)
        if not named:
            return Heard(fault="names no label in its answers", first=answers[0].text[:40] if answers else "")
        return Heard(normalised([count + 1 for count in counts]), named / len(answers), listed=named)

"""The teacher `litellm`: a language model that is asked for the label of each text, and paid for once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cod_runner.api import BuildContext, CodrunError, Input, LabelPrompt, LLMRequest, SettingError
from codrun_litellm.call import imported_litellm
from codrun_litellm.heard import Heard
from codrun_litellm.paid import opened
from codrun_litellm.pricing import provider_of
from codrun_litellm.probe import Found, Offers, Probe
from codrun_litellm.teacher_options import LitellmTeacherOptions

if TYPE_CHECKING:
    from torch import Tensor

LOW_COVERAGE = 0.5
ENOUGH_TEXTS = 8
"""Before which nothing is said of their mean coverage, or of all of them being without an answer."""


class LitellmTeacher:
    """Kind ``teacher``, a label scorer: see :mod:`codrun_litellm.ways` for how it asks.

    A text that a model refuses to read, or about which it says nothing that can be read, has the answer 1/classes for
    each class, and is counted.
    """

    at_once = 512

    def __init__(self, options: LitellmTeacherOptions, context: BuildContext) -> None:
        self._options = options
        self.labels = context.labels
        shots = [(shot.input, shot.hard_label) for shot in context.shots]
        self._prompt = LabelPrompt.of(options, context.labels, context.describe, shots)
        self._say = context.say
        self._ledger, self._client = opened(options, context, "teacher `litellm`")
        self._texts, self._covered, self._silent, self._said_silent = 0, 0.0, 0, 0
        self._warned = False

    @property
    def fingerprint(self) -> str:
        """Hash of options, prompt with its shots, labels, and the way that was found: the first time it is asked for,
        the model may be asked how it can be asked."""
        decides = [self._options.identity(), self._prompt.fingerprint, list(self.labels), self._found.identity]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        """Log-probabilities ``[inputs, classes]``; all calls are in flight together, as far as `concurrency` lets
        them. Raises :class:`ProviderError` where one cannot be had; those that came are in the ledger."""
        import torch

        asked = [self._requests(value) for value in inputs]
        answers = self._client.ask([request for requests in asked for request in requests])
        heard = [self._found.way.heard([answers[request.key] for request in requests]) for requests in asked]
        progress(len(inputs), len(inputs))
        self._judge(heard)
        nothing = (-math.log(len(self.labels)),) * len(self.labels)
        rows = [each.logs or nothing for each in heard]
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.labels))

    def price(self, inputs: Sequence[Input]) -> float | None:
        """What the answers about these inputs cost when they were made; None where one has no price, or was not
        made."""
        keys = {request.key for value in inputs for request in self._requests(value)}
        answers = self._ledger.answers(list(keys))
        prices = [answer.usd for answer in answers.values() if answer.usd is not None]
        return math.fsum(prices) if len(prices) == len(keys) else None

    @property
    def coverage(self) -> float | None:
        """The mean share of the answers that was about the labels; None before any was asked for, and where the
        server makes it 1."""
        return self._covered / self._texts if self._texts and not self._found.renormalised else None

    def _requests(self, value: Any) -> list[LLMRequest]:
        return self._found.way.requests(value)

    @cached_property
    def _found(self) -> Found:
        found = Probe(self._options, self._prompt, self._client, self._ledger, self._offers()).find()
        self._say(found.sentence)
        return found

    def _offers(self) -> Offers:
        litellm, model = imported_litellm(), self._options.model
        taken = set(litellm.get_supported_openai_params(model=model) or ())
        provider = provider_of(model) or "openai"
        return Offers(
            logprobs={"logprobs", "top_logprobs"} <= taken,
            completions=provider == "openai" or provider in litellm.openai_text_completion_compatible_providers,
        )

    def _judge(self, heard: Sequence[Heard]) -> None:
        """Count and say what could not be read, and how much of the answers was about the labels."""
        silent = [each for each in heard if not each.logs]
        self._texts += len(heard)
        self._silent += len(silent)
        self._covered += sum(each.coverage for each in heard)
        if len(heard) >= ENOUGH_TEXTS and len(silent) == len(heard):
            raise CodrunError(
                f"no answer of `{self._options.model}` about {len(heard)} texts can be read: {_reason(silent[0])}; try "
                "another `way`, other `words`, or another model"
            )
        if self._silent > 2 * self._said_silent:
            self._said_silent = self._silent
            each = f"1/{len(self.labels)} for each label"
            self._say(
                f"`{self._options.model}` gave no answer that can be read about {self._silent:,} of {self._texts:,} "
                f"texts ({_reason(silent[-1])}); their label is left open: {each}"
            )
        self._judge_coverage()

    def _judge_coverage(self) -> None:
        if self._found.renormalised or self._texts < ENOUGH_TEXTS:
            return
        coverage = self._covered / self._texts
        if coverage < self._options.coverage_floor:
            raise SettingError(
                f"the answers of `{self._options.model}` are about the labels by {coverage:.2f} on average over "
                f"{self._texts:,} texts, and `coverage_floor` is {self._options.coverage_floor:g}; try another `way`, "
                "other `words`, or more `shots`",
                "coverage_floor",
            )
        if coverage < LOW_COVERAGE and not self._warned:
            self._warned = True
            self._say(
                f"the answers of `{self._options.model}` are about the labels by {coverage:.2f} on average over "
                f"{self._texts:,} texts, the rest is something else; another `way`, other `words` or more `shots` may "
                "raise it"
            )


def _reason(heard: Heard) -> str:
    return f"it {heard.fault}" if heard.fault else f"it begins with something else, such as {heard.first!r}"

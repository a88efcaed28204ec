"""The generator `litellm`: asks a language model for counterfactuals; the pipeline judges them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cod_runner.api import (
    BuildContext,
    CodrunError,
    LLMAnswer,
    LLMRequest,
    Proposal,
    Request,
    TeacherView,
)
from codrun_litellm.alike import ALIKE
from codrun_litellm.answers import read_answer
from codrun_litellm.completion import STOP, continued
from codrun_litellm.options import LitellmOptions
from codrun_litellm.paid import opened
from codrun_litellm.prompts import (
    TASKS,
    Demonstration,
    chosen_demonstrations,
    drawn_for_demonstrations,
)

FILTERED = "I cannot help with that: the provider's content filter refused this text."
"""Replaces an answer that the provider's filter withheld, so that it is judged as a refusal."""
LARGEST_DEMONSTRATED_EDIT = 0.5
"""Largest share of the words that a demonstration changes: it must show a small edit."""


@dataclass(frozen=True)
class _Sample:
    row: int
    original: str
    asked: LLMRequest


class LitellmGenerator:
    """Kind ``generator``. Samples of a round are requested at once; later rounds tell the model what failed."""

    def __init__(self, options: LitellmOptions, context: BuildContext) -> None:
        self._options = options
        self._labels = context.labels
        self._describe = context.describe
        self._template = options.template
        self.rounds = len(options.candidates)
        _, self._client = opened(options, context, "generator `litellm`")
        self._pool = context.pool
        self._say = context.say
        self._shown: tuple[Demonstration, ...] | None = None

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """One candidate per sample, "" if an answer contains none; raises :class:`ProviderError` on any failure."""
        self._warn_of_the_wrong_prompt(requests)
        shown = self._demonstrations(teacher) if self._options.demonstrations else ()
        return self._asked(requests, teacher, shown)

    def _warn_of_the_wrong_prompt(self, requests: Sequence[Request]) -> None:
        if self._options.prompt in TASKS and any(request.target == request.label for request in requests):
            self._say(
                f"the prompt `{self._options.prompt}` asks for a text of another class, but here the class is to stay; "
                f"`prompt: {' or '.join(sorted(ALIKE))}` asks for a text that is like the original"
            )
            self._say = lambda sentence: None  # once is enough

    def _asked(
        self, requests: Sequence[Request], teacher: TeacherView, shown: Sequence[Demonstration]
    ) -> list[list[Proposal]]:
        highlighted = self._highlighted(requests, teacher)
        samples = [
            sample
            for row, request in enumerate(requests)
            for sample in self._samples(row, request, highlighted[row], shown)
        ]
        answers = self._client.ask([sample.asked for sample in samples])
        proposals: list[list[Proposal]] = [[] for _ in requests]
        for sample in samples:
            answer = answers[sample.asked.key]
            proposals[sample.row].append(Proposal(self._candidate(answer, sample.original), usd=answer.usd))
        return proposals

    def _samples(
        self, row: int, request: Request, highlighted: Sequence[str], shown: Sequence[Demonstration]
    ) -> list[_Sample]:
        if not isinstance(request.input, str):
            raise CodrunError("the generator `litellm` edits texts; this data set holds vectors")
        options = self._options
        if request.round > self.rounds:
            return []
        chosen = chosen_demonstrations(shown, request, options.demonstrations, options.seed)
        conversation = options.conversation(request, (self._labels, self._describe), highlighted, chosen)
        completion = options.mode == "completion"
        # a later round of a chat tells what failed; a text to be continued stays as it is, and is sampled further
        asked_before = sum(options.candidates[: request.round - 1]) if completion else 0
        samples = []
        for index in range(asked_before, asked_before + options.candidates[request.round - 1]):
            first = request.round == 1 and index == 0
            parameters: dict[str, Any] = {
                **({"stop": STOP} if completion else {}),
                **options.parameters,
                "temperature": options.temperature if first else options.warm_temperature,
                "max_tokens": options.max_tokens,
                "seed": None if options.seed is None else options.seed + index,
                "response_format": {"type": "json_object"} if options.json_mode else None,
            }
            asked = options.request(conversation, parameters, index, self._template)
            samples.append(_Sample(row, request.input, asked))
        return samples

    def _demonstrations(self, teacher: TeacherView) -> tuple[Demonstration, ...]:
        """Pairs to show: texts drawn from the pool by the seed alone, requested like any other, whose answers flip the
        teacher. So the demonstrations never depend on which texts are searched, or in which order."""
        if self._shown is None:
            drawn = drawn_for_demonstrations(self._pool, self._options.demonstrations, self._options.seed)
            before = teacher.score([example.input for example in drawn])
            requests = []
            for example, probabilities in zip(drawn, before, strict=True):
                ranked = sorted(range(len(probabilities)), key=lambda label: -probabilities[label])
                requests.append(Request(f"demonstration {example.id}", example.input, ranked[0], ranked[1]))
            offered = self._asked(requests, teacher, ()) if requests else []
            firsts = [proposals[0].input for proposals in offered]
            after = teacher.score(firsts)
            self._shown = tuple(
                (request.input, first, request.label, request.target)
                for request, first, probabilities in zip(requests, firsts, after, strict=True)
                if first
                and probabilities.index(max(probabilities)) == request.target
                and teacher.distance(request.input, first)[1] <= LARGEST_DEMONSTRATED_EDIT
            )
        return self._shown

    def _highlighted(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[str]]:
        """For each request, the words that contribute most to its current class, strongest first."""
        count = self._options.highlight
        if count == 0:
            return [[] for _ in requests]
        attributions = teacher.attribution([request.input for request in requests], [each.label for each in requests])
        highlighted = []
        for request, parts in zip(requests, attributions, strict=True):
            strongest = sorted(parts, key=lambda part: (-part.score, part.start))
            words = (str(request.input)[part.start : part.end] for part in strongest if part.score > 0)
            distinct = dict.fromkeys(word for word in words if re.search(r"\w", word))
            highlighted.append(list(distinct)[:count])
        return highlighted

    def _candidate(self, answer: LLMAnswer, original: str) -> str:
        if answer.finish == "content_filter" and not answer.text:
            return FILTERED
        if self._options.mode == "completion":
            return continued(answer.text, answer.finish)
        if answer.finish == "length":
            return ""  # cut off in mid-sentence
        return read_answer(answer.text, original)

"""The search for counterfactuals: propose, refuse, verify, choose, retry. Algorithm 1, lines 2 to 5.

All pending originals move together, so that the teacher reads their candidates in one batch. Whether an original
has a counterfactual depends on it, the teacher and the settings alone, never on what else is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cod_runner.api import Attempt, Example, Generator, Proposal, Request, TeacherView
from cod_runner.counterfactuals.judgement import refused_by_teacher, refused_unasked
from cod_runner.counterfactuals.ledger import JudgedAttempt, PairLedger, PairOutcome, outcome_key
from cod_runner.errors import CodrunError
from cod_runner.recipe.grammar import Counterfactuals

SEARCHED_TOGETHER = 64
"""Originals whose outcomes are kept at once: what a kill can lose, and enough for full teacher batches."""


@dataclass(frozen=True)
class Pair:
    """An original and its counterfactual."""

    original: Example
    counterfactual: Example


@dataclass
class PairSearch:
    """Finds pairs for originals, from the ledger or anew."""

    generators: Sequence[tuple[str, Generator]]
    teacher: TeacherView
    fingerprint: str
    settings: Counterfactuals
    identity: Any
    """JSON-able data that decides what the generators propose and how they are judged."""
    ledger: PairLedger
    outcomes: dict[str, PairOutcome] = field(default_factory=dict)
    """By the original's id: every original that was searched, in order."""

    def walk(
        self,
        orders: Sequence[Sequence[Example]],
        wanted: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Pair]:
        """Pairs by the original's id, so that the first ``wanted`` originals of each order that can have one do.

        ``orders`` are walked side by side; where an original fails, its order goes on (``on_failure: redraw``),
        stays one short (``drop``), keeps the nearest miss (``keep_unverified``), or the run ends (``fail``).
        """
        pairs: dict[str, Pair] = {}
        places = [0] * len(orders)
        total = wanted * len(orders)
        while True:
            pending: list[Example] = []
            for number, order in enumerate(orders):
                short = wanted - sum(example.id in pairs for example in order[: places[number]])
                if self.settings.on_failure != "redraw":
                    short = wanted - places[number]
                pending += order[places[number] : places[number] + max(0, short)]
                places[number] += max(0, short)
            if not pending:
                return pairs
            for start in range(0, len(pending), SEARCHED_TOGETHER):
                part = pending[start : start + SEARCHED_TOGETHER]
                for example, outcome in zip(part, self.search(part), strict=True):
                    pair = self._pair(example, outcome)
                    if pair is not None:
                        pairs[example.id] = pair
                progress(min(len(pairs), total), total)

    def search(self, examples: Sequence[Example]) -> list[PairOutcome]:
        """One outcome an original: what the ledger holds, or what a new search finds, kept before it is returned."""
        before = self.teacher.score([example.input for example in examples])
        requests = {
            example.id: self._request(example, probabilities)
            for example, probabilities in zip(examples, before, strict=True)
        }
        keys = {
            name: outcome_key(self.fingerprint, self.identity, request.input, request.label, request.target)
            for name, request in requests.items()
        }
        known = self.ledger.find(list(keys.values()))
        new = [request for name, request in requests.items() if keys[name] not in known]
        found = self._found(new)
        self.ledger.keep({keys[name]: outcome for name, outcome in found.items()})
        for name in requests:
            self.outcomes[name] = found[name] if name in found else known[keys[name]]
        return [self.outcomes[example.id] for example in examples]

    def _found(self, requests: Sequence[Request]) -> dict[str, PairOutcome]:
        """Search anew: generators in order, rounds in order, every pending request in each round."""
        attempts: dict[str, list[JudgedAttempt]] = {request.id: [] for request in requests}
        flips: dict[str, JudgedAttempt] = {}
        for name, generator in self.generators:
            for number in range(1, generator.rounds + 1):
                pending = [request for request in requests if request.id not in flips]
                if not pending:
                    break
                asked = [
                    replace(request, round=number, history=tuple(_attempt(one) for one in attempts[request.id]))
                    for request in pending
                ]
                proposals = generator.propose(asked, self.teacher)
                if not any(proposals):
                    break
                for request, judged in zip(asked, self._judged(asked, proposals, name, attempts), strict=True):
                    attempts[request.id] += judged
                    flipped = [attempt for attempt in judged if attempt.reason is None]
                    if flipped:
                        flips[request.id] = min(flipped, key=lambda attempt: preference(attempt, request))
        return {request.id: self._outcome(request, flips.get(request.id), attempts[request.id]) for request in requests}

    def _judged(
        self,
        requests: Sequence[Request],
        proposals: Sequence[Sequence[Proposal]],
        generator: str,
        attempts: Mapping[str, Sequence[JudgedAttempt]],
    ) -> list[list[JudgedAttempt]]:
        """Refuse what needs no teacher, then ask the teacher about everything that is left, in one call."""
        judged: list[list[JudgedAttempt]] = []
        for request, offered in zip(requests, proposals, strict=True):
            tried = {attempt.input for attempt in attempts[request.id]}
            of_request = []
            for proposal in offered:
                reason = refused_unasked(
                    proposal.input, request, tried, self.teacher.labels, self.settings, self.teacher
                )
                tried.add(proposal.input)
                edits = None if reason else self.teacher.distance(request.input, proposal.input)[0]
                of_request.append(
                    JudgedAttempt(
                        proposal.input, generator, request.round, reason, None, edits, proposal.tier, proposal.usd
                    )
                )
            judged.append(of_request)
        asked = [attempt.input for of_request in judged for attempt in of_request if attempt.reason is None]
        answers = dict(zip(asked, self.teacher.score(asked), strict=True))
        return [
            [
                replace(
                    attempt, probabilities=answers[attempt.input], reason=self._verdict(answers[attempt.input], request)
                )
                if attempt.reason is None
                else attempt
                for attempt in of_request
            ]
            for request, of_request in zip(requests, judged, strict=True)
        ]

    def _verdict(self, probabilities: tuple[float, ...], request: Request) -> str | None:
        if not self.settings.verify:
            return None
        return refused_by_teacher(probabilities, request, any_other=self.settings.target == "all")

    def _request(self, example: Example, probabilities: tuple[float, ...]) -> Request:
        """Which class is to be flipped, and to which."""
        read_as = probabilities.index(max(probabilities))
        label = read_as if self.settings.base_label == "teacher" else example.label
        others = sorted((one for one in range(len(probabilities)) if one != label), key=lambda one: -probabilities[one])
        target = others[0]
        if self.settings.target == "fixed":
            names = self.teacher.labels
            try:
                target = names.index(self.settings.targets[names[label]])
            except (KeyError, ValueError):
                raise CodrunError(
                    f"`target: fixed` needs a target for every label, and `targets` has none for `{names[label]}`"
                ) from None
        return Request(id=example.id, input=example.input, label=label, target=target)

    def _outcome(self, request: Request, flip: JudgedAttempt | None, attempts: Sequence[JudgedAttempt]) -> PairOutcome:
        kept = flip
        if flip is None and self.settings.on_failure == "keep_unverified":
            read = [attempt for attempt in attempts if attempt.probabilities is not None]
            kept = max(read, key=lambda attempt: _margin(attempt, request), default=None)
        edits, minimality = (None, None) if kept is None else self.teacher.distance(request.input, kept.input)
        after = None if kept is None else kept.probabilities
        return PairOutcome(
            original=request.input,
            counterfactual=None if kept is None else kept.input,
            from_label=request.label,
            target=request.target,
            label=None if after is None else after.index(max(after)),
            teacher_before=self.teacher.score([request.input])[0],
            teacher_after=after,
            verified=flip is not None and self.settings.verify,
            edits=edits,
            minimality=minimality,
            generator=None if kept is None else kept.generator,
            attempts=tuple(attempts),
        )

    def _pair(self, example: Example, outcome: PairOutcome) -> Pair | None:
        if outcome.counterfactual is None:
            if self.settings.on_failure == "fail":
                shown = str(example.input)[:80]
                raise CodrunError(
                    f"no counterfactual was found for `{example.id}` (`{shown}`) and `on_failure` is `fail`; "
                    "`redraw` takes the next original instead"
                )
            return None
        # Without verification the published protocol labels the answer as it was asked for.
        label = outcome.target if not self.settings.verify or outcome.label is None else outcome.label
        name = f"{example.id}~cf"
        changed = Example(name, outcome.counterfactual, label, partner=example.id, is_counterfactual=True)
        return Pair(replace(example, partner=name), changed)


def preference(attempt: JudgedAttempt, request: Request) -> tuple[int, float, float, str]:
    """The order among flips: natural before odd, fewest edits, larger margin past the boundary, text."""
    return attempt.tier, attempt.edits or 0.0, -_margin(attempt, request), str(attempt.input)


def _margin(attempt: JudgedAttempt, request: Request) -> float:
    """How far the teacher went past the boundary: p(best other class) - p(class to be flipped)."""
    assert attempt.probabilities is not None
    others = [p for label, p in enumerate(attempt.probabilities) if label != request.label]
    return max(others) - attempt.probabilities[request.label]


def _attempt(judged: JudgedAttempt) -> Attempt:
    return Attempt(
        judged.input, judged.generator, judged.round, judged.reason, judged.probabilities, judged.edits, judged.tier
    )

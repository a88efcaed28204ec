"""The contract of a generator of counterfactuals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cod_runner.api import (
    Attempt,
    CallEstimate,
    Generator,
    Input,
    Mixture,
    Options,
    Proposal,
    Request,
    input_as_json,
)
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import ODD_POINTS, ODD_TEXTS, POINTS, TEXTS, CountingTeacher

ROUNDS = "Generator.rounds: how often a request that failed may come back, at least 1"
PROPOSE = "Generator.propose: a list of `Proposal`s for each request, in the order of the requests"
PROPOSAL = "Proposal: an input of the request's kind, a tier of at least 0, a price of at least 0 or None"
COMPANY = "Generator.propose: what it proposes for a request does not depend on the others, nor on their order"
SAME = "Generator.propose: the same requests and options give the same candidates"
PURE = "Request: what a generator is given stays as it is"
ATTRIBUTION = "Options.asks_for_attribution: whether it asks the teacher which words of a text weigh most with it"
GRADIENTS = "Options.asks_for_gradients: whether it takes steps along the teacher's gradient"
QUESTIONS = (
    "Options.questions: about how many texts the teacher is asked for so many originals, at most, candidates included"
)
ESTIMATE = "Options.estimate: what so many inputs may cost, from low to high; None: no calls"
ADVICE = "Options.advice: what the user can do where too few get what is asked for, or an empty text"
ORIGINALS = 4


@check_of("generator")
def check_generator(subject: Subject) -> None:
    """Proposals of the right form for each request alone, and no more questions than it says."""
    options = subject.options()
    _check_estimate(subject, options)

    def look(texts: bool) -> None:
        generator: Generator = subject.build()
        rounds = generator.rounds
        subject.must(isinstance(rounds, int) and rounds >= 1, f"has the rounds {rounds!r}", ROUNDS)
        requests = _requests(texts)
        first = _proposed(subject, generator, requests, texts)
        subject.must(_proposed(subject, generator, [], texts) == [], "answers requests that nobody made", PROPOSE)
        again = _proposed(subject, subject.build(), requests, texts)
        subject.must(again == first, "proposes other candidates when it is built again", SAME)
        backwards = _proposed(subject, subject.build(), requests[::-1], texts)[::-1]
        subject.must(backwards == first, "proposes other candidates when the requests come in another order", COMPANY)
        alone = [_proposed(subject, subject.build(), [request], texts)[0] for request in requests]
        subject.must(alone == first, "proposes other candidates for a request alone than among others", COMPANY)
        _proposed(subject, generator, _odd_requests(texts), texts)
        _check_questions(subject, requests, texts)
        check_identity(subject, lambda changed: _all_rounds(subject, changed, requests[:2], texts))

    subject.either_input(look)


def _requests(texts: bool) -> list[Request]:
    rows = (TEXTS if texts else POINTS)[:ORIGINALS]
    return [Request(row.id, row.input, row.hard_label, 1 - row.hard_label) for row in rows]


def _odd_requests(texts: bool) -> list[Request]:
    odd: Sequence[Input] = ODD_TEXTS if texts else ODD_POINTS
    return [Request(f"odd:{number}", value, number % 2, 1 - number % 2) for number, value in enumerate(odd)]


def _proposed(
    subject: Subject,
    generator: Generator,
    requests: Sequence[Request],
    texts: bool,
    teacher: CountingTeacher | None = None,
) -> list[list[Any]]:
    """What it proposes, as plain data; every proposal must have the right form."""
    asked = CountingTeacher(texts) if teacher is None else teacher
    asked.requests, asked.asker = {request.id: request.input for request in requests}, subject.what
    given = list(requests)
    with subject.watched("in `propose`", refusals=True):
        proposals = generator.propose(given, asked)
    options = subject.options()
    subject.must(given == list(requests), "changed the requests that it was given", PURE)
    subject.must(
        not (texts and asked.attributions) or options.asks_for_attribution(),
        "asks for attributions, and does not say so",
        ATTRIBUTION,
    )
    subject.must(
        not asked.steps or options.asks_for_gradients(), "takes gradient steps, and does not say so", GRADIENTS
    )
    subject.must(
        isinstance(proposals, list) and len(proposals) == len(requests),
        f"answers {len(requests)} requests with {type(proposals).__name__} {proposals!r:.60}",
        PROPOSE,
    )
    for offered, request in zip(proposals, requests, strict=True):
        subject.must(isinstance(offered, list), f"answers a request with {offered!r:.80}, no list", PROPOSE)
        for one in offered:
            _check_proposal(subject, one, request)
    return [[(input_as_json(one.input), one.tier, one.usd) for one in offered] for offered in proposals]


def _check_proposal(subject: Subject, one: Proposal, request: Request) -> None:
    subject.must(isinstance(one, Proposal), f"proposes {one!r:.80}, which is no `Proposal`", PROPOSE)
    text = isinstance(request.input, str)
    kind = isinstance(one.input, str | Mixture) if text else isinstance(one.input, tuple)
    subject.must(kind, f"proposes {one.input!r:.80} for {request.input!r:.60}", PROPOSAL)
    if isinstance(one.input, tuple):
        numbers = len(one.input) == len(request.input) and all(math.isfinite(each) for each in one.input)  # type: ignore[arg-type]
        subject.must(numbers, f"proposes the vector {one.input} for {request.input}", PROPOSAL)
    subject.must(type(one.tier) is int and one.tier >= 0, f"proposes a candidate of the tier {one.tier!r}", PROPOSAL)
    paid = one.usd is None or (isinstance(one.usd, float | int) and math.isfinite(one.usd) and one.usd >= 0)
    subject.must(paid, f"proposes a candidate at the price {one.usd!r}", PROPOSAL)


def _rounds(
    subject: Subject, options: Options, requests: Sequence[Request], texts: bool, teacher: CountingTeacher
) -> Any:
    """All rounds, none of whose candidates will do: the candidates of each."""
    generator: Generator = subject.build(options)
    history: dict[str, tuple[Attempt, ...]] = {request.id: () for request in requests}
    found = []
    open_requests = list(requests)
    for number in range(1, min(generator.rounds, 40) + 1):
        asked = [replace(request, round=number, history=history[request.id]) for request in open_requests]
        if not asked:
            break
        proposals = _proposed(subject, generator, asked, texts, teacher)
        found.append(proposals)
        for request, offered in zip(asked, proposals, strict=True):
            for value, tier, usd in offered:
                read = _input(value)
                teacher.asked.add(read)
                attempt = Attempt(read, subject.component.name, number, "not_flipped", (0.5, 0.5), 1.0, tier, usd)
                history[request.id] += (attempt,)
        open_requests = [request for request, offered in zip(open_requests, proposals, strict=True) if offered]
    return found


def _all_rounds(subject: Subject, options: Options, requests: Sequence[Request], texts: bool) -> Any:
    return _rounds(subject, options, requests, texts, CountingTeacher(texts))


def _input(value: Any) -> Input:
    if isinstance(value, dict):
        return Mixture(value["first"], value["second"], value["share"])
    return value if isinstance(value, str) else tuple(value)


def _check_questions(subject: Subject, requests: Sequence[Request], texts: bool) -> None:
    options, teacher = subject.options(), CountingTeacher(texts)
    _rounds(subject, options, requests, texts, teacher)
    allowed, asked = options.questions(len(requests)), len(teacher.asked)
    subject.must(
        allowed is None or asked <= allowed,
        f"has the teacher asked about {asked} texts for {len(requests)} originals, and says {allowed}",
        QUESTIONS,
    )
    subject.must(isinstance(options.advice(), str), f"advises {options.advice()!r:.80}", ADVICE)


def _check_estimate(subject: Subject, options: Options) -> None:
    few, many = options.estimate(2, 80.0), options.estimate(20, 80.0)
    for one in (few, many):
        if one is None:
            continue
        subject.must(isinstance(one, CallEstimate), f"estimates {one!r:.80}", ESTIMATE)
        rising = 0 <= one.calls_low <= one.calls_high and 0 <= one.tokens_low <= one.tokens_high
        known = one.usd_low is not None and one.usd_high is not None
        priced = not known or 0 <= (one.usd_low or 0.0) <= (one.usd_high or 0.0)
        subject.must(rising and priced, f"estimates less at most than at least: {one}", ESTIMATE)
    if few is not None and many is not None:
        subject.must(few.calls_high <= many.calls_high, "estimates fewer calls for more inputs", ESTIMATE)

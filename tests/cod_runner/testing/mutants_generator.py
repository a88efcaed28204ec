"""Generators of counterfactuals, each wrong in one thing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import mutant_options as wrong
from mutant_table import mutant

from cod_runner.api import BuildContext, CodrunError, Proposal, Request, TeacherView

DRAWN = random.Random(0)


@mutant("generator")
@mutant("generator", options=wrong.Scaled)
@mutant("generator", "estimates less at most than at least", wrong.HighIsLow)
@mutant("generator", "estimates fewer calls for more inputs", wrong.FallsWithMore)
@mutant("generator", "advises None", wrong.NoAdvice)
@mutant("generator", "has the teacher asked about 12 texts for 4 originals, and says 3", wrong.AsksThree)
class OmitsAWord:
    """Right."""

    rounds: Any = 1

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.options = options

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        return [self.of(request, place, teacher) for place, request in enumerate(requests)]

    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        if not isinstance(request.input, str):
            raise CodrunError("texts alone")
        words = request.input.split()[:40]
        return [Proposal(" ".join(words[:at] + words[at + 1 :])) for at in range(min(3, len(words)))]


@mutant("generator", "and it has no `rounds`, which every generator needs")
class SaysNoRounds:
    def __init__(self, options: Any, context: BuildContext) -> None:
        """Nothing to keep."""

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        return [[] for _ in requests]


@mutant("generator", "answers 4 requests with list")
class OneTooFew(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        return super().propose(requests, teacher)[:-1]


@mutant("generator", "answers 4 requests with generator")
class Yields(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        return (offered for offered in super().propose(requests, teacher))


@mutant("generator", "answers a request with None, no list")
class NothingIsNone(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return super().of(request, place, teacher) or None


@mutant("generator", "proposes 'film is bad .*, which is no `Proposal`")
class Texts(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return [one.input for one in super().of(request, place, teacher)]


@mutant("generator", "proposes 5 for ")
class Numbers(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return [Proposal(5) for one in super().of(request, place, teacher)]  # type: ignore[arg-type]


@mutant("generator", "proposes a candidate of the tier -1")
class BelowTheFirstTier(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return [Proposal(one.input, tier=-1) for one in super().of(request, place, teacher)]


@mutant("generator", "proposes a candidate at the price -0.1")
class PaysBack(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return [Proposal(one.input, usd=-0.1) for one in super().of(request, place, teacher)]


@mutant("generator", "has the rounds 0")
class NoRounds(OmitsAWord):
    rounds = 0


@mutant("generator", "proposes other candidates for a request alone than among others")
class ByCompany(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        return [offered[: len(requests)] for offered in super().propose(requests, teacher)]


@mutant("generator", "proposes other candidates when the requests come in another order")
class ByPlace(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return super().of(request, place, teacher)[place % 2 :]


@mutant("generator", "proposes other candidates when it is built again")
class ByChance(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        offered = super().of(request, place, teacher)
        return DRAWN.sample(offered, len(offered))


@mutant("generator", "changed the random generator of random in `propose`")
class ByTheProcess(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        random.seed(0)
        return super().of(request, place, teacher)


@mutant("generator", "changed the requests that it was given")
class TakesRequestsAway(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        proposed = super().propose(requests, teacher)
        requests.clear()  # type: ignore[attr-defined]
        return proposed


@mutant("generator", "asks for attributions, and does not say so")
@mutant("generator", options=wrong.AsksForAttribution)
class Attributes(OmitsAWord):
    """Right, where its options say so."""

    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        teacher.attribution([request.input], [request.label])
        return super().of(request, place, teacher)


@mutant("generator", "takes gradient steps, and does not say so")
class StepsAlongGradients(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        if requests:
            teacher.projected_step([requests[0].input], [0], [1], 0.5)
        return super().propose(requests, teacher)


@mutant("generator", "asks the teacher about 2 inputs for 1 requests")
class ForgetsForWhom(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        teacher.score([request.input, "another"], [request])
        return super().of(request, place, teacher)


@mutant("generator", "raised IndexError in `propose`")
class NeedsAWord(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        assert str(request.input).split()[0]
        return super().of(request, place, teacher)


@mutant("generator", "raised IndexError in `propose`")
class NeedsARequest(OmitsAWord):
    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> Any:
        assert requests[0].round
        return super().propose(requests, teacher)


@mutant("generator", "gives other results with `scale: ", wrong.ScaleLeftOut)
class ByScale(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        return super().of(request, place, teacher)[: 3 if self.options.scale < 1.1 else 1]


@mutant("generator", r"proposes the vector \(1.0,\) for ")
class OneNumber(OmitsAWord):
    def of(self, request: Request, place: int, teacher: TeacherView) -> Any:
        if isinstance(request.input, str):
            raise CodrunError("vectors alone")
        return [Proposal((1.0,))]

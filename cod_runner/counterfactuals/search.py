"""The search for counterfactuals: propose, refuse, verify, choose, retry. Algorithm 1, lines 2 to 5.

All pending originals move together, so that the teacher reads their candidates in one batch. Whether an original
has a counterfactual depends on it, the teacher and the settings alone, never on what else is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cod_runner.api import Attempt, Example, Generator, Proposal, Request, TeacherView
from cod_runner.counterfactuals.judgement import Reason, refused_by_teacher, refused_unasked
from cod_runner.counterfactuals.outcomes import OutcomeStore, PairOutcome, outcome_key
from cod_runner.data.fewshot import Pair
from cod_runner.errors import CodrunError
from cod_runner.recipe.grammar import Counterfactuals

SEARCHED_TOGETHER = 32
"""Originals searched side by side: enough for full teacher batches, few enough that a bar moves."""


@dataclass
class Hunt:
    """The search for one original's counterfactual while it runs."""

    key: str
    before: tuple[float, ...]
    """The teacher's probabilities of the original."""
    requests: tuple[Request, ...]
    """One, or with ``target: all`` one per other class, the likeliest first."""
    attempts: list[Attempt] = field(default_factory=list)
    history: dict[str, list[Attempt]] = field(default_factory=dict)
    """The attempts of each request, by its id."""
    flips: list[tuple[Attempt, Request]] = field(default_factory=list)

    @property
    def best(self) -> tuple[Attempt, Request] | None:
        """The flip that is chosen: the first by :func:`preference`."""
        return min(self.flips, key=lambda flip: preference(*flip), default=None)


@dataclass
class PairSearch:
    """Finds pairs for originals, stored ones or by a new search."""

    generators: Sequence[tuple[str, Generator]]
    teacher: TeacherView
    fingerprint: str
    settings: Counterfactuals
    identity: Any
    """JSON-able data that decides what the generators propose and how they are judged."""
    stored: OutcomeStore
    flip: bool = True
    """False looks for the opposite: copies that the teacher reads as it reads the original (the arm ``control``)."""
    outcomes: dict[str, PairOutcome] = field(default_factory=dict)
    """By the original's id: every original that was searched, in order."""

    def walk(
        self,
        orders: Sequence[Sequence[Example]],
        wanted: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Pair]:
        """Pairs by the original's id, for the first ``wanted`` originals of each order that can have one.

        ``orders`` are walked side by side; where an original fails, the walk takes the next one (``on_failure:
        redraw``), ends one pair short (``drop``), uses the nearest miss (``keep_unverified``), or the run ends
        (``fail``). Raises :class:`CodrunError` for the last, and what a generator raises; every outcome found until
        then is stored.
        """
        pairs: dict[str, Pair] = {}
        places = [0] * len(orders)
        total = wanted * len(orders)
        while pending := self._next(orders, wanted, places, pairs):
            for start in range(0, len(pending), SEARCHED_TOGETHER):
                part = pending[start : start + SEARCHED_TOGETHER]
                for example, outcome in zip(part, self.search(part), strict=True):
                    pair = self._pair(example, outcome)
                    if pair is not None:
                        pairs[example.id] = pair
                progress(min(len(pairs), total), total)
        return pairs

    def search(self, examples: Sequence[Example]) -> list[PairOutcome]:
        """One outcome per original: the stored one, or what a new search finds, stored before it is returned."""
        new = {example.id: example for example in examples if example.id not in self.outcomes}
        before = self.teacher.score([example.input for example in new.values()])
        hunts = {
            name: self._hunt(example, probabilities)
            for (name, example), probabilities in zip(new.items(), before, strict=True)
        }
        known = self.stored.find([hunt.key for hunt in hunts.values()])
        # Two originals with equal inputs share a key, and so a search.
        self._pursue(list({hunt.key: hunt for hunt in hunts.values() if hunt.key not in known}.values()), known)
        self.outcomes.update((name, known[hunt.key]) for name, hunt in hunts.items())
        return [self.outcomes[example.id] for example in examples]

    def _next(
        self, orders: Sequence[Sequence[Example]], wanted: int, places: list[int], pairs: Mapping[str, Pair]
    ) -> list[Example]:
        """The originals to look at next; moves ``places`` past them."""
        pending: dict[str, Example] = {}
        for number, order in enumerate(orders):
            place = places[number]
            have = sum(one.id in pairs for one in order[:place]) if self.settings.on_failure == "redraw" else place
            places[number] = min(len(order), place + max(0, wanted - have))
            pending.update((one.id, one) for one in order[place : places[number]])
        return list(pending.values())

    def _pursue(self, hunts: Sequence[Hunt], found: dict[str, PairOutcome]) -> None:
        """Search: generators in order, rounds in order, every open request in each round.

        An outcome is stored as soon as it is final, so that an error in a later round loses none.
        """
        for name, generator in self.generators:
            silent: set[str] = set()  # requests that this generator has nothing to offer for
            for number in range(1, generator.rounds + 1):
                asked = [
                    (hunt, replace(request, round=number, history=tuple(hunt.history.get(request.id, ()))))
                    for hunt in hunts
                    for request in hunt.requests
                    if not hunt.flips and request.id not in silent
                ]
                if not asked:
                    break
                requests = [request for _, request in asked]
                proposals = generator.propose(requests, self.teacher)
                if len(proposals) != len(requests):
                    raise CodrunError(
                        f"the generator `{name}` answered {len(proposals)} of {len(requests)} requests: a bug in its "
                        "plugin, which must return a list, empty or not, for each"
                    )
                silent |= {request.id for request, offered in zip(requests, proposals, strict=True) if not offered}
                self._judge(asked, proposals, name)
                self._store([hunt for hunt in hunts if hunt.flips and hunt.key not in found], found)
        self._store([hunt for hunt in hunts if hunt.key not in found], found)

    def _store(self, hunts: Sequence[Hunt], found: dict[str, PairOutcome]) -> None:
        self.stored.add({hunt.key: self._outcome(hunt) for hunt in hunts})
        # Read back: where another run was first, both use its outcome.
        found.update(self.stored.find(hunt.key for hunt in hunts))

    def _judge(
        self, asked: Sequence[tuple[Hunt, Request]], proposals: Sequence[Sequence[Proposal]], generator: str
    ) -> None:
        """Refuse what can be refused without the teacher, then ask it about all the others in one call; note both."""
        judged: list[tuple[Hunt, Request, Attempt]] = []
        tried = {hunt.key: {attempt.input for attempt in hunt.attempts} for hunt, _ in asked}
        for (hunt, request), offered in zip(asked, proposals, strict=True):
            for proposal in offered:
                reason = refused_unasked(
                    proposal.input, request, tried[hunt.key], self.teacher.labels, self.settings, self.teacher
                )
                tried[hunt.key].add(proposal.input)
                edits = None if reason else self.teacher.distance(request.input, proposal.input)[0]
                attempt = Attempt(
                    proposal.input, generator, request.round, reason, None, edits, proposal.tier, proposal.usd
                )
                judged.append((hunt, request, attempt))
        unread = [attempt.input for _, _, attempt in judged if attempt.reason is None]
        answers = dict(zip(unread, self.teacher.score(unread), strict=True))
        for hunt, request, attempt in judged:
            if attempt.reason is None:
                probabilities = answers[attempt.input]
                attempt = replace(attempt, probabilities=probabilities, reason=self._verdict(probabilities, request))
                if attempt.reason is None:
                    hunt.flips.append((attempt, request))
            hunt.attempts.append(attempt)
            hunt.history.setdefault(request.id, []).append(attempt)
        if not self.settings.verify:
            for hunt, _ in asked:
                hunt.flips[1:] = []  # the published protocol takes the first answer that holds a candidate

    def _verdict(self, probabilities: tuple[float, ...], request: Request) -> str | None:
        if not self.flip:
            return None if probabilities.index(max(probabilities)) == request.label else Reason.FLIPPED
        if not self.settings.verify:
            return None
        return refused_by_teacher(probabilities, request, self.settings.target == "all", self.settings.margin)

    def _hunt(self, example: Example, probabilities: tuple[float, ...]) -> Hunt:
        """Decide which class is to be flipped, and to which."""
        read_as = probabilities.index(max(probabilities))
        label = read_as if self.settings.base_label == "teacher" else example.label
        targets = sorted(
            (one for one in range(len(probabilities)) if one != label), key=lambda one: (-probabilities[one], one)
        )
        if not self.flip:
            targets = [label]
        elif self.settings.target == "fixed":
            targets = [self._fixed_target(label)]
        elif self.settings.target == "runner_up":
            targets = targets[:1]
        key = outcome_key(self.fingerprint, self.identity, example.input, label, targets[0])
        single = len(targets) == 1
        return Hunt(
            key,
            probabilities,
            tuple(
                Request(example.id if single else f"{example.id}>{target}", example.input, label, target)
                for target in targets
            ),
        )

    def _fixed_target(self, label: int) -> int:
        names = self.teacher.labels
        try:
            return names.index(self.settings.targets[names[label]])
        except (KeyError, ValueError):
            raise CodrunError(
                f"`target: fixed` needs a target for every label, and `targets` has none for `{names[label]}`"
            ) from None

    def _outcome(self, hunt: Hunt) -> PairOutcome:
        chosen, request = hunt.best or (None, hunt.requests[0])
        if chosen is None and self.settings.on_failure == "keep_unverified":
            read = [attempt for attempt in hunt.attempts if attempt.probabilities is not None]
            chosen = max(read, key=lambda attempt: (_margin(attempt, request), -(attempt.edits or 0.0)), default=None)
        flipped = bool(hunt.flips) and self.settings.verify
        edits, minimality = (None, None) if chosen is None else self.teacher.distance(request.input, chosen.input)
        after = None if chosen is None else chosen.probabilities
        read_as = None if after is None else after.index(max(after))
        return PairOutcome(
            original=request.input,
            counterfactual=None if chosen is None else chosen.input,
            from_label=request.label,
            target=read_as if flipped and read_as is not None else request.target,
            # Without verification the published protocol gives an answer the label that was asked for.
            label=read_as if self.settings.verify or chosen is None else request.target,
            teacher_before=hunt.before,
            teacher_after=after,
            verified=flipped,
            edits=edits,
            minimality=minimality,
            generator=None if chosen is None else chosen.generator,
            attempts=tuple(hunt.attempts),
        )

    def _pair(self, example: Example, outcome: PairOutcome) -> Pair | None:
        if outcome.counterfactual is None or outcome.label is None:
            if self.settings.on_failure == "fail":
                shown = str(example.input)[:80]
                reasons = ", ".join(f"{count} {reason}" for reason, count in outcome.reasons.items()) or "none proposed"
                raise CodrunError(
                    f"no counterfactual was found for `{example.id}` (`{shown}`; candidates: {reasons}) and "
                    "`on_failure` is `fail`; `redraw` takes the next original instead"
                )
            return None
        if not self.flip:  # a copy is an augmentation: it has its original's label
            return Pair(example, Example(f"{example.id}~copy", outcome.counterfactual, example.label))
        return Pair(example, Example(f"{example.id}~cf", outcome.counterfactual, outcome.label, is_counterfactual=True))


def preference(attempt: Attempt, request: Request) -> tuple[int, float, float, str]:
    """The order among flips: lower tier, then fewer edits, then the larger margin past the boundary, then text."""
    return attempt.tier, attempt.edits or 0.0, -_margin(attempt, request), str(attempt.input)


def _margin(attempt: Attempt, request: Request) -> float:
    """How far the teacher went past the boundary: p(best other class) - p(class to be flipped)."""
    assert attempt.probabilities is not None
    others = [p for label, p in enumerate(attempt.probabilities) if label != request.label]
    return max(others) - attempt.probabilities[request.label]

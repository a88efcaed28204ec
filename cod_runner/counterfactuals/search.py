"""The search for counterfactuals: propose, refuse, verify, choose, retry. Algorithm 1, lines 2 to 5.

All pending originals move together, so that the teacher reads their candidates in one batch. Whether an original
has a counterfactual depends on it, the teacher and the settings alone, never on what else is searched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from cod_runner.api import Attempt, Attribution, CodrunError, Example, Generator, Input, Proposal, Request, TeacherView
from cod_runner.component_results import check_proposals
from cod_runner.counterfactuals.different_words import on_different_words
from cod_runner.counterfactuals.judgement import Reason, refused_by_teacher, refused_unasked
from cod_runner.counterfactuals.outcomes import OutcomeStore, PairOutcome, outcome_key
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.recipe.arms import Keep
from cod_runner.recipe.grammar import Counterfactuals
from cod_runner.store import content_key

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
    """Candidates that are what the search looks for; in an arm of copies they are no flips."""
    asked: dict[Input, None] = field(default_factory=dict)
    """Texts about which generators asked the teacher for this original."""
    gradients: int = 0

    @property
    def best(self) -> tuple[Attempt, Request] | None:
        """The flip that is chosen: the first by :func:`preference`."""
        return min(self.flips, key=lambda flip: preference(flip[0], flip[1].label), default=None)


@dataclass(eq=False)
class PairSearch:
    """Finds pairs for originals, stored ones or by a new search."""

    generators: Sequence[tuple[str, Generator]]
    teacher: TeacherView
    fingerprint: str
    settings: Counterfactuals
    identity: Any
    """JSON-able data that decides what the generators propose and how they are judged."""
    stored: OutcomeStore
    keep: Keep = "flip"
    """``same`` looks for the opposite: copies that the teacher reads as it reads the original; ``any`` for whatever a
    generator has, near the original or not."""
    wanted: int = 1
    """How many accepted candidates of each original end its search; where they are flips, on different words."""
    held_out: NearDuplicates | None = None
    """Texts that students are measured on: a candidate that equals one, or nearly, is refused."""
    outcomes: dict[str, PairOutcome] = field(default_factory=dict)
    """By the original's id: every original that was searched, in order."""

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

    @property
    def shared_queries(self) -> int:
        """Texts that generators asked the teacher about for no original in particular."""
        return self.stored.shared(self._shared_key)

    @property
    def _shared_key(self) -> str:
        return content_key([self.fingerprint, self.identity, "shared"])

    def _pursue(self, hunts: Sequence[Hunt], found: dict[str, PairOutcome]) -> None:
        """Search: generators in order, rounds in order, every open request in each round.

        An outcome is stored as soon as it is final, so that an error in a later round loses none.
        """
        view = RecordingView(self.teacher, {request.id: hunt for hunt in hunts for request in hunt.requests})
        for name, generator in self.generators:
            silent: set[str] = set()  # requests that this generator has nothing to offer for
            for number in range(1, generator.rounds + 1):
                asked = [
                    (hunt, replace(request, round=number, history=tuple(hunt.history.get(request.id, ()))))
                    for hunt in hunts
                    for request in hunt.requests
                    if not self._has_enough(hunt) and request.id not in silent
                ]
                if not asked:
                    break
                requests = [request for _, request in asked]
                given = generator.propose(requests, view)
                proposals = check_proposals(f"the generator `{name}`", given, len(requests), requests[0].input)
                silent |= {request.id for request, offered in zip(requests, proposals, strict=True) if not offered}
                if view.shared:
                    self.stored.share(self._shared_key, len(view.shared))
                self._judge(asked, proposals, name)
                self._store([hunt for hunt in hunts if self._has_enough(hunt) and hunt.key not in found], found)
        self._store([hunt for hunt in hunts if hunt.key not in found], found)

    def _has_enough(self, hunt: Hunt) -> bool:
        if self.wanted == 1 or self.keep != "flip" or len(hunt.flips) < self.wanted:
            return len(hunt.flips) >= self.wanted
        ranked = sorted((attempt for attempt, _ in hunt.flips), key=lambda one: preference(one, hunt.requests[0].label))
        return len(on_different_words(hunt.requests[0].input, ranked, self.wanted)) == self.wanted

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
                    proposal.input,
                    request,
                    tried[hunt.key],
                    self.teacher,
                    None if self.keep == "any" else self.settings,
                    self.held_out,
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
        if self.keep == "any":
            return None
        if self.keep == "same":
            return None if probabilities.index(max(probabilities)) == request.label else Reason.FLIPPED
        if not self.settings.verify:
            return None
        return refused_by_teacher(probabilities, request, self.settings.target == "all", self.settings.margin)

    def _hunt(self, example: Example, probabilities: tuple[float, ...]) -> Hunt:
        """Decide which class is to be flipped, and to which."""
        read_as = probabilities.index(max(probabilities))
        label = read_as if self.settings.base_label == "teacher" else example.hard_label
        targets = sorted(
            (one for one in range(len(probabilities)) if one != label), key=lambda one: (-probabilities[one], one)
        )
        if self.keep != "flip":
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
            chosen = max(read, key=lambda one: (margin(one, request.label), -(one.edits or 0.0)), default=None)
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
            asked=tuple(hunt.asked),
            gradients=hunt.gradients,
        )


@runtime_checkable
class LeavesWordsOut(Protocol):
    """A teacher's view that asks about texts less a word where the teacher has no gradients."""

    def asked_for_attribution(self, value: Input) -> list[Input] | None:
        """Those texts; None where it has."""
        ...


class RecordingView:
    """The teacher as a generator sees it during a search: what it asks is noted for the original that it is about."""

    def __init__(self, teacher: TeacherView, hunts: Mapping[str, Hunt] = MappingProxyType({})) -> None:
        self.labels = teacher.labels
        self.shared: set[Input] = set()
        """Texts asked about for no original in particular."""
        self._teacher, self._hunts = teacher, hunts

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """As :meth:`TeacherView.score`."""
        if not asked_for:
            self.shared.update(inputs)
        else:
            for value, request in zip(inputs, asked_for, strict=True):
                self._hunts[request.id].asked[value] = None
        return self._teacher.score(inputs)

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :meth:`Classifier.attribution`; counted for the originals of these inputs."""
        self._count_questions(inputs)
        return self._teacher.attribution(inputs, targets)

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :meth:`EmbeddingStep.projected_step`; counted for the originals of these inputs."""
        self._count_questions(inputs)
        return self._teacher.projected_step(inputs, labels, targets, size)

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """As :meth:`Classifier.distance`."""
        return self._teacher.distance(original, changed)

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """As :meth:`TeacherView.similarity`."""
        return self._teacher.similarity(words)

    def _count_questions(self, inputs: Sequence[Input]) -> None:
        """A gradient each, or the texts that a teacher without gradients is asked about instead."""
        about: dict[Input, Hunt] = {request.input: hunt for hunt in self._hunts.values() for request in hunt.requests}
        for value in inputs:
            teacher = self._teacher
            texts = teacher.asked_for_attribution(value) if isinstance(teacher, LeavesWordsOut) else None
            if value not in about:
                self.shared.update([value, *(texts or ())])
            elif texts is None:
                about[value].gradients += 1
            else:
                about[value].asked.update(dict.fromkeys(texts))


def preference(attempt: Attempt, label: int) -> tuple[int, float, float, str]:
    """The order among flips: lower tier, then fewer edits, then the larger margin past the boundary, then text."""
    return attempt.tier, attempt.edits or 0.0, -margin(attempt, label), str(attempt.input)


def margin(attempt: Attempt, label: int) -> float:
    """How far the teacher went past the boundary: p(best other class) - p(``label``, the class to be flipped)."""
    assert attempt.probabilities is not None
    others = [p for other, p in enumerate(attempt.probabilities) if other != label]
    return max(others) - attempt.probabilities[label]

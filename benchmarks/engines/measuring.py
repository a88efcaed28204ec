"""Equal weights first, then rounds in which the contenders take turns, since others may load the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from engines.contender import Contender, Trained
from engines.work import Method, Work

TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Of what training changed: another loss, order or dropout gives about 1. In bf16 the teacher of the others is computed
in bf16 in each step, and ours once, in float32."""


@dataclass(frozen=True)
class Equality:
    """How far a contender's end weights are from codrun's."""

    largest: float
    """Difference of a weight."""
    of_the_way: float
    """Norm of the difference over the norm of what training changed."""

    def holds(self, method: Method) -> bool:
        """Whether that is rounding."""
        return self.of_the_way <= TOLERANCE[method.precision]


def equality(weights: dict[str, Tensor], ours: dict[str, Tensor], initial: dict[str, Tensor]) -> Equality:
    """Compare what two contenders made of the same ``initial`` weights."""
    largest = max(float((weights[name] - ours[name]).abs().max()) for name in ours)
    apart = sum(float((weights[name] - ours[name]).double().square().sum()) for name in ours)
    moved = sum(float((initial[name] - ours[name]).double().square().sum()) for name in ours)
    return Equality(largest, (apart / moved) ** 0.5)


@dataclass(frozen=True)
class Measured:
    """A contender over all rounds; seconds."""

    name: str
    equality: Equality | None
    steps: tuple[float, ...]
    """The median step of each round."""
    once: float
    evaluation: float | None

    @property
    def step(self) -> float:
        """That of the calmest round."""
        return min(self.steps)

    def whole(self, steps: int, evaluations: int) -> float | None:
        """Seconds of a training of so many steps with so many evaluations, added up from its parts."""
        return None if self.evaluation is None else self.once + steps * self.step + evaluations * self.evaluation


def ratio(other: Measured, ours: Measured) -> float:
    """How many of our steps one of the other's takes: the median over rounds, each of which compares neighbours."""
    return median(theirs / own for theirs, own in zip(other.steps, ours.steps, strict=True))


def measure(
    contenders: Sequence[Contender], work: Work, method: Method, rounds: int, say: Callable[[str], None]
) -> list[Measured]:
    """Measure those of ``contenders`` that compute ``method``; the first one is ours."""
    taking_part = [contender for contender in contenders if method.name in contender.methods]
    found: dict[str, Equality | None] = {}
    ours: dict[str, Tensor] = {}
    for contender in taking_part:
        weights = contender.train(work, method).weights
        ours = ours or weights
        found[contender.name] = equality(weights, ours, work.initial_weights) if contender.learns else None
        say(f"{contender.name}: {_said(found[contender.name])}")
    trained: dict[str, list[Trained]] = {contender.name: [] for contender in taking_part}
    evaluations: dict[str, list[float]] = {contender.name: [] for contender in taking_part}
    for number in range(rounds):
        for contender in taking_part:
            one = contender.train(work, method)
            one.weights.clear()
            trained[contender.name].append(one)
            evaluate = getattr(contender, "evaluate", None)
            if evaluate is not None and number == 0:  # half a minute each, and no ratio of neighbours
                evaluations[contender.name].append(evaluate(work, method))
        say(f"round {number + 1} of {rounds} is over")
    return [
        Measured(
            name,
            found[name],
            tuple(median(one.steps[1:]) for one in runs),  # the first one allocates the optimiser's state
            min(one.once for one in runs),
            min(evaluations[name], default=None),
        )
        for name, runs in trained.items()
    ]


def _said(equality: Equality | None) -> str:
    if equality is None:
        return "learns nothing"
    return f"weights within {equality.largest:.1e} of codrun's, {equality.of_the_way:.1e} of what training changed"

"""Counterfactuals of vectors: steps along the gradient of the teacher's logit margin until its prediction flips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cod_runner.api import BuildContext, CodrunError, Proposal, Request, TeacherView
from codrun_moons.plugin import GradientOptions

Vector = tuple[float, ...]


@dataclass
class _Walk:
    """One input's walk: the last point with the original prediction, and the first with the target."""

    target: int
    before: Vector
    direction: Vector
    flipped: Vector | None = None


class Gradient:
    """x <- x + step x (unit gradient of the target's margin), all requests at once.

    The last step may be bisected back towards the boundary, and the result moved a chosen distance past it. A walk
    that meets a zero gradient or does not flip within ``max_steps`` proposes nothing.
    """

    rounds = 1

    def __init__(self, options: GradientOptions, context: BuildContext) -> None:
        self.options = options

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        walks = [_Walk(request.target, _vector(request), ()) for request in requests]
        self._until_flipped(walks, teacher)
        self._halve([walk for walk in walks if walk.flipped is not None], teacher)
        return [[] if walk.flipped is None else [Proposal(self._end(walk, walk.flipped))] for walk in walks]

    def _until_flipped(self, walks: Sequence[_Walk], teacher: TeacherView) -> None:
        under_way = list(walks)
        for _ in range(self.options.max_steps):
            slopes = teacher.attribution([walk.before for walk in under_way], [walk.target for walk in under_way])
            steep = []
            for walk, slope in zip(under_way, slopes, strict=True):
                length = math.hypot(*(part.score for part in slope))
                if length > 0:
                    walk.direction = tuple(part.score / length for part in slope)
                    steep.append(walk)
            if not steep:
                return
            ends = [_moved(walk.before, walk.direction, self.options.step) for walk in steep]
            under_way = []
            for walk, end, flipped in zip(steep, ends, _flipped(teacher, steep, ends), strict=True):
                if flipped:
                    walk.flipped = end
                else:
                    walk.before = end
                    under_way.append(walk)
            if not under_way:
                return

    def _halve(self, walks: Sequence[_Walk], teacher: TeacherView) -> None:
        for _ in range(self.options.halvings if walks else 0):
            middles = [_middle(walk.before, walk.flipped or walk.before) for walk in walks]
            for walk, middle, flipped in zip(walks, middles, _flipped(teacher, walks, middles), strict=True):
                if flipped:
                    walk.flipped = middle
                else:
                    walk.before = middle

    def _end(self, walk: _Walk, flipped: Vector) -> Vector:
        return _moved(flipped, walk.direction, self.options.overshoot) if self.options.overshoot else flipped


def _vector(request: Request) -> Vector:
    if not isinstance(request.input, tuple):
        raise CodrunError("the generator `gradient` moves vectors; this data set holds texts, which `lexicon` edits")
    return request.input


def _flipped(teacher: TeacherView, walks: Sequence[_Walk], places: Sequence[Vector]) -> list[bool]:
    """Whether the teacher predicts each walk's target at its place; a tie, exactly on the boundary, is not a flip."""
    return [
        all(score < scores[walk.target] for label, score in enumerate(scores) if label != walk.target)
        for walk, scores in zip(walks, teacher.score(places), strict=True)
    ]


def _moved(vector: Vector, direction: Vector, length: float) -> Vector:
    return tuple(here + length * along for here, along in zip(vector, direction, strict=True))


def _middle(one: Vector, other: Vector) -> Vector:
    return tuple((here + there) / 2 for here, there in zip(one, other, strict=True))

"""Mixes texts (or vectors) with others of the pool, the same ones in every run."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cod_runner.api import BuildContext, DataError, Input, Mixture, Proposal, Request, TeacherView, input_as_json
from codrun_mixup.plugin import MixupOptions


class Mixup:
    """One mixture per round, whose partner and share depend on the text, the round and the pool's texts alone.

    MixKD (Liang et al., arXiv 2011.00593, section 3.1) trains, beside the examples, on their interpolated embeddings,
    with the teacher's word on the mixture and the mixed label. It draws partners among the labelled training examples,
    anew in every step. Here they are the pool's texts, whose labels are not read, so that a row has the teacher's word
    alone; and mixtures are drawn once, so that the teacher is asked once.
    """

    def __init__(self, options: MixupOptions, context: BuildContext) -> None:
        self._alpha, self.rounds = options.alpha, options.rounds
        inputs = {str(input_as_json(example.input)): example.input for example in context.pool}
        self._partners = [inputs[spelled] for spelled in sorted(inputs)]

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """For each request its input mixed with one of the pool; nothing where the pool has no other."""
        return [self._mixtures(request.input, request.round) for request in requests]

    def _mixtures(self, value: Input, number: int) -> list[Proposal]:
        partners = [each for each in self._partners if each != value]
        if not partners:
            return []
        drawn = random.Random(f"mixup {number} {input_as_json(value)}")
        partner = partners[drawn.randrange(len(partners))]
        return [Proposal(_mixed(value, partner, drawn.betavariate(self._alpha, self._alpha)))]


def _mixed(first: Input, second: Input, share: float) -> Input:
    if isinstance(first, str) and isinstance(second, str):
        return Mixture(first, second, share)
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == len(second):
        return tuple(share * here + (1 - share) * there for here, there in zip(first, second, strict=True))
    raise DataError("`mixup` mixes two texts, or two vectors of one length; it is given neither")

"""The generator `adversarial`: one step along the teacher's gradient, read back as an input; longer with each round.

A boundary supporting sample of Heo et al. (2019, arXiv 1805.05532), which moves an input along the gradient from its
class towards another until it has crossed; for texts as AugPro-FGSM does it (Wang et al., 2023, arXiv 2210.11768): the
embeddings move, and are exchanged for the nearest ones that stand for something. Heo et al. take many short steps, each
from where the last one ended; here each round takes one step from the input itself, longer than the round before, since
a text that was projected back to words has lost the rest of its way.
"""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import BuildContext, Proposal, Request, TeacherView
from codrun_adversarial.plugin import AdversarialOptions


class Adversarial:
    """Kind ``generator``. Proposes one input per round; where a step was too short to change anything, the input
    itself, which is refused, so that the next round is asked for."""

    def __init__(self, options: AdversarialOptions, context: BuildContext) -> None:
        self._size, self._growth = options.size, options.growth
        self.rounds = options.rounds

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """Each request's input after a step towards its target, or, where its class is to stay, towards the runner-up.

        Raises :class:`CodrunError` where the teacher takes no such steps.
        """
        targets = _targets(requests, teacher)
        proposals: list[list[Proposal]] = [[] for _ in requests]
        for number in sorted({request.round for request in requests}):
            places = [place for place, request in enumerate(requests) if request.round == number]
            stepped = teacher.projected_step(
                [requests[place].input for place in places],
                [requests[place].label for place in places],
                [targets[place] for place in places],
                self._size * self._growth ** (number - 1),
            )
            for place, found in zip(places, stepped, strict=True):
                proposals[place].append(Proposal(found))
        return proposals


def _targets(requests: Sequence[Request], teacher: TeacherView) -> list[int]:
    """The class that each step leads to."""
    targets = [request.target for request in requests]
    stay = [place for place, request in enumerate(requests) if request.target == request.label]
    staying = [requests[place] for place in stay]
    read = teacher.score([request.input for request in staying], asked_for=staying)
    for place, probabilities in zip(stay, read, strict=True):
        others = [label for label in range(len(probabilities)) if label != requests[place].label]
        targets[place] = max(others, key=lambda label: (probabilities[label], -label))
    return targets

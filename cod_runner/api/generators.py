"""The contract of a generator of counterfactuals, and of the teacher as it sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cod_runner.api.classifiers import Attribution
    from cod_runner.api.inputs import Input


@dataclass(frozen=True)
class Attempt:
    """One candidate that was judged. ``reason`` is None for a verified flip."""

    input: Input
    generator: str
    round: int
    reason: str | None
    probabilities: tuple[float, ...] | None = None
    """The teacher's, ``[classes]``; None where the candidate was refused before the teacher was asked."""
    edits: float | None = None
    tier: int = 0
    usd: float | None = 0.0
    """As :class:`Proposal`'s."""


@dataclass(frozen=True)
class Request:
    """Ask for inputs near ``input`` that the teacher reads as ``target`` instead of ``label``."""

    id: str
    input: Input
    label: int
    target: int
    round: int = 1
    """1 at first; a failed round goes back with ``history``."""
    history: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A candidate. Among flips a lower ``tier`` wins first (0 natural, higher odd), then fewer edits."""

    input: Input
    tier: int = 0
    usd: float | None = 0.0
    """What the model call behind it cost when it was made; None where the price is unknown."""


class TeacherView(Protocol):
    """The teacher as a generator sees it: questions are batched, and answered from memory the second
    time. It gives no verdicts: the pipeline does."""

    labels: tuple[str, ...]

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """Probabilities, ``[inputs][classes]``.

        A generator that scores candidates of its own says for which request each of them is (``[inputs]``): the
        teacher's answers are then counted for that original, and its texts are there for arms that train on them. What
        it asks for no request in particular (to learn from the pool, say) is counted for the run.
        """
        ...

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :meth:`Classifier.attribution`."""
        ...

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """As :meth:`Classifier.distance`."""
        ...

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The teacher's unit-length embedding of each word, ``[words][width]``; () where it has none."""
        ...

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :meth:`EmbeddingStep.projected_step`; raises :class:`CodrunError` where the teacher does not offer it."""
        ...


class Generator(Protocol):
    """Kind ``generator``. Knows nothing of flips: it proposes, the pipeline judges.

    ``rounds`` says how often a request that failed may come back. A provider's fault or a spent budget is raised
    as :class:`ProviderError`, never answered with an empty list.
    """

    rounds: int

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """Candidates for each request, in the order of the requests; an empty list means "nothing to offer"."""
        ...

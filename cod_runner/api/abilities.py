"""What a classifier may offer beside its contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cod_runner.api.data import Example
    from cod_runner.api.inputs import Input


@runtime_checkable
class WordVectors(Protocol):
    """Optional in a :class:`Classifier`: single words as points, for generators that look for near ones."""

    def word_vectors(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The unit-length embedding of each word, ``[words][width]``; () for a word it has none for."""
        ...


@runtime_checkable
class EmbeddingStep(Protocol):
    """Optional in a :class:`Classifier`: one step along its own gradient, for generators of adversarial inputs."""

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """Each input after a step from ``labels[i]`` towards ``targets[i]``, brought back to an input that can be read.

        The step leads along the gradient of ``logit[target] - logit[label]`` by what the model reads first (for texts
        the embeddings of its tokens) and is ``size`` long, in units that suit any model: for texts the mean norm of a
        token's embedding, over all positions together. A text's words become the words whose embeddings are nearest to
        where theirs have come; where none is nearer than its own, a word stays. An input's answer does not depend on
        the others, nor on dropout.
        """
        ...


@dataclass(frozen=True)
class OwnTraining:
    """What the training of a :class:`TrainsItself` was."""

    steps: int
    """Optimiser steps."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Its own, by name."""


@runtime_checkable
class TrainsItself(Protocol):
    """Optional in a student: it trains itself on the labelled rows, in place of the engine's loop. Its options say so
    in :meth:`Options.trains_itself`."""

    def fit(
        self, examples: Sequence[Example], seed: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> OwnTraining:
        """Learn from ``examples``, which all have a label; the same rows and seed give the same bits on one thread of a
        CPU. ``progress(done, total)`` follows its steps."""
        ...


@runtime_checkable
class GradientCheckpointing(Protocol):
    """Optional in a :class:`Classifier`: backward passes that recompute blocks instead of keeping their states."""

    def gradient_checkpointing_enable(self) -> None: ...

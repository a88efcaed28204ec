"""The contracts of teachers and students."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cod_runner.api.inputs import Input
    from cod_runner.api.known import ModelShape


@dataclass(frozen=True)
class Encoded:
    """One input as a classifier reads it, before it is padded.

    ``ids`` has one entry per position (a vector model has one position). Two classifiers are *aligned* on an
    input when their ids are equal. ``fields`` is whatever else the classifier's ``collate`` needs.
    """

    ids: tuple[int, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outputs:
    """What a classifier says about a batch; the teacher's are called *signals*."""

    logits: Tensor
    """``[batch, classes]``, float32."""
    hidden: dict[int, Tensor] = field(default_factory=dict)
    """Layer number to ``[batch, tokens, width]``, float32."""
    mask: Tensor | None = None
    """``[batch, tokens]``, true at real tokens."""
    pooled_at: Tensor | None = None
    """``[batch]``, the position that the classification head reads; None where it reads the mean of the real tokens."""


@runtime_checkable
class VocabularyCut(Protocol):
    """Trains only the embedding rows that the training texts touch; exact, see ``Classifier.compact``.

    Inside ``with cut:`` the classifier's embedding parameter is a small one. ``decayed(factor)`` records that an
    optimiser step multiplied that parameter's group by ``factor``, so that leaving can apply the same factors,
    in the same order, to the rows that were set aside. ``with cut.whole():`` shows the full, up-to-date table
    for an evaluation in mid-training. Leaving, also by an error, writes everything back.
    """

    def __enter__(self) -> VocabularyCut: ...
    def __exit__(self, *exc: object) -> None: ...
    def decayed(self, factor: float) -> None: ...
    def whole(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Attribution:
    """How much one part of an input speaks for a class.

    For a text the part is ``text[start:end]``, one word, and ``score`` is gradient x input of the class's logit
    margin over the best other class. For a vector the part is coordinate ``start`` and ``score`` the derivative.
    """

    start: int
    end: int
    score: float


class Classifier(Protocol):
    """Kinds ``teacher`` and ``student``: an ``nn.Module``, so parameters, ``train()``, ``to()`` are torch's.

    Trained parameters are float32 and low precision means autocast. ``logits`` are in the order of ``labels``.
    """

    labels: tuple[str, ...]
    shape: ModelShape
    untrained_head: bool
    """True when the classification head is new and has not been trained."""

    @property
    def fingerprint(self) -> str:
        """Hash of weights, tokenizer, maximal length and padding side; changes when the weights do. Asked for often:
        compute it once for the weights at hand."""
        ...

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Tokenise, truncate to the maximal length; no padding."""
        ...

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """Pad to one length, rounded up to ``multiple_of``; ``[batch, tokens]`` tensors on the CPU."""
        ...

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        """Logits, and the hidden states of the layers asked for (0 enters block 1; i leaves block i; the last
        one after the final norm). In eval mode and for logits alone the engine calls it from several threads."""
        ...

    def __call__(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs: ...

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """For each input, how much each of its parts speaks for its ``targets`` class."""
        ...

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """(edits, minimality): word-level Levenshtein distance and the same over the original's words; for
        vectors the Euclidean distance and the same over the original's norm."""
        ...

    def compact(self, encoded: Sequence[Encoded]) -> VocabularyCut | None:
        """The exact vocabulary cut for training on these inputs alone; None where it does not apply."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer, label names."""
        ...

    def load(self, folder: Path) -> None:
        """Read back weights that ``save`` wrote."""
        ...

    # torch's own, restated so that the engine can be type-checked against the contract
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def to(self, device: str) -> Any: ...


@runtime_checkable
class LabelScorer(Protocol):
    """Kind ``teacher``, where the teacher only answers: a language model, say, that is asked for a text's label.

    No gradients, and nothing to fine-tune. Its options say so in :meth:`Options.answering`. Every answer is stored: the
    core asks about a text once, whatever wants to know (training texts, a search, the evaluation), and calibrates what
    it is told where the recipe says so.
    """

    labels: tuple[str, ...]
    at_once: int
    """How many inputs one call of ``score`` takes best; what a kill may lose."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides an answer: model, prompt, shots, label words, precision."""
        ...

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        """Log-probabilities of the labels, ``[inputs, classes]``, float32, on the CPU, in the order of ``labels``.

        An input's answer does not depend on the others. Raises :class:`ProviderError` where one cannot be had.
        """
        ...

    def price(self, inputs: Sequence[Input]) -> float | None:
        """What the answers about these inputs cost when they were made, in USD, nothing asked again: 0.0 where nothing
        is paid, None where it is not known."""
        ...


@runtime_checkable
class HiddenStateScorer(LabelScorer, Protocol):
    """A :class:`LabelScorer` that also offers the hidden states of one position: the one at which its answer begins.

    For losses that compare one vector per text; those that compare positions are refused.
    """

    shape: ModelShape

    def states(
        self,
        inputs: Sequence[Input],
        layers: Sequence[int],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """(log-probabilities as ``score`` gives them, layer to ``[inputs, width]``, float32, on the CPU)."""
        ...


Teacher: TypeAlias = Classifier | LabelScorer
"""What a component of the kind ``teacher`` builds: a network that is opened, or a model that only answers."""

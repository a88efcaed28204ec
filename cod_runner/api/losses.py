"""The contract of a loss, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cod_runner.api.classifiers import Outputs
    from cod_runner.api.known import ModelShape


@dataclass
class Batch:
    """One training batch, on the training device."""

    ids: tuple[str, ...]
    labels: Tensor
    """``[batch]`` hard labels: gold for originals, the teacher's word for counterfactuals. Reading them where some row
    has none raises :class:`CodrunError`; a loss with ``needs_labels`` is given the labelled rows alone."""
    partner: Tensor
    """``[batch]`` row of the other half of the pair in this batch, -1 where there is none."""
    is_counterfactual: Tensor
    """``[batch]`` bool."""
    inputs: dict[str, Tensor] = field(default_factory=dict)
    """What the student's ``collate`` made."""


@dataclass(frozen=True)
class Needs:
    """The hidden states a loss wants, by layer number, of each side."""

    teacher: tuple[int, ...] = ()
    student: tuple[int, ...] = ()


class BatchSource(Protocol):
    """The training data as a loss may see it in ``bind``."""

    def batches(self, labelled: bool = False) -> Iterator[Batch]:
        """The training set once, in an order that the loss's own seed shuffles anew at each call; with ``labelled``,
        the rows that have a label alone."""
        ...

    def signals(self, batch: Batch) -> Outputs:
        """The teacher's outputs, with the hidden states that the loss's options name in ``needs``."""
        ...

    def student_outputs(self, batch: Batch) -> Outputs:
        """The initial student's outputs, no gradient, no dropout."""
        ...


@dataclass(frozen=True)
class Binding:
    """What a loss gets in ``bind``: shapes, never modules, so that no loss can swallow the student."""

    teacher: ModelShape
    student: ModelShape
    labels: tuple[str, ...]
    data: BatchSource
    seed: int
    device: str
    cache: Callable[[str, Callable[[], dict[str, Tensor]]], dict[str, Tensor]]
    """``cache(name, make)``: the tensors that ``make`` returned the last time this cell asked for ``name``."""
    fit: Callable[..., None]
    """``fit(parameters, objective, epochs=, lr=, labelled=False)``: AdamW on ``objective(batch) -> scalar`` over
    ``data.batches(labelled)``."""


class Loss(Protocol):
    """Kind ``loss``: an ``nn.Module``. Its own parameters train with the student and are not saved with it.

    A subclass may set ``aligned = True``: it compares positions, so the engine refuses it, before training,
    unless teacher and student have equal token ids, and moves the teacher's states to the student's positions (the
    two masks are then equal, whichever side each pads on); beside it ``alignment_hint``, what the user can do about
    unequal ones, as in "give it `pool: mean`", which ends the engine's sentence; ``needs_labels = True``: it reads
    ``batch.labels``, so ``forward`` is given the rows that have one; and ``learning_rate``, for its own parameters. A
    term of weight 0 is computed without gradient, for the log alone.
    """

    def bind(self, binding: Binding) -> None:
        """Create parameters. Randomness drawn here comes from this loss's own stream."""
        ...

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """Value per example, ``[batch]``, float32; the engine averages over the batch and applies ``weight``."""
        ...

    def __call__(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def to(self, device: str) -> Any: ...

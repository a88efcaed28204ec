"""A method's losses: their weights (alpha, beta), what each sees before training, and the loop that fits filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, Classifier, Loss, ModelShape, Needs, Outputs
from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.device import autocast, sent
from cod_runner.engine.labels import SomeLabels, labelled_part
from cod_runner.engine.optimisation import FUSED_ON, AdamW
from cod_runner.engine.outputs import as_float32, checked_outputs, laid_out_as, moved, padded, picked
from cod_runner.engine.seeds import derived_seed, random_stream
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.errors import CodrunError, WrongResult
from cod_runner.files import file_written_whole, touch


@dataclass(frozen=True)
class WeightedTerm:
    """One term of a method's loss."""

    name: str
    loss: Loss
    weight: float
    needs: Callable[[ModelShape, ModelShape], Needs] = lambda teacher, student: Needs()
    """The layers it reads of a teacher and a student of these shapes: :meth:`Options.needs` of its options."""


def needs_labels(term: WeightedTerm) -> bool:
    """Whether the term is computed over labelled rows alone."""
    return bool(getattr(term.loss, "needs_labels", False))


def summed(term: WeightedTerm, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
    """The term's value summed over the batch, or over its labelled rows where it needs labels.

    A term of weight 0 is logged and nothing more: no gradient, and no draw from the stream that dropout uses.
    """
    if needs_labels(term) and isinstance(batch.labels, SomeLabels):
        if not batch.labels.labelled_rows:
            return student.logits.new_zeros(())
        batch, (student, teacher) = labelled_part(batch, student, teacher)
    if term.weight > 0:
        values = term.loss(student, teacher, batch)
    else:
        with torch.no_grad(), torch.random.fork_rng():
            values = term.loss(student, teacher, batch)
    if not isinstance(values, Tensor) or not values.is_floating_point():
        what = f"a tensor of {values.dtype}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise WrongResult(f"the loss `{term.name}` returned {what}; a loss returns a tensor of float32")
    if values.shape != (len(batch.ids),):
        raise WrongResult(
            f"the loss `{term.name}` returned the shape {tuple(values.shape)} for a batch of {len(batch.ids)} "
            "examples; a loss returns one value per example"
        )
    return values.sum()


def divisor(term: WeightedTerm, examples: int, labelled: int) -> int:
    """Over how many of a step's examples a term is averaged; 1 where there are none, and its sum is 0."""
    return max(1, labelled) if needs_labels(term) else examples


def mean_over_step(terms: Sequence[WeightedTerm], values: Sequence[Tensor], examples: int, labelled: int) -> Tensor:
    """Line 12 of Algorithm 1 for one batch, a scalar: each term's sum over the batch times its weight (1, alpha, beta),
    divided by the step's ``examples``, or by those that are ``labelled`` where it needs labels, added up."""
    trained = [(term, value) for term, value in zip(terms, values, strict=True) if term.weight > 0]
    if labelled == examples:
        return torch.stack([term.weight * value for term, value in trained]).sum() / examples
    return torch.stack([term.weight * value / divisor(term, examples, labelled) for term, value in trained]).sum()


class TrainingData:
    """The batches of one training with what teacher and student say about them.

    Each row's signals are found once, here; the hidden states of ``layers`` stay on the disk until a batch needs them.
    """

    def __init__(
        self,
        student: Classifier,
        batches: TrainingBatches,
        signals: TeacherSignals | None,
        layers: Sequence[int],
        precision: str,
    ) -> None:
        self.student, self.batches = student, batches
        self.forward: Callable[..., Outputs] = student
        """What is called for the student's outputs: the student, or what spreads its gradients over processes."""
        self.teacher_shape = student.shape if signals is None else signals.shape
        self.aligned = False
        """Whether teacher states must stand at the student's positions."""
        self.precision, self.device = precision, batches.device
        inputs = [example.input for example in batches.examples]
        self._rows = None if signals is None else signals.rows(inputs, layers)
        self._said = None if self._rows is None else moved(padded(self._rows, ()), self.device)

    def signals(self, rows: Sequence[int], layers: Sequence[int]) -> Outputs:
        """The teacher's outputs for a batch of these rows, on the device, float32, padded on the right."""
        if self._rows is None or self._said is None:
            return NoTeacher()
        if layers:
            return moved(padded([self._rows[row] for row in rows], layers), self.device)
        longest = max(self._rows[row].tokens for row in rows)
        return picked(self._said, sent(torch.tensor(rows), self.device), longest)

    def student_outputs(self, batch: Batch, layers: Sequence[int]) -> Outputs:
        """The student's outputs in the precision of this training, then in float32."""
        with autocast(self.precision, self.device):
            outputs = self.forward(batch.inputs, hidden=layers)
        return as_float32(checked_outputs(outputs, self.student, len(batch.ids), layers))

    def matched(self, teacher: Outputs, student: Outputs) -> Outputs:
        """Teacher states at the student's positions, where a loss compares positions and the student has a mask."""
        return laid_out_as(teacher, student.mask) if self.aligned and student.mask is not None else teacher


class NoTeacher(Outputs):
    """Stands for the signals of a training without a teacher."""

    def __init__(self) -> None:
        """Nothing to hold."""

    def __getattr__(self, name: str) -> Tensor:
        raise CodrunError(f"this training has no teacher, and a loss asks for its `{name}`; leave that loss out")


class LossData:
    """Implements :class:`cod_runner.api.BatchSource` for one loss: its own shuffling, its own layers."""

    def __init__(self, data: TrainingData, needs: Needs, seed: int) -> None:
        self._data, self._needs, self._seed, self._passes = data, needs, seed, 0

    def batches(self, labelled: bool = False) -> Iterator[Batch]:
        """The training set once, shuffled anew at each call; with ``labelled``, only rows that have a label."""
        self._passes += 1
        return self._data.batches.shuffled(self._passes, self._seed, "pass", labelled=labelled)

    def signals(self, batch: Batch) -> Outputs:
        """The teacher's outputs for a batch, on the device."""
        return self._data.signals(self._data.batches.rows_of(batch), self._needs.teacher)

    @torch.no_grad()
    def student_outputs(self, batch: Batch) -> Outputs:
        """The initial student's outputs, no gradient, no dropout."""
        self._data.student.eval()
        return self._data.student_outputs(batch, self._needs.student)


def bind_losses(
    terms: Sequence[WeightedTerm], names: Sequence[str], data: TrainingData, *, seed: int, cache_folder: Path | None
) -> None:
    """Let each loss create its parameters, each from the random stream of its name in ``names``."""
    for term, name in zip(terms, names, strict=True):
        stream = derived_seed(seed, "bind", name)
        own = LossData(data, term.needs(data.teacher_shape, data.student.shape), stream)
        with random_stream(stream, "parameters"):
            term.loss.bind(
                Binding(
                    teacher=data.teacher_shape,
                    student=data.student.shape,
                    labels=data.student.labels,
                    data=own,
                    seed=stream,
                    device=data.device,
                    cache=partial(_cached, None if cache_folder is None else cache_folder / name, data.device),
                    fit=partial(_fit, own, data.device),
                )
            )
        term.loss.to(data.device)


def _cached(folder: Path | None, device: str, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What ``make`` returned the last time, or returns now; written whole, and made again where it is damaged."""
    if folder is None:
        return make()
    path = folder / f"{name}.safetensors"
    try:
        kept = load_checked(path)
        touch(path)
    except (OSError, SafetensorError, ValueError):
        made = {key: value.detach().cpu().clone().contiguous() for key, value in make().items()}
        with file_written_whole(path) as temporary:
            save_checked(made, temporary)
        kept = load_checked(path)
    return {key: value.to(device) for key, value in kept.items()}


def _fit(
    data: LossData,
    device: str,
    parameters: Iterable[nn.Parameter],
    objective: Callable[[Batch], Tensor],
    *,
    epochs: int,
    lr: float,
    labelled: bool = False,
) -> None:
    """AdamW without decay on ``objective(batch)``, ``epochs`` passes, constant rate; over labelled rows alone, where
    that is asked for.

    Raises :class:`CodrunError` in the first pass whose objective is not finite; checked once per pass.
    """
    fused = torch.device(device).type in FUSED_ON
    optimiser = AdamW(list(parameters), lr=lr, weight_decay=0.0, fused=fused)
    for epoch in range(1, epochs + 1):
        summed = torch.zeros((), device=device)
        for batch in data.batches(labelled):
            optimiser.zero_grad(set_to_none=True)
            value = objective(batch)
            value.backward()
            optimiser.step()
            summed += value.detach()
        if not torch.isfinite(summed):
            raise CodrunError(
                f"what a loss fits before training turned infinite or NaN in pass {epoch} at a rate of {lr:g}; "
                "give that loss a smaller one"
            )
    optimiser.zero_grad(set_to_none=True)  # what is left would be added to the first step with the student

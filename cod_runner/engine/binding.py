"""What a loss sees before training: data, initial student, kept results, and a small loop to fit its parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, Classifier, Needs, Outputs
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.seeds import derived_seed, random_stream
from cod_runner.engine.signals import TeacherSignals
from cod_runner.errors import CodrunError

if TYPE_CHECKING:
    from cod_runner.engine.training import WeightedTerm


class LossData:
    """Implements :class:`cod_runner.api.BatchSource`; one view for each loss, each with its own shuffling."""

    def __init__(
        self,
        student: Classifier,
        batches: TrainingBatches,
        signals: TeacherSignals | None,
        needs: Sequence[Needs],
        device: str,
        stream: tuple[int, str] = (0, "loss"),
    ) -> None:
        self._student, self._batches, self._signals, self._device = student, batches, signals, device
        self._needs, self._stream, self._passes = needs, stream, 0

    def for_loss(self, seed: int, name: str, needs: Needs) -> LossData:
        """The same data with one loss's own shuffling and layers."""
        return LossData(self._student, self._batches, self._signals, [needs], self._device, (seed, name))

    def batches(self) -> Iterator[Batch]:
        """The training set once, shuffled anew at each call."""
        self._passes += 1
        seed, name = self._stream
        return self._batches.of_pass(self._passes, seed, "bind", name)

    def signals(self, batch: Batch) -> Outputs:
        """The teacher's outputs for a batch, on the device."""
        if self._signals is None:
            raise CodrunError("this training has no teacher, and a loss asked for its signals")
        layers = sorted({layer for need in self._needs for layer in need.teacher})
        kept = self._signals.outputs([example.input for example in self._batches.inputs_of(batch)], layers)
        return _moved(kept, self._device)

    @torch.no_grad()
    def student_outputs(self, batch: Batch) -> Outputs:
        """The student's outputs as it is now, no dropout."""
        self._student.eval()
        layers = sorted({layer for need in self._needs for layer in need.student})
        outputs = self._student(batch.inputs, hidden=layers)
        self._student.train()
        hidden = {layer: states.float() for layer, states in outputs.hidden.items()}
        return Outputs(outputs.logits.float(), hidden, outputs.mask, outputs.pooled_at)


def bind_losses(
    terms: Sequence[WeightedTerm], data: LossData, *, seed: int, device: str, cache_folder: Path | None
) -> None:
    """Let each loss create its parameters, each from a random stream of its own."""
    student, signals = data._student, data._signals
    teacher_shape = signals.shape if signals is not None else student.shape
    for position, term in enumerate(terms):
        # The stream is named by the loss and its place among its namesakes, so that adding another loss shifts nothing.
        place = sum(other.name == term.name for other in terms[:position])
        name = f"{term.name}{place or ''}"
        own = data.for_loss(seed, name, term.loss.needs(teacher_shape, student.shape))
        folder = None if cache_folder is None else cache_folder / name
        binding = Binding(
            teacher=teacher_shape,
            student=student.shape,
            labels=student.labels,
            data=own,
            seed=derived_seed(seed, "bind", name),
            device=device,
            cache=partial(_cached, folder, device),
            fit=partial(_fit, own),
        )
        with random_stream(seed, "bind", name):
            term.loss.bind(binding)
        term.loss.to(device)


def _cached(folder: Path | None, device: str, name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What ``make`` returned the last time, or returns now; written whole."""
    path = None if folder is None else folder / f"{name}.safetensors"
    if path is not None and path.exists():
        return {key: value.to(device) for key, value in load_file(path).items()}
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        save_file({key: value.detach().cpu().contiguous() for key, value in made.items()}, temporary)
        temporary.replace(path)
    return made


def _fit(
    data: LossData,
    parameters: Iterable[nn.Parameter],
    objective: Callable[[Batch], Tensor],
    *,
    epochs: int,
    lr: float,
) -> None:
    """AdamW without decay on ``objective(batch)``, ``epochs`` passes, constant rate."""
    trained = list(parameters)
    optimiser = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    with torch.enable_grad():
        for _ in range(epochs):
            for batch in data.batches():
                optimiser.zero_grad(set_to_none=True)
                value = objective(batch)
                if not torch.isfinite(value):
                    raise CodrunError("a loss's own fit became infinite or NaN; try a smaller learning rate for it")
                value.backward()
                optimiser.step()


def _moved(outputs: Outputs, device: str) -> Outputs:
    return Outputs(
        outputs.logits.to(device),
        {layer: states.to(device) for layer, states in outputs.hidden.items()},
        None if outputs.mask is None else outputs.mask.to(device),
        None if outputs.pooled_at is None else outputs.pooled_at.to(device),
    )

"""A student's forward pass as an ONNX file, by torch's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cod_runner.api import Classifier, CodrunError
from codrun_onnx.answering import LOGITS

LARGEST = 2_000_000_000
"""Bytes that one ONNX file holds; it is a protocol buffer, whose lengths are 32-bit numbers with a sign."""


class TemperedLogits(nn.Module):
    """The logits alone, divided by the temperature, of tensors in the order of ``names``."""

    def __init__(self, student: Classifier, names: Sequence[str], temperature: float) -> None:
        super().__init__()
        self.student = student
        self.names, self.temperature = tuple(names), temperature

    def forward(self, *tensors: Tensor) -> Tensor:
        logits = self.student(dict(zip(self.names, tensors, strict=True))).logits
        return logits if self.temperature == 1 else logits / self.temperature


def write_graph(
    student: Classifier, batch: Mapping[str, Tensor], path: Path, *, temperature: float, opset: int
) -> None:
    """Write the student as ``path``; ``batch`` is an example of its input, whose sizes are left open in the file.

    The exporter that traces with ``torch.export`` is used (``dynamo=True``): the older one leaves out the mask of
    BERT, RoBERTa and DeBERTa in silence. Raises :class:`CodrunError`.
    """
    size = sum(each.numel() * each.element_size() for each in student.parameters())
    if size >= LARGEST:
        raise CodrunError(
            f"one ONNX file holds at most 2 GB, and this student's weights take {size / 1e9:.1f} GB; take a smaller one"
        )
    model = TemperedLogits(student, list(batch), temperature).eval()
    free = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    try:
        with _silence():
            program = torch.onnx.export(
                model,
                tuple(batch.values()),
                dynamo=True,
                input_names=list(batch),
                output_names=[LOGITS],
                dynamic_shapes=(tuple(free for _ in batch),),
                opset_version=opset,
                verbose=False,
            )
            assert program is not None  # it is only without dynamo
            program.save(str(path), external_data=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        cause = " ".join(str(error.__cause__ or error).split())[:300]
        raise CodrunError(f"torch cannot export this student to ONNX ({cause}); nothing was written") from error


@contextmanager
def _silence() -> Iterator[None]:
    """What the exporter says of its own workings helps nobody here: its faults are raised, its result is compared."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def logits_of(student: Classifier, batch: Mapping[str, Tensor], temperature: float) -> Any:
    """What the file should answer, ``[batch, classes]``, as a numpy array."""
    with torch.inference_mode():
        return (student(batch).logits.float() / temperature).numpy()

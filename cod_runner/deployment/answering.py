"""What one student, or several of different seeds together, say of texts: labels and probabilities. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from cod_runner.api import Answerer, BuildContext, Encoded, Input
from cod_runner.deployment.opened import OpenedStudent, open_student
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.registry import Registry
from cod_runner.runs.student_record import read_student_record

BATCH = 32
BLOCK = 1024
"""Texts that are sorted by length together, and held in memory."""


@dataclass(frozen=True)
class Decision:
    """One label is given where its probability is at least ``value``, else the likeliest of the others."""

    label: int
    value: float


class Ensemble:
    """Opened students of the same labels; the probabilities of several are averaged."""

    def __init__(self, students: Sequence[OpenedStudent], batch: int = BATCH) -> None:
        self.students = tuple(students)
        self.labels = self.students[0].answerer.labels
        self._batch = batch
        if any(student.answerer.labels != self.labels for student in self.students):
            raise CodrunError("these students answer with different labels, so their probabilities cannot be averaged")

    def probabilities(self, texts: Sequence[str]) -> numpy.ndarray:
        """``[texts, labels]``, float64, each row adding up to 1: logits over the temperature, softmax, mean."""
        each = [softmax(logits_of(one.answerer, texts, self._batch), one.temperature) for one in self.students]
        return numpy.mean(each, axis=0)

    def sentence(self) -> str:
        """Whether the probabilities are calibrated, for the user."""
        fitted = [one.record.temperature for one in self.students]
        if all(each is None for each in fitted):
            return "probabilities: not calibrated, no temperature was fitted for this student"
        if all(student.record.exported for student in self.students):
            return "probabilities: calibrated, the student's temperature is inside the exported file"
        words = ", ".join("none" if each is None else f"{each:.2f}" for each in fitted)
        return f"probabilities: calibrated, logits divided by the temperature {words}"


def open_ensemble(folders: Sequence[Path], registry: Registry, device: str | None, batch: int) -> Ensemble:
    """Open the students of these folders, on one thread where they are torch's.

    ``device`` is as the command line says it, None for the CPU; an exported student decides by itself where it runs.
    Raises :class:`RecipeError` where it is asked to do otherwise.
    """
    context = BuildContext(offline=True)
    records = [(folder, read_student_record(folder)) for folder in folders]
    if any(record is None or record.exported is None for _, record in records):
        import torch

        from cod_runner.engine.device import choose_device

        torch.set_num_threads(1)
        context = BuildContext(offline=True, device=choose_device(device or "cpu"))
    elif device not in (None, "cpu"):
        raise RecipeError(f"{folders[0]} is an exported student, which runs on the CPU; omit --device {device}")
    return Ensemble([open_student(folder, registry, context) for folder in folders], batch)


def logits_of(answerer: Answerer, inputs: Sequence[Input], batch: int = BATCH) -> numpy.ndarray:
    """``[inputs, labels]``, float32, in the order of ``inputs``, asked in batches of like length."""
    logits = numpy.empty((len(inputs), len(answerer.labels)), dtype=numpy.float32)
    encoded = answerer.encode(inputs)
    for chosen in batches_by_length(encoded, batch):
        logits[chosen] = answerer.logits([encoded[place] for place in chosen])
    return logits


def batches_by_length(encoded: Sequence[Encoded], batch: int) -> Iterator[list[int]]:
    """Positions of inputs of like length, the longest first, so that what does not fit in memory shows at once."""
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place].ids))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def softmax(logits: numpy.ndarray, temperature: float = 1.0) -> numpy.ndarray:
    """``[rows, labels]``, float64, each row adding up to 1."""
    scaled = logits.astype(numpy.float64) / temperature
    odds = numpy.exp(scaled - scaled.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def decided(probabilities: numpy.ndarray, decision: Decision | None) -> numpy.ndarray:
    """``[rows]`` class ids: the likeliest, or as ``decision`` says."""
    if decision is None:
        return probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[:, decision.label] = -1.0
    return numpy.where(probabilities[:, decision.label] >= decision.value, decision.label, others.argmax(axis=1))

"""Opens a saved or exported student from its folder, whatever form it has, without its recipe or teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cod_runner.api import Answerer, BuildContext, Classifier, Encoded, Input
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.registry import Registry
from cod_runner.runs.student_record import StudentRecord, read_student_record

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class OpenedStudent:
    """A student that can be asked, and what is known of it."""

    folder: Path
    record: StudentRecord
    answerer: Answerer

    @property
    def temperature(self) -> float:
        """What its logits are still to be divided by: 1 where that is unknown, or inside the export."""
        return 1.0 if self.record.exported or self.record.temperature is None else self.record.temperature


def open_student(folder: Path, registry: Registry, context: BuildContext | None = None) -> OpenedStudent:
    """Open the student of ``folder``; raises :class:`RecipeError` that says what the folder is instead."""
    record = read_student_record(folder)
    if record is None:
        raise RecipeError(
            f"{folder} is not a student's folder: it has no student.json; name one like runs/NAME/students/CELL"
        )
    given = replace(context or BuildContext(), labels=record.labels, describe=record.describe)
    if record.exported is not None:
        answerer: Answerer | None = registry.reopen("exporter", record.exported.use, folder, given)
        if answerer is None:
            raise CodrunError(f"the exporter `{record.exported.use}` cannot open what it wrote in {folder}")
        return OpenedStudent(folder, record, answerer)
    return OpenedStudent(folder, record, ClassifierAnswers(classifier_of(folder, record, registry, given)))


def classifier_of(folder: Path, record: StudentRecord, registry: Registry, context: BuildContext) -> Classifier:
    """The torch model of a student's folder, in eval mode, on the context's device."""
    student: Classifier | None = registry.reopen("student", record.student.use, folder, context)
    if student is None:  # its component is built as for its recipe, and reads the weights
        student = registry.build("student", record.student.use, record.student.options, context)
        student.load(folder)
    if student.labels != record.labels:
        raise CodrunError(
            f"{folder} holds a student of the labels {', '.join(student.labels)}, and its student.json says "
            f"{', '.join(record.labels)}: its files do not belong together"
        )
    student.to(context.device)
    student.eval()
    return student


class ClassifierAnswers:
    """A :class:`Classifier` as an :class:`Answerer`."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.labels = classifier.labels

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """As :meth:`Classifier.encode`."""
        return self.classifier.encode(inputs)

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        """``[batch, classes]``, float32."""
        import torch

        device = next(self.classifier.parameters()).device
        with torch.inference_mode():
            batch = {name: value.to(device) for name, value in self.classifier.collate(encoded).items()}
            return self.classifier(batch).logits.float().cpu().numpy()

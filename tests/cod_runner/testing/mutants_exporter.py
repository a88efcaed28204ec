"""Exporters, each wrong in one thing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import torch
from mutant_table import mutant

from cod_runner.api import BuildContext, Classifier, CodrunError, Encoded, ExportReport, ExportRequest, Input
from cod_runner.testing.checks.toys import POINTS
from cod_runner.testing.classifiers import VectorClassifier

KNOWN = [row.input for row in POINTS]


class Table:
    """What was exported, opened again: knows the answers to the points of the toys alone."""

    def __init__(self, folder: Path, context: BuildContext) -> None:
        kept = json.loads((folder / "answers.json").read_text())
        self.labels = tuple(kept["labels"])
        self.answers = {tuple(point): said for point, said in kept["answers"]}

    def encode(self, inputs: Sequence[Input]) -> Any:
        return [Encoded((0,), {"point": value}) for value in inputs]

    def logits(self, encoded: Sequence[Encoded]) -> Any:
        return numpy.array([self.answers[tuple(one.fields["point"])] for one in encoded], dtype=numpy.float32)


class Doubles(Table):
    def logits(self, encoded: Sequence[Encoded]) -> Any:
        return super().logits(encoded).astype(numpy.float64)


class Lists(Table):
    def logits(self, encoded: Sequence[Encoded]) -> Any:
        return super().logits(encoded).tolist()


class TurnsLabels(Table):
    def __init__(self, folder: Path, context: BuildContext) -> None:
        super().__init__(folder, context)
        self.labels = self.labels[::-1]


class EncodesOneMore(Table):
    def encode(self, inputs: Sequence[Input]) -> Any:
        return [*super().encode(inputs), *super().encode(inputs[:1])]


class StaysWhereItWas(Table):
    def __init__(self, folder: Path, context: BuildContext) -> None:
        kept = json.loads((folder / "answers.json").read_text())
        super().__init__(Path(kept["here"]), context)


OPENED = "mutants_exporter:Table"


@mutant("exporter", reopen=OPENED)
@mutant("exporter", reopen=OPENED, student=lambda: VectorClassifier(("low", "high"), seed=2))
@mutant("exporter", "has no `reopen`, so codrun cannot ask what it wrote")
@mutant("exporter", "answers with array", reopen="mutants_exporter:Doubles")
@mutant("exporter", r"answers with \[\[", reopen="mutants_exporter:Lists")
@mutant("exporter", r"opens with the labels \('positive', 'negative'\)", reopen="mutants_exporter:TurnsLabels")
@mutant("exporter", "encodes 9 inputs as 10", reopen="mutants_exporter:EncodesOneMore")
@mutant(
    "exporter", "raised FileNotFoundError while what it wrote was opened", reopen="mutants_exporter:StaysWhereItWas"
)
class WritesAnswers:
    """Right: a table of answers."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        """Nothing to keep."""

    def export(self, student: Classifier, request: ExportRequest) -> Any:
        if not isinstance(student, VectorClassifier):
            raise CodrunError("points alone")
        batch = student.collate(student.encode(KNOWN))
        with torch.no_grad():
            said = self.changed(student(batch).logits, request).tolist()
        kept = {"labels": student.labels, "answers": list(zip(KNOWN, said, strict=True)), "here": str(request.folder)}
        path = request.folder / "answers.json"
        path.write_text(json.dumps(kept))
        return self.reported(ExportReport("answers.json", path.stat().st_size, len(KNOWN), 0.0, 0))

    def changed(self, logits: torch.Tensor, request: ExportRequest) -> torch.Tensor:
        return logits / request.temperature

    def reported(self, report: ExportReport) -> Any:
        return report


@mutant("exporter", "reports None", reopen=OPENED)
class ReportsNothing(WritesAnswers):
    def reported(self, report: ExportReport) -> Any:
        return None


@mutant("exporter", "reports the file `model.bin`, which is not in the folder", reopen=OPENED)
class NamesAnotherFile(WritesAnswers):
    def reported(self, report: ExportReport) -> Any:
        return replace(report, file="model.bin")


@mutant("exporter", "reports 1 bytes of a file of", reopen=OPENED)
class OneByte(WritesAnswers):
    def reported(self, report: ExportReport) -> Any:
        return replace(report, bytes=1)


@mutant("exporter", "compared 0 inputs, and was given 9", reopen=OPENED)
class ComparesNothing(WritesAnswers):
    def reported(self, report: ExportReport) -> Any:
        return replace(report, compared=0)


@mutant("exporter", r"reports ExportReport\(.*largest_difference=nan", reopen=OPENED)
class NotANumber(WritesAnswers):
    def reported(self, report: ExportReport) -> Any:
        return replace(report, largest_difference=float("nan"))


@mutant("exporter", "beside its student, and reports 0 at most", reopen=OPENED)
class AnswersOtherwise(WritesAnswers):
    def changed(self, logits: torch.Tensor, request: ExportRequest) -> torch.Tensor:
        return (logits + 0.5) / request.temperature


@mutant("exporter", "away from its logits over the temperature", reopen=OPENED)
class ForgetsTheTemperature(WritesAnswers):
    def changed(self, logits: torch.Tensor, request: ExportRequest) -> torch.Tensor:
        return logits


@mutant("exporter", "changed the student that it exported", reopen=OPENED)
class ChangesTheStudent(WritesAnswers):
    def export(self, student: Classifier, request: ExportRequest) -> Any:
        report = super().export(student, request)
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.mul_(1.000001)
        return report


@mutant("exporter", "tried to write .*left_behind.txt in `export`", reopen=OPENED)
class WritesElsewhere(WritesAnswers):
    def export(self, student: Classifier, request: ExportRequest) -> Any:
        Path("/a-folder-of-nobody/left_behind.txt").write_text("here")
        return super().export(student, request)

"""The contract of an exporter, and of what answers once it is opened."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy
import torch

from cod_runner.api import Answerer, Classifier, CodrunError, Exporter, ExportReport, ExportRequest, Input
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.network import outputs_of
from cod_runner.testing.checks.subject import NoToySuits, Subject
from cod_runner.testing.checks.toys import LABELS, POINTS, TEXTS, toy_teacher
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier

REOPEN = "Component.reopen: of an exporter, opens what `export` wrote as an `Answerer`"
REPORT = "ExportReport: what was written, and how far it is from the student"
ALIKE = "Exporter.export: what was written answers as the student does, up to rounding and quantisation"
TEMPERATURE = "ExportRequest.temperature: the logits are divided by it inside the exported model"
LOGITS = "Answerer.logits: `[batch, classes]`, float32, in the order of `labels`"
ENCODE = "Answerer.encode: as `Classifier.encode`, one `Encoded` for each input"
MOVES = "Exporter.export: writes a form that runs without codrun, from whatever folder"
LEFT_ALONE = "Exporter.export: the student stays as it is"
TEMPERED = 2.0


@check_of("exporter")
def check_exporter(subject: Subject) -> None:
    """A folder of its own, a true report, and answers like the student's."""
    subject.must(bool(subject.component.reopen), "has no `reopen`, so codrun cannot ask what it wrote", REOPEN)
    refused = []
    toys = [subject.student] if subject.student is not None else [_few_words(), toy_teacher(False), _linear()]
    for student in toys:
        subject.context = replace(subject.context, labels=tuple(student.labels))
        texts = _reads_texts(student)
        inputs = [row.input for row in (TEXTS if texts else POINTS)[:9]]
        try:
            _check_export(subject, student, inputs)
        except CodrunError as error:
            refused.append(str(error))
        else:
            return
    reasons = "; ".join(dict.fromkeys(refused))
    if subject.student is not None:
        raise CodrunError(f"{subject.what} does not export the student that the check was given: {reasons}")
    raise NoToySuits(
        f"{subject.what} exports none of the toys, small students of texts and of vectors ({reasons}); give a check in "
        "Python one that it exports: `check_exporter(component, student=...)`"
    )


def _linear() -> Classifier:
    return VectorClassifier(LABELS, width=4, layers=0, seed=1)


def _few_words() -> Classifier:
    return TextClassifier(LABELS, texts=[str(row.input) for row in TEXTS], width=8, layers=1, seed=1)


def _reads_texts(student: Classifier) -> bool:
    try:
        student.encode(["a film"])
    except CodrunError:
        return False
    return True


def _check_export(subject: Subject, student: Classifier, inputs: Sequence[Input]) -> None:
    weights = {name: parameter.detach().clone() for name, parameter in student.named_parameters()}
    reports, answers = [], []
    for temperature, texts in ((1.0, inputs), (TEMPERED, ())):
        folder = Path(tempfile.mkdtemp(dir=subject.folder))
        exporter: Exporter = subject.build()
        with subject.watched("in `export`", refusals=True):
            report = exporter.export(student, ExportRequest(folder, temperature, texts))
        _check_report(subject, report, folder, len(texts))
        reports.append(report)
        opened = folder.with_name(f"{folder.name}-moved")
        folder.rename(opened)
        answers.append(_answers(subject, subject.reopen(opened), student, inputs))
    same = all(torch.equal(weights[name], parameter) for name, parameter in student.named_parameters())
    subject.must(same, "changed the student that it exported", LEFT_ALONE)
    wanted = outputs_of(student, inputs).logits.numpy()
    apart, largest = float(numpy.abs(answers[0] - wanted).max()), reports[0].largest_difference
    subject.must(
        apart <= largest * 1.5 + 1e-4,
        f"answers {apart:.2g} beside its student, and reports {largest:.2g} at most",
        ALIKE,
    )
    tempered = float(numpy.abs(answers[1] * TEMPERED - answers[0]).max())
    subject.must(
        tempered <= 0.02 * (1 + float(numpy.abs(wanted).max())),
        f"answers {tempered:.2g} away from its logits over the temperature",
        TEMPERATURE,
    )


def _check_report(subject: Subject, report: ExportReport, folder: Path, texts: int) -> None:
    subject.must(isinstance(report, ExportReport), f"reports {report!r:.80}", REPORT)
    path = folder / report.file
    subject.must(path.is_file(), f"reports the file `{report.file}`, which is not in the folder", REPORT)
    size = path.stat().st_size
    subject.must(report.bytes == size, f"reports {report.bytes} bytes of a file of {size}", REPORT)
    subject.must(report.compared >= texts, f"compared {report.compared} inputs, and was given {texts}", REPORT)
    true = math.isfinite(report.largest_difference) and report.largest_difference >= 0
    subject.must(true and 0 <= report.disagreeing <= report.compared, f"reports {report}", REPORT)


def _answers(subject: Subject, opened: Answerer, student: Classifier, inputs: Sequence[Input]) -> numpy.ndarray:
    """Logits, alone and together the same."""
    subject.must(tuple(opened.labels) == tuple(student.labels), f"opens with the labels {opened.labels}", MOVES)
    with subject.watched("when what it wrote was asked"):
        encoded = opened.encode(inputs)
        alone = [opened.logits([one]) for one in encoded]
    subject.must(len(encoded) == len(inputs), f"encodes {len(inputs)} inputs as {len(encoded)}", ENCODE)
    for one in alone:
        right = isinstance(one, numpy.ndarray) and one.shape == (1, len(student.labels)) and one.dtype == numpy.float32
        subject.must(right, f"answers with {one!r:.80}", LOGITS)
    return numpy.concatenate(alone)

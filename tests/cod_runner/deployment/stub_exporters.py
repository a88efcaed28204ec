"""Exporters whose numbers are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy

from cod_runner.api import (
    BuildContext,
    Classifier,
    CodrunError,
    Component,
    Encoded,
    ExportReport,
    ExportRequest,
    Input,
    Options,
    hookimpl,
)

requests: list[ExportRequest] = []
"""What the exporters were given."""


class StubOptions(Options):
    """Of an exporter that writes which class is always the answer."""

    answer: int = 1
    int8: bool = False


class Constant:
    """Writes ``constant.txt``, and asks nothing."""

    def __init__(self, options: StubOptions, context: BuildContext) -> None:
        self.options = options

    def export(self, student: Classifier, request: ExportRequest) -> ExportReport:
        requests.append(request)
        (request.folder / "constant.txt").write_text(str(self.options.answer))
        if self.options.answer < 0:
            raise CodrunError("the two differ by more than rounding")
        return ExportReport("constant.txt", 1, compared=7, largest_difference=0.25, disagreeing=3)


class Answering:
    """Gives the class of ``constant.txt``."""

    def __init__(self, folder: Path, context: BuildContext) -> None:
        self.labels = context.labels
        self.answer = int((folder / "constant.txt").read_text())

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        return [Encoded((0,)) for _ in inputs]

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        return numpy.tile(numpy.eye(2, dtype=numpy.float32)[self.answer], (len(encoded), 1))


class Plugin:
    """Declares ``constant``; ``bare`` is another that takes no options."""

    @hookimpl
    def codrun_components(self) -> list[Component]:
        build, reopen = "stub_exporters:Constant", "stub_exporters:Answering"
        return [
            Component("exporter", "constant", StubOptions, build, "one class, always", reopen=reopen),
            Component("exporter", "bare", Options, build, "one class, always", reopen=reopen),
        ]

"""Writes a student as an ONNX file and compares the two."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from cod_runner.api import BuildContext, Classifier, CodrunError, ExportReport, ExportRequest
from codrun_onnx.answering import INT8_MODEL, MODEL, session_of
from codrun_onnx.graph import write_graph
from codrun_onnx.packages import TO_EXPORT, require
from codrun_onnx.parity import Parity, compared
from codrun_onnx.plugin import OnnxOptions
from codrun_onnx.quantised import OPERATORS, write_int8
from codrun_onnx.sentences import SENTENCES
from codrun_onnx.tokenizer_file import longest_encoding, write_tokenizer

EXAMPLE = "example.py"
MOST_TEXTS = 256
"""Of the texts that the caller offers for the comparison."""


class OnnxExporter:
    """Implements :class:`cod_runner.api.Exporter`."""

    def __init__(self, options: OnnxOptions, context: BuildContext) -> None:
        """Raises :class:`CodrunError` where the packages of the extra ``onnx`` are missing."""
        require(TO_EXPORT)
        self.options = options

    def export(self, student: Classifier, request: ExportRequest) -> ExportReport:
        """Write ``model.onnx`` or ``model.int8.onnx``, ``tokenizer.json`` and ``example.py`` into the request's folder.

        The whole model must answer as the student does, but for rounding; of the one in int8 the difference is told.
        Raises :class:`CodrunError`.
        """
        student.eval()
        student.to("cpu")
        offered = [text for text in request.texts if isinstance(text, str)][:MOST_TEXTS]
        texts = [*SENTENCES, *offered]
        reader = write_tokenizer(student, request.folder, texts)
        longest, encoded = longest_encoding(student), reader.encode(texts)
        whole, small = request.folder / MODEL, request.folder / INT8_MODEL
        request.say("writing the ONNX file")
        write_graph(
            student, student.collate(encoded[:2]), whole, temperature=request.temperature, opset=self.options.opset
        )
        request.say("comparing it with the student, over lengths and paddings")
        parity = compared(student, session_of(whole), longest, encoded, request.temperature)
        _refuse_another_model(parity)
        details = {"opset": str(self.options.opset), **_versions()}
        if not self.options.int8:
            return _report(whole, parity, details)
        request.say("rounding it to int8")
        write_int8(whole, small, full_range=self.options.full_range)
        details |= {
            "largest difference before int8": f"{parity.largest_difference:.1e}",
            "in int8": f"the weights of {' and '.join(OPERATORS)}, per channel",
            "bits": "8" if self.options.full_range else "7",
        }
        whole.unlink()
        return _report(small, compared(student, session_of(small), longest, encoded, request.temperature), details)


def _report(path: Path, parity: Parity, details: dict[str, str]) -> ExportReport:
    shutil.copyfile(Path(__file__).with_name(EXAMPLE), path.with_name(EXAMPLE))
    return ExportReport(
        file=path.name,
        bytes=path.stat().st_size,
        compared=parity.compared,
        largest_difference=parity.largest_difference,
        disagreeing=parity.disagreeing,
        details=details,
    )


def _refuse_another_model(parity: Parity) -> None:
    if not parity.is_rounding:
        raise CodrunError(
            f"the ONNX file answers otherwise than the student: logits differ by up to {parity.largest_difference:.2g} "
            f"where {parity.compared} inputs of many lengths and paddings were compared, {parity.disagreeing} of which "
            "got another label; nothing was written. Versions of torch, onnxscript and onnxruntime may not fit together"
        )


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("torch", *TO_EXPORT)}

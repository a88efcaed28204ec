"""Opens an exported student and asks it, with ONNX Runtime and ``tokenizers`` alone: neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from cod_runner.api import BuildContext, CodrunError, Encoded, Input
from codrun_onnx.packages import TO_ANSWER, require
from codrun_onnx.reading import INPUTS, TextReader

MODEL, INT8_MODEL = "model.onnx", "model.int8.onnx"
LOGITS = "logits"


class OnnxAnswerer:
    """Implements :class:`cod_runner.api.Answerer` for a folder that the exporter wrote."""

    def __init__(self, folder: Path, context: BuildContext) -> None:
        """Raises :class:`CodrunError` if the folder's files are missing, damaged or not such a student's."""
        require(TO_ANSWER)
        self.labels = context.labels
        self.session = session_of(model_file(folder))
        names = [each.name for each in self.session.get_inputs()]
        if not set(names) <= set(INPUTS) or [each.name for each in self.session.get_outputs()] != [LOGITS]:
            raise CodrunError(f"{model_file(folder)} is not a classifier that `codrun export` wrote")
        self.reader = TextReader.of_folder(folder, names)

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Token ids, truncated to the student's length."""
        return self.reader.encode(inputs)

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        """``[batch, classes]``, float32, divided by the student's temperature."""
        return run(self.session, self.reader.collate(encoded))


def model_file(folder: Path) -> Path:
    """The folder's one model; raises :class:`CodrunError` where there is none, or two."""
    found = [folder / name for name in (MODEL, INT8_MODEL) if (folder / name).is_file()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise CodrunError(f"{folder} holds {what} {MODEL} {'and' if found else 'nor'} {INT8_MODEL}; export it again")
    return found[0]


def session_of(path: Path) -> Any:
    """An ``InferenceSession`` on one thread of the CPU; raises :class:`CodrunError` for a file that is not a model.

    A model holds no code: operators of a library would have to be registered here. Files that it names as its weights
    (``external data``) are refused by ONNX Runtime if they lie outside its folder, also behind a link.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class but this one
        cause = " ".join(str(error).split())[:300]
        raise CodrunError(f"{path} cannot be opened as an ONNX model ({cause}); export the student again") from error


def run(session: Any, batch: dict[str, numpy.ndarray]) -> numpy.ndarray:
    """The logits of one batch, ``[batch, classes]``, float32."""
    logits: numpy.ndarray = session.run([LOGITS], batch)[0]
    return logits

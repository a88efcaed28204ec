"""The packages of the extra ``onnx``, and one sentence where one of them is missing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from importlib import metadata

from cod_runner.api import CodrunError

TO_EXPORT = ("onnx", "onnxscript", "onnxruntime")
TO_ANSWER = ("onnxruntime", "tokenizers")
OLDEST_RUNTIME = (1, 24)
"""Earlier ones read any file of the machine as weights, if a model names it."""


def require(names: Sequence[str]) -> None:
    """Import them, or raise :class:`CodrunError` that says how to install the first that is missing."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise CodrunError(
                f"ONNX files need the package `{name}`, which cannot be imported ({error}); "
                "install it with `pip install 'codrun[onnx]'`"
            ) from error
    if "onnxruntime" in names:
        _refuse_an_old_runtime(metadata.version("onnxruntime"))


def _refuse_an_old_runtime(version: str) -> None:
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_RUNTIME:
        raise CodrunError(
            f"onnxruntime {version} lets a model read any file of this machine; install a later one with "
            "`pip install 'codrun[onnx]'`"
        )

"""The packages of the extra ``onnx``, and one sentence where one of them is missing."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from cod_runner.api import CodrunError

TO_EXPORT = ("onnx", "onnxscript", "onnxruntime")
TO_ANSWER = ("onnxruntime", "tokenizers")


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

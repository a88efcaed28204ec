"""Declares the exporter ``onnx``; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from cod_runner.api import Component, Options, hookimpl


class OnnxOptions(Options):
    """A student as one ONNX file, with its tokenizer and an example that needs neither torch nor codrun."""

    int8: bool = Field(False, description="weights and embeddings in 8 bits, about a quarter of the size, and faster")
    full_range: bool = Field(
        False,
        description="int8 weights of 8 bits rather than 7: finer, but sums overflow on x86 processors without VNNI",
    )
    opset: int = Field(20, ge=18, le=23, description="version of the ONNX operators")


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="exporter",
        name="onnx",
        options=OnnxOptions,
        build="codrun_onnx.exporter:OnnxExporter",
        reopen="codrun_onnx.answering:OnnxAnswerer",
        summary="an ONNX file, whole or in int8, with tokenizer and an example that needs no torch",
    )

"""Declares the teacher ``prompted``; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_prompted.options import PromptedOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="teacher",
        name="prompted",
        options=PromptedOptions,
        build="codrun_prompted.build:build_teacher",
        summary="a causal language model in process, asked for a text's label by the probabilities of the label words",
    )

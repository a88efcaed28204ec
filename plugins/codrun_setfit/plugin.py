"""Declares the student ``setfit``; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_setfit.options import SetFitOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="student",
        name="setfit",
        options=SetFitOptions,
        build="codrun_setfit.student:build_student",
        reopen="codrun_transformers.build:reopen_student",
        summary="SetFit: a sentence encoder trained on pairs of labelled texts, then a logistic regression "
        '(needs `pip install "codrun[setfit]"`)',
    )

"""Declares the ``transformers`` teacher and student and two measures of counterfactuals; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_transformers.options import MeasureOptions, StudentOptions, TeacherOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="teacher",
        name="transformers",
        options=TeacherOptions,
        build="codrun_transformers.build:build_teacher",
        summary="a sequence classifier from the hub, a folder or a package",
    )
    yield Component(
        kind="student",
        name="transformers",
        options=StudentOptions,
        build="codrun_transformers.build:build_student",
        reopen="codrun_transformers.build:reopen_student",
        summary="a sequence classifier from a checkpoint, or cut from chosen blocks of the teacher",
    )
    yield Component(
        kind="cfe_measure",
        name="similarity",
        options=MeasureOptions,
        build="codrun_transformers.measures:Similarity",
        summary="cosine of the mean-pooled embeddings of original and counterfactual, by any encoder",
    )
    yield Component(
        kind="cfe_measure",
        name="fluency",
        options=MeasureOptions,
        build="codrun_transformers.measures:Fluency",
        summary="perplexity of the counterfactual over the original's, by any causal language model",
    )

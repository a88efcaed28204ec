"""Declares what any language model that litellm reaches can be: a generator of counterfactuals or paraphrases, and a
teacher."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_litellm.options import LitellmOptions
from codrun_litellm.teacher_options import LitellmTeacherOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="litellm",
        options=LitellmOptions,
        build="codrun_litellm.generator:LitellmGenerator",
        summary="any language model: hosted, Azure, Ollama, vLLM, llama.cpp; each answer is paid for once",
    )
    yield Component(
        kind="teacher",
        name="litellm",
        options=LitellmTeacherOptions,
        build="codrun_litellm.teacher:LitellmTeacher",
        summary="any language model, asked for labels: by log-probabilities where it gives them, else by samples",
    )

"""Declares the generator `litellm`: counterfactuals, or paraphrases, from any language model that litellm reaches."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_litellm.options import LitellmOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="litellm",
        options=LitellmOptions,
        build="codrun_litellm.generator:LitellmGenerator",
        summary="any language model: hosted, Azure, Ollama, vLLM, llama.cpp; each answer is paid for once",
    )

"""Tiny language models, and the teachers that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_prompts import SHOTS, TEXTS, WORDS, Make

from cod_runner.api import BuildContext, Example
from cod_runner.testing.tiny_models import LANGUAGE_MODELS, tiny_language_model
from codrun_prompted.build import build_teacher
from codrun_prompted.options import PromptedOptions
from codrun_prompted.scorer import PromptedTeacher


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each architecture."""
    root = tmp_path_factory.mktemp("language_models")
    return {kind: tiny_language_model(root / kind, kind, TEXTS) for kind in LANGUAGE_MODELS}


@pytest.fixture
def make(models: dict[str, Path], tmp_path: Path) -> Make:
    """``make(kind or folder, shots=, labels=, said=, **options)``: a teacher."""

    def made(
        model: str | Path,
        *,
        shots: tuple[Example, ...] = SHOTS,
        labels: tuple[str, ...] = WORDS,
        said: list[str] | None = None,
        **options: Any,
    ) -> PromptedTeacher:
        folder = models[model] if isinstance(model, str) else model
        context = BuildContext(
            labels=labels,
            describe="Is the film good or bad?",
            shots=shots,
            store=tmp_path / "store",
            say=(said if said is not None else []).append,
        )
        return build_teacher(PromptedOptions(model=str(folder), **options), context)

    return made


@pytest.fixture
def chat(tmp_path: Path) -> Callable[[str], Path]:
    """``chat(template)``: the folder of a model that has this chat template."""
    return lambda template: tiny_language_model(tmp_path / "chat", "qwen2", TEXTS, chat_template=template)

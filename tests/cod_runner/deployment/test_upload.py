"""What of a student's folder may go to others."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_push import WEIGHTS

from cod_runner.deployment.upload import upload_of
from cod_runner.errors import CodrunError
from cod_runner.runs.student_record import SavedComponent, StudentRecord, write_student_record

ONNX = SavedComponent(use="onnx")


def made(folder: Path, exported: SavedComponent | None = None) -> Path:
    folder.mkdir()
    record = StudentRecord(student=SavedComponent(use="mlp"), labels=("a", "b"), exported=exported)
    write_student_record(folder, record)
    (folder / "README.md").write_text("# a card")
    (folder / ("model.onnx" if exported else "model.safetensors")).write_bytes(WEIGHTS)
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "can run code where it is opened"),
        ("optimizer.PT", "can run code where it is opened"),
        ("notes.docx", "is not a file that students consist of"),
        (".env", "is not a file that students consist of"),
        ("train.csv", "is not a file that students consist of"),
        ("example.py", "is not a file that students consist of"),
        ("sub/other.pkl", "can run code where it is opened"),
    ],
)
def test_a_pickle_or_anything_unknown_is_refused_by_name(tmp_path: Path, name: str, said: str) -> None:
    folder = made(tmp_path / "student")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")
    with pytest.raises(CodrunError, match=said) as raised:
        upload_of(folder)
    assert str(folder / name) in str(raised.value)


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    folder = made(tmp_path / "student")
    (tmp_path / "secret").write_text("secret")
    (folder / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(CodrunError, match="is a link"):
        upload_of(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"x" * 40, b"\x80\x04\x95" + b"x" * 40])
def test_weights_are_what_they_are_called(tmp_path: Path, content: bytes) -> None:
    folder = made(tmp_path / "student")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CodrunError, match="is called safetensors and is something else"):
        upload_of(folder)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match=r"is not a student's folder: it has no student\.json"):
        upload_of(tmp_path / "nowhere")
    folder = made(tmp_path / "student")
    (folder / "README.md").unlink()
    with pytest.raises(CodrunError, match=r"no model card .* `codrun report` of its run"):
        upload_of(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CodrunError, match="has no weights"):
        upload_of(folder)


def test_an_exported_student_brings_its_example_and_one_inside_another_stays(tmp_path: Path) -> None:
    folder = made(tmp_path / "student")
    exported = made(folder / "onnx", ONNX)
    (exported / "example.py").write_text("print()")
    outer, inner = upload_of(folder), upload_of(exported)
    assert [file.name for file in outer.files] == ["README.md", "model.safetensors", "student.json"]
    assert outer.left_out == ("onnx/, which is a student of its own",)
    assert [file.name for file in inner.files] == ["README.md", "example.py", "model.onnx", "student.json"]

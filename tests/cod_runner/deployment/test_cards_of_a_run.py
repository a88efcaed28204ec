"""The card that a run leaves beside a real student, and that of its export: the code in it runs."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from huggingface_hub import ModelCard
from text_runs import TextRun

from cod_runner.api import ExportReport
from cod_runner.deployment.export_card import exported_card, write_export_card
from cod_runner.deployment.upload import upload_of
from cod_runner.report.card.libraries import CALIBRATED, PLACE
from cod_runner.runs.student_record import SavedComponent, StudentRecord, read_student_record


def printed_by(code: str, folder: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code.replace(PLACE, str(folder)), "card", "exec"), {})
    return out.getvalue()


def code_of(card: ModelCard) -> str:
    return str(card.text).partition("```python\n")[2].partition("\n```")[0]


def test_a_run_leaves_a_card_beside_every_student_and_its_code_runs(text_run: TextRun) -> None:
    students = sorted((text_run.folder / "students").iterdir())
    cards = [ModelCard.load(folder / "README.md") for folder in students]
    assert len(cards) == 4
    assert {card.data.library_name for card in cards} == {"transformers"}
    assert "- 32 pool rows, 8 evaluation rows." in cards[0].text
    assert "Gold labels that were read beside k: 12 to fine-tune the teacher" in cards[0].text
    assert "taught it, and its weights began as parts of it" in cards[0].text
    for code in (code_of(cards[0]), CALIBRATED.replace("TEMPERATURE", "2.0")):
        said = printed_by(code, students[0])
        assert "good" in said
        assert "bad" in said
    assert "README.md" in [file.name for file in upload_of(students[0]).files]


def test_an_export_s_card_is_its_student_s_with_how_far_it_is_from_it(text_run: TextRun, tmp_path: Path) -> None:
    student = text_run.folder / "students" / "kd-plain-k4-s0"
    found = read_student_record(student)
    assert found is not None
    record = found.model_copy(update={"exported": SavedComponent(use="onnx")})
    report = ExportReport("model.onnx", 2_500_000, 120, 3e-6, 1, {"opset": "20 <b>"})
    (tmp_path / "example.py").write_text("print()")
    assert write_export_card(student, tmp_path, record, report, ["accuracy 0.50 before, 0.49 after."])
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "onnx"
    assert card.data.tags[-1] == "onnx"
    assert "transformers" not in card.text.partition("## Scores")[0]
    assert 'python example.py "a text to classify"' in card.text
    assert "- model.onnx, 2.5 MB." in card.text
    assert "119 of 120 get the same label, and logits differ by 3.0e-06 at most." in card.text
    assert "- accuracy 0.50 before, 0.49 after." in card.text
    assert "- opset: 20 &lt;b>." in card.text
    before = ModelCard.load(student / "README.md")
    assert card.text.partition("\n## Scores")[2] == before.text.partition("\n## Scores")[2]
    assert card.data.to_dict()["model-index"] == before.data.to_dict()["model-index"]


def test_the_temperature_of_an_export_is_inside(tmp_path: Path) -> None:
    text = "---\nlicense: mit\n---\n# x\n\n## Calibration\n\nIts logits are to be divided by a temperature of 2.000.\n"
    record = StudentRecord(student=SavedComponent(use="mlp"), labels=("a", "b"), temperature=2.0)
    card = exported_card(text, tmp_path, record, ExportReport("m", 1, 1, 0.0, 0))
    assert "Its logits are divided already by a temperature of 2.000." in card
    assert "## How to use it" in card


def test_a_student_without_a_card_leaves_its_export_without_one(tmp_path: Path) -> None:
    record = StudentRecord(student=SavedComponent(use="mlp"), labels=("a", "b"))
    assert not write_export_card(tmp_path, tmp_path, record, ExportReport("m", 1, 1, 0.0, 0))
    assert list(tmp_path.iterdir()) == []

"""`codrun predict` as a person calls it."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy
import pytest
from text_runs import TextRun

from cod_runner.api import BuildContext, Encoded, Input
from cod_runner.cli import call
from cod_runner.deployment import predicting
from cod_runner.deployment.answering import (
    Decision,
    Ensemble,
    batches_by_length,
    decided,
    logits_of,
    softmax,
)
from cod_runner.deployment.opened import OpenedStudent
from cod_runner.deployment.predicting import Answer, Predictor, blocks, new_columns
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress, Step
from cod_runner.registry import Registry
from cod_runner.runs.student_record import (
    HeldOut,
    SavedComponent,
    StudentRecord,
    read_student_record,
    write_student_record,
)

REGISTRY = Registry.discover()


class ByLength:
    """Says of a text how long it is, and counts what it was asked at once."""

    def __init__(self, labels: tuple[str, ...] = ("short", "long")) -> None:
        self.labels = labels
        self.asked: list[list[int]] = []

    def encode(self, inputs: list[Input]) -> list[Encoded]:
        return [Encoded(tuple(range(len(str(value))))) for value in inputs]

    def logits(self, encoded: list[Encoded]) -> numpy.ndarray:
        lengths = [len(each.ids) for each in encoded]
        self.asked.append(lengths)
        return numpy.array([[0.0, float(length)] for length in lengths], dtype=numpy.float32)


RECORD = StudentRecord(student=SavedComponent(use="x"), labels=("short", "long"))


def ensemble(*temperatures: float | None, batch: int = 2) -> Ensemble:
    records = [RECORD.model_copy(update={"temperature": each}) for each in temperatures]
    return Ensemble([OpenedStudent(Path(), record, ByLength()) for record in records], batch)


def test_texts_are_asked_by_length_and_answered_in_order() -> None:
    student = ByLength()
    logits = logits_of(student, ["aaa", "a", "aaaaa", "aa", "aaaa"], 2)
    assert logits[:, 1].tolist() == [3, 1, 5, 2, 4]
    assert student.asked == [[5, 4], [3, 2], [1]]
    assert list(batches_by_length([], 2)) == []


def test_logits_are_divided_by_the_temperature_before_probabilities_are_averaged() -> None:
    found = ensemble(2.0, None).probabilities(["aa"])
    wanted = (1 / (1 + math.exp(-1.0)) + 1 / (1 + math.exp(-2.0))) / 2
    assert found[0].tolist() == pytest.approx([1 - wanted, wanted], abs=1e-12)


def test_the_temperature_is_said() -> None:
    assert ensemble(2.0).sentence() == "probabilities: calibrated, logits divided by the temperature 2.00"
    assert "not calibrated" in ensemble(None).sentence()


def test_huge_logits_give_probabilities() -> None:
    assert softmax(numpy.array([[1e30, -1e30]], dtype=numpy.float32)).tolist() == [[1.0, 0.0]]


def test_a_threshold_decides_on_one_label_alone() -> None:
    said = numpy.array([[0.5, 0.3, 0.2], [0.35, 0.45, 0.2], [0.1, 0.2, 0.7]])
    assert decided(said, None).tolist() == [0, 1, 2]
    assert decided(said, Decision(1, 0.3)).tolist() == [1, 1, 2]
    assert decided(said, Decision(1, 0.6)).tolist() == [0, 0, 2]


def test_empty_texts_have_no_label_and_are_not_asked() -> None:
    student = ByLength()
    predictor = Predictor(Ensemble([OpenedStudent(Path(), RECORD, student)]))
    found = predictor.answers(["", "good", " \t"])
    assert [answer.student and answer.student.label for answer in found] == [None, "long", None]
    assert student.asked == [[4]]
    assert predictor.empty == 2


def test_blocks_keep_the_order() -> None:
    assert list(blocks(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_new_columns_never_replace_one_of_the_file() -> None:
    columns, said = new_columns(("a", "b"), ["text", "predicted", "predicted_2", "probability_b"], teacher=True)
    assert columns.names == [
        "predicted_3", "probability", "probability_a", "probability_b_2", "teacher", "teacher_probability"
    ]  # fmt: skip
    assert said == (
        "the file has `predicted`, `probability_b` already, so the new columns are called `predicted_3`, "
        "`probability_b_2`"
    )
    assert new_columns(("a", "b"), ["text"], teacher=False)[1] == ""


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """(standard output, standard error) of a call that ends with ``code``."""

    def said(*arguments: object, code: int = 0) -> tuple[str, str]:
        assert call(["predict", *map(str, arguments)]) == code
        return capsys.readouterr()

    return said


def test_a_student_answers_as_its_run_measured_it(text_run: TextRun, said: Callable[..., tuple[str, str]]) -> None:
    out, error = said(text_run.student(), "--json", "the film was good 1", "the film was bad 2")
    lines = [json.loads(line) for line in out.splitlines()]
    record = read_student_record(text_run.student())
    assert record is not None
    student = REGISTRY.build(
        "student", record.student.use, record.student.options,
        BuildContext(labels=record.labels, teacher=lambda: REGISTRY.build(
            "teacher", "transformers", {"model": str(text_run.folder.parent / "teacher")},
            BuildContext(labels=record.labels)))
    )  # fmt: skip
    student.load(text_run.student())
    student.eval()
    logits = student(student.collate(student.encode([line["text"] for line in lines]))).logits.detach().numpy()
    wanted = softmax(logits, record.temperature or 1.0)
    for line, row in zip(lines, wanted, strict=True):
        assert list(line["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert line["label"] == ("bad", "good")[int(row.argmax())]
    assert "probabilities: " in error


def test_it_says_that_it_loads(
    text_run: TextRun, said: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, bar = [], Progress.bar

    def watched(progress: Progress, title: str, at_once: int = 1) -> AbstractContextManager[Step]:
        shown.append(title)
        return bar(progress, title, at_once)

    monkeypatch.setattr(Progress, "bar", watched)
    said(text_run.student(), "a text")
    assert shown == ["loading the student"]


def test_seeds_are_averaged(text_run: TextRun, said: Callable[..., tuple[str, str]]) -> None:
    def probability(*flags: object) -> float:
        return float(
            json.loads(said(text_run.folder, "--k", 4, *flags, "--json", "a good film")[0])["probabilities"]["bad"]
        )

    each = [probability("--seed", seed) for seed in (0, 1)]
    assert probability("--seeds", "average") == pytest.approx(sum(each) / 2, abs=1e-12)


def test_a_file_keeps_its_columns_and_order(
    text_run: TextRun, tmp_path: Path, said: Callable[..., tuple[str, str]]
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('id;review;label\n3;"the film; good";x\n1;;y\n2;bad film\x1b[31m;z\n')
    _, error = said(text_run.student(), "--file", source, "--out", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text()), delimiter=";"))
    assert [row["id"] + row["label"] for row in rows] == ["3x", "1y", "2z"]
    assert rows[1]["predicted"] == rows[1]["probability"] == ""
    alone = json.loads(said(text_run.student(), "--json", "the film; good")[0])
    assert rows[0]["predicted"] == alone["label"]
    assert float(rows[0]["probability_good"]) == pytest.approx(alone["probabilities"]["good"], abs=1e-6)
    assert "texts: column `review`, the longest ones" in " ".join(error.split())
    assert "1 of the texts is empty" in error


def test_an_interrupted_file_is_not_written(
    text_run: TextRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[..., tuple[str, str]]
) -> None:
    answers = Predictor.answers

    def interrupted(self: Predictor, texts: list[str]) -> list[Answer]:
        if texts[0] == "bad":
            raise KeyboardInterrupt
        return answers(self, texts)

    monkeypatch.setattr(Predictor, "answers", interrupted)
    monkeypatch.setattr(predicting.blocks, "__defaults__", (2,))
    (tmp_path / "in.csv").write_text("id,text\n1,good\n2,fine\n3,bad\n")
    _, error = said(text_run.student(), "--file", tmp_path / "in.csv", "--out", tmp_path / "out.csv", code=130)
    assert "interrupted after 2 rows" in " ".join(error.split())
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_threshold_is_said_and_decides(
    text_run: TextRun, tmp_path: Path, said: Callable[..., tuple[str, str]]
) -> None:
    record = read_student_record(text_run.student())
    assert record is not None
    shutil.copytree(text_run.student(), tmp_path / "student")
    held_out = HeldOut(labels=[0, 1, 1, 1], logits=[[0.0, -9.0], [0.0, -9.0], [0.0, -8.0], [0.0, 9.0]])
    write_student_record(tmp_path / "student", record.model_copy(update={"held_out": held_out, "temperature": None}))
    flags = (tmp_path / "student", "--json", "a film", "--label", "good")
    out, error = said(*flags, "--precision", 1)
    assert "`good` is given where its probability is at least 0.000" in error
    assert "recall 0.67" in " ".join(error.split())
    assert json.loads(out)["label"] == "good"  # above exp(-8), though `bad` may be likelier
    for wrong in (("--precision", 1, "--recall", 1), ()):
        assert "--label LABEL goes with one of" in said(*flags, *wrong, code=2)[1]
    assert "did you mean `good`" in " ".join(said(*flags[:-1], "goood", "--recall", 1, code=2)[1].split())


def test_what_a_text_holds_never_reaches_the_terminal(text_run: TextRun, said: Callable[..., tuple[str, str]]) -> None:
    out, _ = said(text_run.student(), "a\x1b[2J good\nfilm", "")
    assert "\x1b" not in out
    assert "a\\x1b[2J good film" in out
    assert out.splitlines()[1].startswith("-")
    out, _ = said(text_run.student(), "--json", "a\x1b[2J good")
    assert "\x1b" not in out
    assert json.loads(out)["text"] == "a\x1b[2J good"


def test_standard_input_is_answered_line_by_line(
    text_run: TextRun, monkeypatch: pytest.MonkeyPatch, said: Callable[..., tuple[str, str]]
) -> None:
    def given(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    given("\ufeffgood\r\n\nbad ü".encode())
    out, _ = said(text_run.student(), "-", "--json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["good", "", "bad ü"]
    given(b"good\ncaf\xe9\n")
    assert "line 2 of standard input is not UTF-8 (byte 0xe9)" in said(text_run.student(), "-", code=2)[1]


def test_a_line_is_answered_before_the_next_one_comes(text_run: TextRun) -> None:
    program = "from cod_runner.cli import main; main()"
    command = [sys.executable, "-c", program, "predict", str(text_run.student()), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"a good film\n", b"a bad film\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline().endswith(text)
        process.stdout.close()  # nobody reads any more
        process.stdin.write(b"a third film\n")
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give texts"),
        (["-", "text"], "stands alone"),
        (["text", "--file", "a.csv"], "not both"),
        (["text", "--out", "a.csv"], "--out and --text go with --file"),
        (["--file", "no.csv"], "there is no such file"),
        (["--seed", "0", "text"], "choose among those of a run"),
        (["--device", "gpu", "text"], "no device is called `gpu`"),
    ],
)
def test_wrong_calls(
    text_run: TextRun, said: Callable[..., tuple[str, str]], arguments: list[str], message: str
) -> None:
    assert message in said(text_run.student(), *arguments, code=2)[1].replace("\n", " ")


def test_a_student_of_numbers_says_that_it_reads_no_texts(tmp_path: Path, said: Callable[..., tuple[str, str]]) -> None:
    mlp = SavedComponent(use="mlp", options={"hidden": [4]})
    student = REGISTRY.build("student", "mlp", mlp.options, BuildContext(labels=("a", "b")))
    student.save(tmp_path)
    write_student_record(tmp_path, StudentRecord(student=mlp, labels=("a", "b")))
    assert "mlp reads vectors of 2 numbers but met a text" in said(tmp_path, "a text", code=2)[1]


def test_students_of_other_labels_are_not_averaged() -> None:
    students = [OpenedStudent(Path(), RECORD, ByLength()), OpenedStudent(Path(), RECORD, ByLength(("a", "b")))]
    with pytest.raises(CodrunError, match="different labels"):
        Ensemble(students)


FAKE_EXPORTER = """
import numpy
from cod_runner.api import Component, Encoded, Options, hookimpl

class Answerer:
    def __init__(self, folder, context):
        self.labels = context.labels
    def encode(self, inputs):
        return [Encoded((len(text),)) for text in inputs]
    def logits(self, encoded):
        return numpy.array([[0.0, each.ids[0]] for each in encoded], dtype=numpy.float32)

@hookimpl
def codrun_components():
    yield Component("exporter", "fake", Options, "fake_exporter:Answerer", "", reopen="fake_exporter:Answerer")
"""


def test_an_exported_student_is_asked_without_torch(tmp_path: Path) -> None:
    """Nor anything else that takes long to import."""
    (tmp_path / "fake_exporter.py").write_text(FAKE_EXPORTER)
    folder = tmp_path / "exported"
    folder.mkdir()
    record = RECORD.model_copy(update={"exported": SavedComponent(use="fake"), "temperature": 3.0})
    write_student_record(folder, record)
    (tmp_path / "in.csv").write_text("id,text\n1,good film\n2,bad\n")
    script = f"""
import sys
import fake_exporter
from cod_runner.cli import call
from cod_runner.registry import Registry
discover = Registry.discover
def with_ours():
    registry = discover()
    registry.register("fake", "fake_exporter", lambda: fake_exporter)
    return registry
Registry.discover = with_ours
assert call(["predict", {str(folder)!r}, "--json", "abc"]) == 0
assert call(["predict", {str(folder)!r}, "--file", "in.csv", "--out", "out.csv"]) == 0
heavy = {{"torch", "transformers", "pandas", "sklearn", "onnx", "matplotlib", "huggingface_hub", "pyarrow"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, loaded = done.stdout.splitlines()
    # the temperature is inside the export, so the logits are not divided again
    assert json.loads(first)["probabilities"]["long"] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-9)
    assert loaded == "[]"
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == (
        "id,text,predicted,probability,probability_short,probability_long"
    )


def test_a_device_is_refused_for_an_exported_student(tmp_path: Path, said: Callable[..., tuple[str, str]]) -> None:
    write_student_record(tmp_path, RECORD.model_copy(update={"exported": SavedComponent(use="fake")}))
    assert "runs on the CPU; omit --device cuda" in said(tmp_path, "a", "--device", "cuda", code=2)[1]

"""An export is written whole or not at all, replaces nothing unasked, and is measured on the run's rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import stub_exporters
import yaml
from text_runs import TextRun

from cod_runner.api import BuildContext
from cod_runner.cli.program import call
from cod_runner.deployment.evaluation import Evaluation, evaluation_of
from cod_runner.deployment.export_destination import Destination, exporter_options
from cod_runner.deployment.exporting import Export, export_student, weights_file
from cod_runner.deployment.opened import open_student
from cod_runner.errors import CodrunError, PluginError, RecipeError
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.reading import read_run
from cod_runner.runs.student_record import (
    HeldOut,
    SavedComponent,
    StudentRecord,
    read_student_record,
    write_student_record,
)


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    assert found.register("stubs", "stub_exporters", stub_exporters.Plugin).fault is None
    return found


@pytest.fixture
def student(text_run: TextRun, tmp_path: Path) -> Iterator[Path]:
    """A copy, with a card and a temperature."""
    folder = tmp_path / "students" / "kd-plain-k4-s0"
    shutil.copytree(text_run.student(), folder)
    record = read_student_record(folder)
    assert record is not None
    write_student_record(folder, record.model_copy(update={"temperature": 1.5}))
    (folder / "README.md").write_text("# The card\n")
    stub_exporters.requests.clear()
    yield folder


def evaluation(run: TextRun, registry: Registry) -> Evaluation:
    record = read_student_record(run.student())
    assert record is not None
    return evaluation_of(read_run(run.folder, registry), record, registry, offline=True, progress=Progress(quiet=True))


def exported(
    student: Path, registry: Registry, evaluation: Evaluation | None = None, *, answer: int = 1, replaces: bool = False
) -> Export:
    destination = Destination("constant", {"answer": answer}, student.with_name("out"), replaces)
    return export_student(student, destination, registry, evaluation, Progress(quiet=True))


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (("student.json", "settings.json", "model.safetensors"), "model.safetensors"),
        (("student.json", "README.md", "trees.json"), "trees.json"),
    ],
)
def test_the_file_of_the_weights_is_not_codruns_own_however_long_that_is(
    tmp_path: Path, names: tuple[str, ...], weights: str
) -> None:
    for size, name in zip((300, 200, 100), names, strict=True):
        (tmp_path / name).write_bytes(b"." * size)
    assert weights_file(tmp_path) == tmp_path / weights


def test_card_and_record_go_along(student: Path, registry: Registry) -> None:
    found = exported(student, registry)
    folder = student.with_name("out")
    assert {path.name for path in folder.iterdir()} == {"constant.txt", "student.json", "README.md"}
    card = (folder / "README.md").read_text()
    assert "# The card" in card
    assert "- Compared on 7 inputs of many lengths and paddings: 4 of 7 get the same label" in card
    record = read_student_record(folder)
    assert record is not None and record.exported is not None
    assert (record.exported.use, record.exported.options) == ("constant", {"answer": 1})
    assert (record.cell, record.labels, record.temperature) == ("kd-plain-k4-s0", ("bad", "good"), 1.5)
    assert stub_exporters.requests[0].temperature == 1.5
    opened = open_student(folder, registry)
    assert opened.temperature == 1.0
    assert opened.answerer.logits(opened.answerer.encode(["a film"])).tolist() == [[0.0, 1.0]]
    assert (found.before.file, found.after.file, found.after.bytes) == ("model.safetensors", "constant.txt", 1)
    assert (found.rows, found.same_label, found.after.accuracy) == (0, None, None)
    assert found.before.milliseconds and found.after.milliseconds


def test_both_forms_are_measured_on_the_runs_rows(student: Path, text_run: TextRun, registry: Registry) -> None:
    rows = evaluation(text_run, registry)
    found = exported(student, registry, rows)
    assert stub_exporters.requests[0].texts == rows.inputs
    row = next(row for row in read_run(text_run.folder, registry).rows if (row.k, row.seed) == (4, 0))
    assert found.rows == 8
    assert found.before.accuracy == row.metrics["accuracy"]
    assert found.before.agreement == row.metrics["agreement"]
    gold = [example.hard_label for example in rows.examples]
    assert found.after.accuracy == sum(gold) / 8
    assert rows.teacher_logits is not None
    assert found.after.agreement == float(rows.teacher_logits.argmax(1).mean())
    assert found.same_label is not None and 0 <= found.same_label <= 1


def test_an_export_keeps_what_a_threshold_is_chosen_by(student: Path, registry: Registry) -> None:
    record = read_student_record(student)
    assert record is not None
    held_out = HeldOut(labels=[0, 1], logits=[[1.0, 0.0], [0.0, 1.0]])
    write_student_record(student, record.model_copy(update={"held_out": held_out}))
    written = read_student_record(exported(student, registry).folder)
    assert written is not None and (written.held_out, written.temperature) == (held_out, 1.5)


def test_a_student_that_cannot_be_exported_leaves_nothing(student: Path, registry: Registry) -> None:
    before = sorted(student.parent.iterdir())
    with pytest.raises(CodrunError, match="the two differ by more than rounding"):
        exported(student, registry, answer=-1)
    assert sorted(student.parent.iterdir()) == before


def test_an_export_that_cannot_be_opened_leaves_nothing(student: Path, registry: Registry) -> None:
    before = sorted(student.parent.iterdir())
    with pytest.raises(IndexError):
        exported(student, registry, answer=2)
    assert sorted(student.parent.iterdir()) == before


def test_only_an_earlier_export_is_replaced_and_when_asked(student: Path, registry: Registry) -> None:
    out = student.with_name("out")
    exported(student, registry)
    with pytest.raises(RecipeError, match="holds an earlier export: name another folder with --out, or add --force"):
        exported(student, registry, answer=0)
    with pytest.raises(CodrunError, match="differ"):  # what is there stays until the new one is whole
        exported(student, registry, answer=-1, replaces=True)
    assert (out / "constant.txt").read_text() == "1"
    exported(student, registry, answer=0, replaces=True)
    assert (out / "constant.txt").read_text() == "0"
    with pytest.raises(RecipeError, match="is an export already, by `constant`"):
        export_student(out, Destination("constant", {}, student), registry, None, Progress(quiet=True))
    shutil.rmtree(out)
    out.mkdir()
    (out / "of mine").write_text("")
    with pytest.raises(RecipeError, match="exists, and it is not an earlier export"):
        exported(student, registry, replaces=True)
    with pytest.raises(RecipeError, match="is not replaced"):
        export_student(student, Destination("constant", {}, student, True), registry, None, Progress(quiet=True))


def test_fewer_rows_are_spread_over_all(text_run: TextRun, registry: Registry) -> None:
    rows = evaluation(text_run, registry)
    some = rows.fewer(3)
    assert some.examples == tuple(rows.examples[place] for place in (0, 2, 5))
    assert rows.teacher_logits is not None and some.teacher_logits is not None
    assert numpy.array_equal(some.teacher_logits, rows.teacher_logits[[0, 2, 5]])
    assert rows.fewer(8) is rows
    assert replace(rows, teacher_logits=None).fewer(1).teacher_logits is None


def test_options_are_read_and_checked(registry: Registry) -> None:
    assert exporter_options(registry, "constant", ["answer=0"], int8=True) == {"answer": 0, "int8": True}
    for settings, said in (
        (["answer"], r"--set answer: write KEY=VALUE; the options of `constant` are answer, int8"),
        (["anwser=1"], r"--set: there is no option `anwser`; the options"),
        (["answer=[1"], r"--set answer=\[1: what follows `=` is not YAML"),
    ):
        with pytest.raises(RecipeError, match=said):
            exporter_options(registry, "constant", settings, int8=False)
    with pytest.raises(RecipeError, match="the exporter `bare` knows no int8; the options of `bare` are none"):
        exporter_options(registry, "bare", [], int8=True)
    with pytest.raises(PluginError, match=r"no exporter is named `onstant`; did you mean `constant`\?"):
        exporter_options(registry, "onstant", [], int8=False)


def test_a_student_of_vectors_without_rows_is_not_timed(registry: Registry, tmp_path: Path) -> None:
    labels = ("upper", "lower")
    mlp = SavedComponent(use="mlp", options={"hidden": [4]})
    (tmp_path / "student").mkdir()
    registry.build("student", "mlp", mlp.options, BuildContext(labels=labels)).save(tmp_path / "student")
    write_student_record(tmp_path / "student", StudentRecord(student=mlp, labels=labels))
    found = exported(tmp_path / "student", registry)
    assert (found.before.milliseconds, found.after.milliseconds) == (None, None)
    assert found.before.file == "model.safetensors"


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def with_stubs(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "discover", lambda: registry)


@pytest.mark.usefixtures("with_stubs")
def test_the_command_exports_a_runs_student(
    text_run: TextRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["export", str(text_run.folder), "--to", "constant", "--k", "4", "--seed", "1", "--quiet"]
    assert call([*arguments, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert f"written: {out}" in shown.replace("\n", "")
    assert "constant.txt" in shown
    assert "accuracy, 8 rows" in shown
    assert call([*arguments, "--out", str(out)]) == 2
    assert "holds an earlier export" in capsys.readouterr().err
    assert call([*arguments, "--out", str(out), "--force", "--json", "--rows", "4", "--set", "answer=0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["rows"], found["report"]["largest_difference"]) == (str(out), 4, 0.25)
    assert (out / "constant.txt").read_text() == "0"


@pytest.mark.usefixtures("with_stubs")
def test_an_export_lies_beside_its_student(text_run: TextRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(text_run.folder, tmp_path / "run"))
    arguments = ["export", str(run / "students" / "kd-plain-k4-s1"), "--to", "constant", "--quiet"]
    assert call(arguments) == call([*arguments, "--int8"]) == 0
    assert (run / "students" / "kd-plain-k4-s1-constant" / "constant.txt").is_file()
    assert (run / "students" / "kd-plain-k4-s1-constant-int8" / "constant.txt").is_file()


@pytest.mark.usefixtures("with_stubs")
def test_without_its_run_a_student_is_exported_and_not_measured(
    student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = student.parent.parent / "elsewhere"
    assert call(["export", str(student), "--to", "constant", "--out", str(out), "--quiet"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "accuracy and agreement are not measured: the folder of the student's run is not around it" in told
    assert (out / "constant.txt").is_file()


@pytest.mark.usefixtures("with_stubs")
def test_data_that_is_gone_is_said(text_run: TextRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(text_run.folder, tmp_path / "run"))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["dataset"]["path"] = "gone.csv"
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert call(["export", str(run), "--to", "constant", "--k", "4", "--seed", "1", "--quiet"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "note: accuracy and agreement are not measured:" in told
    assert "gone.csv" in told

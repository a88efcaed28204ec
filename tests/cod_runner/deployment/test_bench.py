"""`codrun bench`: each model in a process of its own, asked in turn; what is found, as tables and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy
import pytest
from text_runs import TextRun

from cod_runner.api import Encoded, Example, Input
from cod_runner.cli import call
from cod_runner.deployment import bench_tables, benched_run, benching
from cod_runner.deployment.benched_run import bench_run
from cod_runner.deployment.benching import ROUNDS, Bench, Entry, Result, measured
from cod_runner.deployment.contender import BATCH, WARM_UP, Contender, Loaded, _Model, peak_memory, running
from cod_runner.deployment.evaluation import Evaluation
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.reading import read_run
from cod_runner.runs.student_record import SavedComponent, read_student_record, write_student_record

REGISTRY = Registry.discover()
QUIET = Progress(quiet=True)


class Fake:
    """A contender's process that answers at once with times of its own."""

    calls: ClassVar[list[tuple[str, str, int]]] = []

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.each = {"teacher": 0.010, "student": 0.002}.get(contender.name, 0.001)

    def load(self) -> Loaded:
        if self.contender.name == "broken":
            raise CodrunError("its file is damaged")
        return Loaded(1.5, 1000 if self.contender.name == "student" else None)

    def singles(self, texts: Sequence[Input], seconds: float) -> list[float]:
        Fake.calls.append((self.contender.name, "singles", len(texts)))
        if self.contender.name == "tired" and len(Fake.calls) > 9:
            raise CodrunError("its process ended")
        return [self.each] * len(texts)

    def batches(self, texts: Sequence[Input], seconds: float) -> tuple[int, float]:
        return len(texts), len(texts) * self.each / 4

    def logits(self, texts: Sequence[Input]) -> numpy.ndarray:
        assert self.contender.name != "teacher", "its stored answers are there"
        return numpy.array([[0.0, 1.0]] * len(texts), dtype=numpy.float32)

    def memory(self) -> tuple[int, int | None]:
        return 5_000_000, None

    def end(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def fake_running(contender: Contender) -> Iterator[Fake]:
        yield Fake(contender)

    Fake.calls = []
    monkeypatch.setattr(benching, "running", fake_running)


EVALUATION = Evaluation(
    ("bad", "good"),
    tuple(Example(str(row), f"text {row}", row % 2) for row in range(10)),
    numpy.array([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 8, dtype=numpy.float32),
)


def entries(*names: str) -> list[Entry]:
    return [Entry(Contender(name), "torch", 4_000, is_teacher=name == "teacher") for name in names]


def test_contenders_are_asked_in_turn_and_compared(fake: None) -> None:
    results, notes = measured(entries("teacher", "student", "broken"), EVALUATION, 10, QUIET)
    teacher, student = results
    assert notes == ["broken is not measured: its file is damaged"]
    assert [name for name, _, _ in Fake.calls[2:]] == ["teacher", "student"] * ROUNDS
    assert (teacher.p50, student.p50, student.p95) == pytest.approx((10.0, 2.0, 2.0))
    assert (teacher.singles, student.texts_per_second) == (10, pytest.approx(2000))
    assert (student.accuracy, student.agreement) == (0.5, 0.8)
    assert (teacher.accuracy, teacher.agreement) == (0.5, 1.0)
    assert (student.parameters, student.load_seconds, student.memory, student.bytes) == (1000, 1.5, 5_000_000, 4_000)


def test_percentiles_are_of_all_answers_of_all_rounds(fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(number / 1000 for number in range(1, 101))
    monkeypatch.setattr(Fake, "singles", lambda self, texts, most: [next(seconds) for _ in texts] if most else [])
    rows = tuple(Example(str(row), f"text {row}", row % 2) for row in range(100))
    ((student,), _) = measured(entries("student"), Evaluation(("bad", "good"), rows, None), 100, QUIET)
    assert (student.singles, student.p50, student.p95) == (100, pytest.approx(50.5), pytest.approx(95.05))
    assert student.agreement is None


def test_one_that_fails_on_the_way_leaves_the_others_running(fake: None) -> None:
    results, notes = measured(entries("student"), EVALUATION, 3, QUIET)
    assert (results[0].singles, notes) == (3, [])
    results, notes = measured(entries("tired", "student"), EVALUATION, 10, QUIET)
    assert [each.name for each in results] == ["student"]
    assert notes == ["tired is not measured: its process ended"]


TEACHER = Result("teacher", "torch", "cpu", 22_700_000, 91_600_000, 4.4, 60, 40, 100, 32, 600_000_000, None, 0.7, 1)
BENCH = Bench(
    (
        TEACHER,
        Result("student x", "x", "cpu", None, 17_000_000, 0.2, 20, 4.0, 9.0, 1520.4, 90_000_000, None, 0.625, None),
    ),
    "kd-cod-k8-s0", rows=1706, texts=60, threads=1, teacher=TEACHER, notes=("something was not measured",),
)  # fmt: skip


def test_without_a_teacher_nothing_is_said_to_be_faster() -> None:
    alone = replace(BENCH, results=BENCH.results[1:], teacher=None)
    assert alone.faster(alone.results[0]) is None
    assert bench_tables.speed_grid(alone)[1][0][3] == "–"
    assert bench_tables.as_json(alone)["results"][0]["times_as_fast"] is None


def test_tables() -> None:
    assert bench_tables.speed_grid(BENCH)[1] == [
        ["teacher", "40.00", "100.00", "1.0", "32", "4.4"],
        ["student x", "4.00", "9.00", "10.0", "1,520", "0.2"],
    ]
    assert bench_tables.weight_grid(BENCH)[1] == [
        ["teacher", "22.7M", "91.6 MB", "600.0 MB", "0.700", "1.000"],
        ["student x", "–", "17.0 MB", "90.0 MB", "0.625", "–"],
    ]
    said = bench_tables.sentences(BENCH)
    assert "60 texts of the evaluation split in one thread" in said[0]
    assert said[1:] == ["student x was slow: its times are of 20 answers", "something was not measured"]


def test_files(tmp_path: Path) -> None:
    bench_tables.write_bench(BENCH, tmp_path, "films")
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [each["times_as_fast"] for each in found["results"]] == [1.0, 10.0]
    assert found["versions"]["torch"]
    text = (tmp_path / "bench.md").read_text()
    assert text.startswith("# films: teacher and student on this machine\n")
    assert "| student x | 4.00 | 9.00 | 10.0 | 1,520 | 0.2 |" in text


def benched(text_run: TextRun, exported: Sequence[Path] = (), **more: Any) -> Bench:
    return bench_run(
        read_run(text_run.folder, REGISTRY), text_run.student(), exported, REGISTRY,
        texts=4, threads=1, progress=QUIET, **more,
    )  # fmt: skip


@pytest.fixture
def no_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benched_run, "_forms", lambda registry: iter(()))


def test_a_paid_teacher_is_not_asked(
    text_run: TextRun, fake: None, no_exporter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benched_run, "is_paid", lambda *_: True)
    found = benched(text_run)
    teacher, student = found.results
    assert (teacher.name, teacher.p50, teacher.agreement) == ("teacher, stored answers", None, 1.0)
    assert student.name == "student"
    assert found.faster(student) is None
    assert any("the teacher is paid, so it was not asked" in note for note in found.notes)


def test_an_export_that_fails_is_said_and_the_rest_measured(
    text_run: TextRun, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise CodrunError("its package is not installed")

    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(benched_run, "_forms", lambda registry: iter([("x", {}), ("x", {"int8": True})]))
    monkeypatch.setattr(benched_run, "export_student", fails)
    found = benched(text_run)
    assert [each.name for each in found.results] == ["teacher", "student"]
    assert found.notes == tuple(f"{name} is not measured: its package is not installed" for name in ("x", "x int8"))


def test_an_export_has_the_parameters_of_the_student_it_was_made_from(
    text_run: TextRun, fake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benched_run, "_forms", lambda registry: iter([("x", {})]))
    monkeypatch.setattr(benched_run, "export_student", lambda *_: None)
    record = read_student_record(text_run.student())
    assert record is not None
    given = tmp_path / "student-of-another-day"
    given.mkdir()
    write_student_record(given, record.model_copy(update={"exported": SavedComponent(use="x")}))
    found = benched(text_run, [given])
    assert [(each.name, each.parameters) for each in found.results] == [
        ("teacher", None), ("student", 1000), ("student x", 1000), ("student-of-another-day", None),
    ]  # fmt: skip


def test_a_teacher_that_is_gone_is_no_measure_of_the_student(
    text_run: TextRun, fake: None, no_exporter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise CodrunError("the store has it no more")

    monkeypatch.setattr(benched_run, "find_teacher", gone)
    found = benched(text_run)
    assert [each.name for each in found.results] == ["student"]
    assert found.faster(found.results[0]) is None
    assert "the teacher is not measured: the store has it no more" in found.notes


def test_the_teacher_on_the_cpu_is_what_others_are_compared_with(
    text_run: TextRun, fake: None, no_exporter: None
) -> None:
    found = benched(text_run)
    teacher, student = found.results
    assert found.faster(teacher) == 1.0
    assert found.faster(student) == pytest.approx(5.0)


def test_a_busy_machine_is_said(
    text_run: TextRun, fake: None, no_exporter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (64.0, 0.0, 0.0))
    monkeypatch.setattr(benched_run, "cores", lambda: 2)
    assert "a load of 64.0 on 2 cores" in benched(text_run).notes[0]


def test_an_export_of_another_run_is_refused(text_run: TextRun, tmp_path: Path, no_exporter: None) -> None:
    with pytest.raises(RecipeError, match="is not an exported student"):
        benched(text_run, [text_run.student()])
    record = read_student_record(text_run.student())
    assert record is not None
    other = record.model_copy(update={"exported": SavedComponent(use="x"), "labels": ("a", "b")})
    write_student_record(tmp_path, other)
    with pytest.raises(RecipeError, match="answers with the labels a, b, and this run is about bad, good"):
        benched(text_run, [tmp_path])


def test_wrong_calls(text_run: TextRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", str(tmp_path)]) == 2
    assert call(["bench", str(text_run.folder), "--k", "5"]) == 2
    assert call(["bench", str(text_run.folder), "--threads", "0"]) == 2
    capsys.readouterr()


@dataclass
class Recorder:
    """A model that notes how long the texts of each batch are."""

    labels: tuple[str, ...] = ("bad", "good")
    longest: list[int] = field(default_factory=list)

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        return [Encoded(tuple(range(len(str(each)))), {}) for each in inputs]

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        self.longest.append(max(len(each.ids) for each in encoded))
        return numpy.zeros((len(encoded), 2), dtype=numpy.float32)


def test_a_slow_model_is_not_timed_on_the_longest_texts_alone() -> None:
    texts = ["x" * (1 + number) for number in range(4 * BATCH)]
    model, recorder = _Model(Contender("student")), Recorder()
    model._answerer = recorder
    assert model.batches(texts, 60.0)[0] == len(texts)
    assert sorted(recorder.longest) == [BATCH, 2 * BATCH, 3 * BATCH, 4 * BATCH]
    assert recorder.longest not in (sorted(recorder.longest), sorted(recorder.longest, reverse=True))
    assert model.batches(texts, 0.0)[0] == BATCH


def test_the_first_answers_are_not_timed() -> None:
    texts = ["a", "bb", "ccc"]
    model, recorder = _Model(Contender("student")), Recorder()
    model._answerer = recorder
    assert len(model.singles(texts, 60.0)) == 3
    assert recorder.longest == [1, 2, 3] * (WARM_UP // 3) + [1, 2, 3]
    assert len(model.singles(texts, 0.0)) == 1, "but not before the first"


def test_peak_memory_is_that_of_this_process() -> None:
    assert 10_000_000 < peak_memory() < 100_000_000_000


@pytest.mark.slow
def test_teacher_and_student_in_processes_of_their_own(
    text_run: TextRun, tmp_path: Path, no_exporter: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(text_run.folder, run)
    assert call(["bench", str(run), "--texts", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    teacher, student = found["results"]
    assert (teacher["name"], student["name"]) == ("teacher", "student")
    row = next(row for row in read_run(run, REGISTRY).rows if found["student"].endswith(f"k{row.k}-s{row.seed}"))
    assert student["accuracy"] == pytest.approx(row.metrics["accuracy"], abs=0.13)  # a row of eight, by bf16
    assert student["parameters"] < teacher["parameters"]
    assert teacher["singles"] == student["singles"] == 4
    assert (run / "bench.md").is_file()


@pytest.mark.slow
def test_a_process_that_cannot_load_says_why(tmp_path: Path) -> None:
    with (
        running(Contender("student", tmp_path)) as process,
        pytest.raises(CodrunError, match="is not a student's folder"),
    ):
        process.load()

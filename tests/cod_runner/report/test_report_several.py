"""Several runs on one page: ``codrun report RUN RUN``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cod_runner.cli.program import call
from cod_runner.errors import CodrunError, SettingError
from cod_runner.registry import Registry
from cod_runner.report.page.several_runs import several_page, write_several
from cod_runner.report.several import several
from cod_runner.runs.reading import read_run
from cod_runner.runs.records import CellRow


@pytest.fixture
def two(make_run: Callable[..., Path], rows: list[CellRow]) -> list[Path]:
    """The same numbers twice, the second with more steps and one method less."""
    fewer = [row for row in rows if row.method == "kd"]
    return [make_run("first", rows), make_run("second", fewer, train={"steps": 200}, methods={"kd": ["hard"]})]


def words(table: Any) -> list[list[str]]:
    return [[cell.text for cell in row.all("th", "td")] for row in table.all("tr")]


def test_what_runs_share_and_how_they_differ(two: list[Path], no_plugins: Registry) -> None:
    together = several([read_run(folder, no_plugins) for folder in two])
    assert [run.name for run in together.runs] == ["first", "second"]
    assert [name for name, *_ in together.differing] == ["method hard", "method kd", "training"]
    assert list(together.differing[:2]) == [
        ("method hard", "hard", "–"),
        ("method kd", "hard + 20 x kd (temperature 2)", "hard"),
    ]
    assert "data set" in [setting.name for setting in together.shared]
    assert not [note for note in together.notes if "not measured in the same way" in note]


def test_runs_that_are_measured_differently_are_said_to_be(
    make_run: Callable[..., Path], rows: list[CellRow], no_plugins: Registry
) -> None:
    folders = [make_run("one", rows), make_run("two", rows, dataset={"use": "csv", "path": "other.csv"})]
    together = several([read_run(folder, no_plugins) for folder in folders])
    assert together.notes[0] == (
        "The runs were not measured in the same way (different data set), so their differences are not due to the "
        "students alone."
    )


def test_the_page_has_each_run_s_table_and_all_gains(
    two: list[Path], no_plugins: Registry, parsed: Callable[[str], Any]
) -> None:
    tree = parsed(several_page(several([read_run(folder, no_plugins) for folder in two])))
    tables = {table.all("caption")[0].text: words(table) for table in tree.all("table")}
    assert tables["Accuracy, first, by method and k"][2] == ["kd", "0.620 ± 0.020", "0.720 ± 0.020"]
    assert len(tables["Accuracy, second, by method and k"]) == 4
    assert [row[:4] for row in tables["What +CoD changes, by run: accuracy"]] == [
        ["run", "method", "k", "mean gain"],
        ["first", "kd", "8", "+0.040"],
        ["first", "kd", "16", "−0.020"],
        ["first", "hard", "8", "0.000"],
        ["second", "kd", "8", "+0.040"],
        ["second", "kd", "16", "−0.020"],
    ]
    glance = tables["The runs at a glance"]
    assert glance[1] == ["first", "21", "0.815", "+0.010 ± 0.000 accuracy", "3 of 3", "–", "5 min 00 s", "$0"]
    assert [heading.text for heading in tree.all("h2")] == [
        "At a glance", "Accuracy", "Agreement with the teacher", "What differs", "What they share", "The runs"
    ]  # fmt: skip


def test_runs_of_one_name_are_told_apart_by_their_folders(
    make_run: Callable[..., Path], rows: list[CellRow], no_plugins: Registry, tmp_path: Path
) -> None:
    for above in ("monday", "tuesday"):
        (tmp_path / above).mkdir()
        make_run(f"{above}/small", rows)
    runs = [read_run(tmp_path / above / "small", no_plugins) for above in ("monday", "tuesday")]
    assert [run.name for run in several(runs).runs] == ["monday/small", "tuesday/small"]


def test_calls_that_make_no_sense_are_refused(two: list[Path], no_plugins: Registry, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="is named twice"):
        write_several([two[0], two[0] / "."], tmp_path / "out", no_plugins)
    with pytest.raises(SettingError, match="is the folder of a run"):
        write_several(two, two[1], no_plugins)
    with pytest.raises(CodrunError, match="is not a run's folder"):
        write_several([two[0], tmp_path / "nothing"], tmp_path / "out", no_plugins)
    assert not (tmp_path / "out").exists()


def test_the_command(
    two: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for folder in two for path in folder.iterdir()}
    assert call(["report", "first", "second"]) == 0
    assert capsys.readouterr().out == "report: report/report.html\n"
    assert "2 runs: first, second" in (tmp_path / "report" / "report.html").read_text()
    assert call(["report", "first", "second", "--out", "both"]) == 0
    assert (tmp_path / "both" / "report.html").exists()
    assert {path: path.read_bytes() for folder in two for path in folder.iterdir()} == before
    assert call(["report", "first", "--out", "both"]) == 2
    assert call(["report", "first", "first"]) == 2

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cod_runner.errors import DataError
from cod_runner.registry import Registry
from cod_runner.report.compare import compare_runs, show_comparison
from cod_runner.report.published import compare_published, read_published, show_published
from cod_runner.runs.reading import RunFiles, read_run
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord

PUBLISHED = Path(__file__).parents[3] / "recipes" / "paper" / "published.csv"
MakeRun = Callable[..., Path]
MakeRow = Callable[..., CellRow]


def read(folder: Path) -> RunFiles:
    """A run's folder, on a machine without plugins."""
    return read_run(folder, Registry())


def shown(show: Callable[..., None], comparison: object) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    show(console, comparison)
    return console.export_text()


def lines(text: str) -> list[list[str]]:
    """The words in the cells of every table that was printed."""
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in text.splitlines() if "│" in line]


def test_two_runs_are_paired_cell_by_cell(make_run: MakeRun, make_row: MakeRow) -> None:
    first = [make_row("kd", "plain", k, seed, 0.6) for k in (8, 16) for seed in (0, 1)]
    second = [make_row("kd", "plain", 8, 0, 0.62, key="x"), make_row("kd", "plain", 8, 1, 0.66, key="y"),
              make_row("kd", "plain", 16, 0, 0.58, key="z"), make_row("lwd", "plain", 16, 1, 0.9)]  # fmt: skip
    comparison = compare_runs(read(make_run("one", first)), read(make_run("two", second)))
    accuracy, agreement = comparison.metrics
    assert (accuracy.metric.name, agreement.metric.name) == ("accuracy", "agreement")
    at_8, at_16 = accuracy.differences
    assert (at_8.first, at_8.second) == (0.6, pytest.approx(0.64))
    assert at_8.pairs.summary.mean == pytest.approx(0.04)  # .02 and .06
    assert at_8.pairs.summary.sd == pytest.approx(0.02 * 2**0.5)
    assert (at_8.pairs.wins, at_8.pairs.p) == (2, 0.5)
    assert at_16.pairs.summary.mean == pytest.approx(-0.02)
    # seed 0 averages .02 and -.02 to 0, seed 1 has .06 alone
    assert accuracy.overall.summary.mean == pytest.approx(0.03)
    assert accuracy.overall.summary.n == 2
    assert "1 cell only in one, not compared." in comparison.notes
    assert "1 cell only in two, not compared." in comparison.notes
    text = shown(show_comparison, comparison)
    assert "Accuracy" in text
    assert "Overall: +0.030 accuracy, better in 1 of 2 seeds" in text
    assert ["kd", "plain", "8", "0.600", "0.640", "+0.040 ± 0.028", "2 of 2", "0.417", "unclear"] in lines(text)
    assert ["kd", "plain", "16", "0.600", "0.580", "−0.020", "0 of 1", "0.861", "unchanged"] in lines(text)


def test_nothing_in_common_is_reported(make_run: MakeRun, make_row: MakeRow) -> None:
    one = read(make_run("one", [make_row("kd", "plain", 8, 0, 0.6)]))
    two = read(make_run("two", [make_row("lwd", "plain", 16, 3, 0.6)]))
    comparison = compare_runs(one, two)
    assert comparison.metrics == ()
    assert comparison.notes == (
        "Nothing is comparable: no method, arm, k and seed is in both runs (one has kd at k 8, seeds 0; two has lwd at "
        "k 16, seeds 3).",
    )
    assert "Nothing is comparable" in shown(show_comparison, comparison)
    empty = compare_runs(one, read(make_run("three", [])))
    assert "three has no finished cell" in empty.notes[0]


def test_other_data_is_a_warning_and_other_settings_are_listed(make_run: MakeRun, rows: list[CellRow]) -> None:
    one = read(make_run("one", rows))
    two = read(make_run("two", rows, dataset="sst2", train={"steps": 200}))
    comparison = compare_runs(one, two)
    assert [name for name, _, _ in comparison.settings] == ["data set", "training"]
    assert any("not measured in the same way (different data set)" in note for note in comparison.notes)
    (training,) = [line for line in lines(shown(show_comparison, comparison)) if line[0] == "training"]
    assert [words.split(",")[0] for words in training] == ["training", "100 steps", "200 steps"]


def test_one_key_with_two_results_is_reported(make_run: MakeRun, make_row: MakeRow, rows: list[CellRow]) -> None:
    one = read(make_run("one", rows))
    again = compare_runs(one, read(make_run("two", rows)))
    assert again.notes == (f"{len(rows)} cells have the same key and the same numbers in both runs.",)
    assert again.metrics[0].overall.p == 1.0
    other = [make_row("kd", "plain", 8, 0, 0.61), *rows[1:]]
    unlike = compare_runs(one, read(make_run("three", other)))
    said = f"1 of {len(rows)} cells with the same key in both runs have different numbers"
    assert any(note.startswith(said) for note in unlike.notes)


def test_runs_are_compared_by_the_metrics_that_both_measured_in_the_better_direction(
    make_run: MakeRun, make_row: MakeRow, record: RunRecord
) -> None:
    record.metrics = [MetricRecord(name="brier", title="Brier score", higher_is_better=False)]
    only_brier = {"metrics": ["brier"]}
    first = [make_row("kd", "cod", 8, seed, 0.6, brier=0.30) for seed in (0, 1)]
    second = [make_row("kd", "cod", 8, seed, 0.6, brier=0.10) for seed in (0, 1)]
    one, two = (read(make_run(name, rows, evaluate=only_brier)) for name, rows in (("one", first), ("two", second)))
    comparison = compare_runs(one, two)
    text = shown(show_comparison, comparison)
    assert "Brier score (lower is better)" in text
    assert ["kd", "cod", "8", "0.300", "0.100", "−0.200 ± 0.000", "2 of 2", "<0.001", "gain"] in lines(text)
    assert "better in 2 of 2 seeds" in text
    record.metrics = [MetricRecord.unknown("brier")]
    other = read(make_run("three", second, evaluate=only_brier))
    assert any("disagree on whether a higher brier is better" in note for note in compare_runs(one, other).notes)
    record.metrics = [MetricRecord.unknown("f1")]
    nothing_shared = compare_runs(one, read(make_run("four", second, evaluate={"metrics": ["f1"]})))
    assert nothing_shared.notes[0] == "Nothing is comparable: no metric was measured in both runs."


def test_two_folders_of_one_name_are_told_apart(make_run: MakeRun, rows: list[CellRow], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    comparison = compare_runs(read(make_run("a/run", rows)), read(make_run("run", rows)))
    assert comparison.first != comparison.second


def test_the_published_table_is_the_poster_s() -> None:
    numbers = {(each.dataset, *each.place): each for each in read_published(PUBLISHED)}
    assert len(numbers) == 6 * 2 * 2 * 6
    spot = {
        ("amazon", "kd", "plain", 8): (0.671, 0.046),
        ("amazon", "lwd", "cod", 128): (0.816, 0.020),
        ("cola", "kd", "cod", 512): (0.791, 0.004),
        ("imdb", "lwd", "plain", 16): (0.836, 0.045),
        ("sst2", "kd", "cod", 16): (0.781, 0.034),
        ("sst2", "kd", "cod", 512): (0.892, 0.018),
        ("yelp", "kd", "plain", 64): (0.878, 0.006),
        ("sent140", "lwd", "cod", 512): (0.760, 0.023),
    }
    assert {place: (numbers[place].mean, numbers[place].sd) for place in spot} == spot
    with PUBLISHED.open() as file:
        assert {(row["teacher"], row["student"]) for row in csv.DictReader(file)} == {
            ("microsoft/deberta-v3-base", "microsoft/deberta-v3-small")
        }


def test_our_numbers_next_to_the_published_ones(make_run: MakeRun, rows: list[CellRow]) -> None:
    run = read(make_run("ours", rows, dataset={"use": "hub", "path": "nyu-mll/glue", "config": "sst2"}))
    comparison = compare_published(run, PUBLISHED)
    assert {line.published.place for line in comparison.lines} == {
        ("kd", arm, k) for arm in ("plain", "cod") for k in (8, 16)
    }
    gains = {gain.k: gain for gain in comparison.gains}
    assert gains[8].ours.mean == pytest.approx(0.04)
    assert gains[8].published == pytest.approx(0.719 - 0.617)
    text = shown(show_published, comparison)
    assert ["kd", "plain", "8", "0.620 ± 0.020", "3", "0.617 ± 0.042", "+0.003"] in lines(text)
    assert ["kd", "cod", "8", "0.660 ± 0.030", "3", "0.719 ± 0.063", "−0.059"] in lines(text)
    assert ["kd", "8", "+0.040 ± 0.010", "+0.102"] in lines(text)
    assert "Other models: this run distils transformers (model big) to transformers (model small)" in text
    assert "this run does not" in text
    assert "taken for `sst2` by its name alone" in text


def test_an_optimistic_run_and_a_preset_are_compared_as_what_they_are(make_run: MakeRun, rows: list[CellRow]) -> None:
    run = read(make_run("ours", rows, dataset="sst2", evaluate={"select": "best_reported"}))
    text = shown(show_published, compare_published(run, PUBLISHED))
    assert "Ours are optimistic" in text
    assert "by its name alone" not in text


def test_numbers_of_the_run_s_own_models_are_chosen(make_run: MakeRun, rows: list[CellRow], tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        "dataset,teacher,student,method,arm,k,mean,sd,source\n"
        "sst2,big,small,kd,plain,8,0.7,,a paper\nsst2,huge,small,kd,plain,8,0.9,0.1,a paper\n"
    )
    comparison = compare_published(read(make_run("ours", rows, dataset="sst2")), path)
    (line,) = comparison.lines
    assert (line.published.mean, line.published.sd) == (0.7, None)
    assert not any("Other models" in note for note in comparison.notes)


def test_a_data_set_without_published_numbers_is_reported(make_run: MakeRun, rows: list[CellRow]) -> None:
    run = read(make_run("ours", rows))
    comparison = compare_published(run, PUBLISHED)
    assert comparison.lines == ()
    assert comparison.notes == (
        "Nothing is comparable: numbers are published for amazon, cola, imdb, sst2, yelp, sent140, not for csv.",
    )


def test_no_cell_in_common_with_the_published_ones_is_reported(make_run: MakeRun, make_row: MakeRow) -> None:
    run = read(make_run("ours", [make_row("ted", "cod", 8, 0, 0.6)], dataset="sst2"))
    (note,) = compare_published(run, PUBLISHED).notes
    assert "the run has no such cell" in note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column `dataset`"),
        ("dataset,teacher,student,method,arm,k,mean,sd,source\ns,t,u,kd,plain,8,much,0.1,x\n", "published.csv:2"),
        ("dataset,teacher,student,method,arm,k,mean,sd,source\ns,t,u,kd,both,8,0.5,0.1,x\n", "plain or cod"),
        ("dataset,teacher,student,method,arm,k,mean,sd,source\ns,t,u,kd,plain,8,nan,,x\n", "finite"),
        ("dataset,teacher,student,method,arm,k,mean,sd,source\ns,t\n", "published.csv:2"),
    ],
)
def test_a_faulty_csv_is_reported_with_file_and_row(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_published(path)


def test_a_missing_csv_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_published(tmp_path / "none.csv")

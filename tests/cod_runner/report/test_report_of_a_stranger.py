"""A run with a third-party metric (lower is better) and a third-party loss without a teacher is reported as its plugin
declared them, on a machine where the plugin is not installed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cod_runner.api import Component, Options
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report.compare import compare_runs, show_comparison
from cod_runner.report.terminal import show_report
from cod_runner.report.write import write_reports_again
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.reading import read_run
from cod_runner.runs.records import CellRow


class CentroidOptions(Options):
    """Pulls texts of one gold label together."""

    def uses_teacher(self) -> bool:
        return False


class AttentionOptions(Options):
    pass


STRANGE: dict[str, Any] = {
    "evaluate": {"metrics": ["brier"]},
    "methods": {"centroid": ["centroid"], "attention": ["centroid", {"use": "attention", "weight": 2}]},
    "k": [8],
}
# method, arm -> brier of seeds 0, 1, 2
BRIER = {
    ("attention", "plain"): (0.30, 0.31, 0.29),
    ("attention", "cod"): (0.10, 0.12, 0.11),
    ("centroid", "plain"): (0.40, 0.40, 0.40),
    ("centroid", "cod"): (0.45, 0.45, 0.45),
}


@pytest.fixture
def strangers(registry_of: Callable[..., Registry]) -> Registry:
    return registry_of(
        Component("metric", "brier", Options, "m:Brier", "", title="Brier score [nats]", higher_is_better=False),
        Component("loss", "centroid", CentroidOptions, "m:Centroid", ""),
        Component("loss", "attention", AttentionOptions, "m:Attention", ""),
    )


@pytest.fixture
def strange_run(tmp_path: Path, recipe_with: Callable[..., Recipe], strangers: Registry) -> Callable[..., Path]:
    """Write what the pipeline writes: ``strange_run(name, shift of every number)``."""

    def run(name: str, shift: float = 0.0) -> Path:
        recipe = recipe_with(**STRANGE)
        loaded = LoadedRecipe(recipe, recipe, tmp_path / "r.yaml", None, tmp_path, [], tree={})  # type: ignore[arg-type]
        with RunFolder(tmp_path / name).opened() as folder:
            cells = [
                CellRow(
                    f"{method}{arm}{seed}", method, arm, 8, seed, metrics={"brier": value + shift}, steps=100,  # type: ignore[arg-type]
                    training_rows=8, teacher_disagrees_with_gold=3,
                )
                for (method, arm), values in BRIER.items()
                for seed, value in enumerate(values)
            ]  # fmt: skip
            record = folder.begin(loaded, strangers, [row.key for row in cells])
            for row in cells:
                folder.append_row(row)
            folder.write_record(record)
        return folder.path

    return run


def printed(show: Callable[..., None], what: object) -> str:
    """What the terminal shows, colours included."""
    console = Console(record=True, width=200, file=io.StringIO(), force_terminal=True, color_system="standard")
    show(console, what)
    return console.export_text(styles=True)


GREEN, RED = "\x1b[32m", "\x1b[31m"


def test_every_report_says_better_where_lower_is_better(strange_run: Callable[..., Path], no_plugins: Registry) -> None:
    folder = strange_run("strange")
    report = write_reports_again(folder, no_plugins)
    text = (folder / "table.md").read_text()
    assert "## Brier score [nats] (lower is better)" in text
    assert "| attention | 0.300 ± 0.010 |\n| +CoD | **0.110** ± 0.010 |" in text
    assert "| centroid (no teacher, floor) | **0.400** ± 0.000 |\n| +CoD | 0.450 ± 0.000 |" in text
    assert "| attention | 8 | −0.190 | 0.010 | 3 of 3 | 0.25 |" in text
    assert "| centroid | 8 | +0.050 | 0.000 | 0 of 3 | 0.25 |" in text
    # the floor distils nothing, so the sentence omits it
    assert "By mean brier +CoD is better in 1, equal in 0 and worse in 0 of 1 settings" in text

    html = (folder / "report.html").read_text()
    assert "<h2>Brier score [nats] (lower is better)</h2>" in html
    assert '<b>0.110</b><span class="soft"> ± 0.010</span>' in html
    assert '<td class="number better">−0.190</td>' in html
    assert '<td class="number worse">+0.050</td>' in html
    assert "Brier score [nats] (lower is better) over k" in html
    assert (folder / "figures" / "brier.png").exists()

    terminal = printed(show_report, report)
    assert "Brier score [nats] (lower is better)" in terminal
    assert f"{GREEN}−0.190" in terminal
    assert f"{RED}+0.050" in terminal
    assert re.search(r"\x1b\[1;32m0\.110", terminal)


def test_two_runs_are_compared_in_the_metric_s_direction(
    strange_run: Callable[..., Path], no_plugins: Registry
) -> None:
    first, second = (read_run(strange_run(name, shift), no_plugins) for name, shift in (("one", 0), ("two", -0.05)))
    comparison = compare_runs(first, second)
    (brier,) = comparison.metrics
    assert brier.overall.summary.mean == pytest.approx(-0.05)
    assert (brier.overall.wins, brier.overall.losses) == (3, 0)
    text = printed(show_comparison, comparison)
    assert f"{GREEN}−0.050" in text
    assert RED not in text
    assert "better in 3 of 3 seeds" in text


def test_a_number_of_the_row_is_not_a_metric(strange_run: Callable[..., Path], no_plugins: Registry) -> None:
    folder = strange_run("strange")
    run = read_run(folder, no_plugins)
    assert {tuple(row.metrics) for row in run.rows} == {("brier",)}
    assert {row.teacher_disagrees_with_gold for row in run.rows} == {3}
    write_reports_again(folder, no_plugins)
    lines = list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))
    assert {line["metric"] for line in lines} == {"brier"}


def test_an_older_run_is_reported_the_same_where_its_plugin_is_installed(
    strange_run: Callable[..., Path], strangers: Registry
) -> None:
    folder = strange_run("strange")
    write_reports_again(folder, strangers)
    table = (folder / "table.md").read_text()
    record = json.loads((folder / "run.json").read_text())
    del record["metrics"], record["without_teacher"]
    (folder / "run.json").write_text(json.dumps(record))
    write_reports_again(folder, strangers)
    assert (folder / "table.md").read_text() == table

"""`codrun RECIPE`: what programs read, and how expectations that did not run are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cod_runner.cli import call

RECIPE = """
recipe: 1
name: tiny
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 10, lr: 0.01}
expect:
  - {metric: agreement, method: kd, arm: cod, k: 8, at_most: 1.0}
  - {metric: agreement, method: kd, arm: plain, k: 8, at_most: 1.0}
  - {cfes: yield, at_least: 0.1}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """(exit code, what was printed, what was said) of the recipe with flags."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(RECIPE)

    def run(*flags: str) -> tuple[int, str, str]:
        code = call(["tiny.yaml", "--out", "run", "--jobs", "1", *flags])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def refuse(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


def test_json_holds_the_cells_the_gains_and_the_verdicts(run: Any) -> None:
    code, printed, _ = run("--json")
    shown = json.loads(printed, parse_constant=refuse)
    written = json.loads(Path("run/run.json").read_text(), parse_constant=refuse)
    assert code == shown["exit_code"] == 0
    assert shown["folder"] == "run"
    assert {key: shown[key] for key in written} == written
    assert shown["left_out"] == shown["failed"] == []
    lines = [json.loads(line) for line in Path("run/cells.jsonl").read_text().splitlines()]
    assert sorted(shown["cells"], key=lambda cell: cell["key"]) == sorted(lines, key=lambda line: line["key"])
    measured = {(line["arm"], line["seed"]): line["agreement"] for line in lines}
    differences = [measured["cod", seed] - measured["plain", seed] for seed in (0, 1)]
    (gain,) = [gain for gain in shown["gains"] if gain["metric"] == "agreement"]
    wins = sum(difference > 0 for difference in differences)
    assert gain["differences"] == pytest.approx(differences)
    assert gain["mean"] == pytest.approx(sum(differences) / 2)
    assert gain["deviation"] == pytest.approx(abs(differences[0] - differences[1]) / 2**0.5)
    assert (gain["method"], gain["arm"], gain["over"], gain["k"]) == ("kd", "cod", "plain", 8)
    assert (gain["seeds"], gain["wins"], gain["smallest_possible_p"]) == ([0, 1], wins, 0.5)
    assert [verdict["verdict"] for verdict in shown["verdicts"]] == ["pass", "pass", "pass"]
    assert shown["verdicts"][0]["measured"] == pytest.approx((measured["cod", 0] + measured["cod", 1]) / 2)
    assert shown["verdicts"][0]["seeds"] == [0, 1]


NOT_RUN = (
    "2 of 3 expectations did not run, since a profile or a flag leaves out their cells; with --strict that is a miss."
)


def test_what_a_flag_leaves_out_is_told_and_a_miss_if_strict(run: Any) -> None:
    code, printed, _ = run("--arms", "plain")
    assert code == 0
    assert NOT_RUN in printed
    code, printed, said = run("--arms", "plain", "--strict")
    assert code == 3
    assert NOT_RUN in printed
    assert said.splitlines()[-1] == (
        "missed: agreement, kd, cod, k = 8: at most 1 expected, not run; yield of the counterfactuals: at least 0.1 "
        "expected, not run"
    )
    assert run("--strict")[0] == 0
    table = Path("run/table.md").read_text()
    assert "| agreement, kd, cod, k = 8 | at most 1 | 0." in table
    assert "not run" not in table


def test_a_report_shows_the_verdicts_of_the_run_and_judges_nothing(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    record = json.loads(Path("run/run.json").read_text())
    record["verdicts"][0] |= {"verdict": "miss", "found": "0.1234 over 2 seeds"}
    Path("run/run.json").write_text(json.dumps(record))
    assert call(["report", "run"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "0.1234" in line]
    assert "miss" in line
    assert "| agreement, kd, cod, k = 8 | at most 1 | 0.1234 over 2 seeds | miss |" in Path("run/table.md").read_text()


def test_a_note_that_was_said_is_not_shown_with_the_report(run: Any) -> None:
    said = "is more than the pool has"
    code, printed, told = run("--quiet", "--arms", "plain", "--seeds", "0", "--set", "teacher.finetune.rows=99999")
    assert code == 0
    assert told.startswith("note: ") and told.count(said) == 1
    assert said not in printed and said in Path("run/table.md").read_text()

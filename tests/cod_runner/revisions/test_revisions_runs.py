"""Two revisions of a recipe, each run with its own code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_repository import RECIPE as RECIPE_TEXT
from sample_repository import write_plugin

from cod_runner.cli import call as codrun
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.progress import Progress
from cod_runner.revisions import Flags, run_revisions, runs
from cod_runner.revisions.runs import PlannedRun, Side, planned_run
from cod_runner.revisions.source import Developed, environment_of

Git = Callable[..., str]
RECIPE = Path("recipes/watched.yaml")


@pytest.fixture
def developer(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where the plugin is installed, editable: its metadata apart, its code in the repository."""
    metadata = tmp_path / "site" / "sample_plugin-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sample-plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[codrun]\nsample = sample_new.plugin\n")
    paths = [str(tmp_path / "site"), str(repo / "src")]
    for path in paths:
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(repo)
    for name in ("sample_new", "sample_new.plugin"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("developer")
def test_each_revision_runs_its_own_code_and_the_second_call_repeats_nothing(
    repo: Path, git: Git, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(repo / "src")
    write_plugin(repo, "sample_new", 0.5)  # another module, so another entry point, and another number
    command = ["compare", "--rev", "main", "recipes", "--jobs", "1", "--metrics", "steady"]
    assert codrun([*command, "--markdown", "--fail-on-regression"]) == 3
    shown = capfd.readouterr()
    assert shown.out.startswith("## codrun compare: `main` → `working tree`\n")
    row = "| `steady` | `kd` | `plain` | 8 | 0.900 | 0.500 | −0.400 ± 0.000 | 0 of 2 | <0.001 | ↓ **regression** |"
    assert row in shown.out.replace("\N{NO-BREAK SPACE}", " ")
    assert "Each side ran its own code of \\`sample-plugin\\`; both share the store" in shown.out
    assert "2 of 2 cells with the same key in both runs have different numbers" in shown.out
    assert "broken" not in shown.err
    assert "recipes/watched.yaml at main: 2 cells, 0 done, 2 to run\n" in shown.err
    assert "regression: steady of kd, plain, k = 8 fell from 0.900 to 0.500" in shown.err

    first, second = sorted((repo / "runs" / ".revisions").iterdir(), key=lambda path: len(path.name))
    assert first.name == git("rev-parse", "--short=12", "main")
    assert re.fullmatch(rf"{first.name}-[0-9a-f]{{12}}", second.name)
    record = json.loads((first / "recipes" / "watched" / "run.json").read_text())
    assert record["git_commit"] == first.name
    cells = first / "recipes" / "watched" / "cells.jsonl"
    assert str(tmp_path) not in cells.read_text()
    assert len(git("worktree", "list").splitlines()) == 1

    written = cells.stat().st_mtime_ns
    assert codrun([*command, "--json"]) == 0
    again = capfd.readouterr()
    assert json.loads(again.out)["regressed"] is True
    assert "2 cells, 2 done, 0 to run" in again.err
    assert "running" not in again.err
    assert cells.stat().st_mtime_ns == written


def test_metadata_and_folders_of_a_revision_come_before_the_installed_ones(repo: Path, tmp_path: Path) -> None:
    tree, shadow = tmp_path / "tree", tmp_path / "metadata"
    write_plugin(tree, "sample_old", 0.9)
    developed = [Developed("sample-plugin", "1", (Path("src"),), Path("pyproject.toml"))]
    given = {"PYTHONPATH": os.pathsep.join([str(repo / "src"), "/elsewhere"]), "OTHER": "kept"}
    made = environment_of(tree, repo.resolve(), developed, shadow, given)
    assert made["OTHER"] == "kept"
    assert made["PYTHONPATH"].split(os.pathsep) == [str(shadow), str(tree / "src"), "/elsewhere"]
    code = "from importlib.metadata import entry_points, version; import sample_old\nprint(sample_old.__file__)\n"
    code += "print([e.value for e in entry_points(group='codrun') if e.name == 'sample'], version('sample-plugin'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**os.environ, **made}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(tree / "src" / "sample_old" / "__init__.py"), "['sample_old.plugin'] 1"]


def test_a_distribution_that_a_revision_does_not_have_yet_brings_no_plugin(tmp_path: Path) -> None:
    tree, shadow = tmp_path / "tree", tmp_path / "metadata"
    tree.mkdir()
    environment_of(tree, tmp_path, [Developed("sample-plugin", "1", (), Path("pyproject.toml"))], shadow, {})
    assert (shadow / "sample_plugin-0.dist-info" / "entry_points.txt").read_text() == ""


@pytest.mark.parametrize(
    ("project", "why"),
    [("[tool.x]\n", "setup.py declares it"), ("[project]\ndynamic = ['entry-points']\n", "dynamic"), ("[", "damaged")],
)
def test_entry_points_that_a_project_does_not_tell_stay_the_installed_ones(
    tmp_path: Path, project: str, why: str
) -> None:
    tree, shadow = tmp_path / "tree", tmp_path / "metadata"
    tree.mkdir()
    (tree / "pyproject.toml").write_text(project)
    environment_of(tree, tmp_path, [Developed("sample-plugin", "1", (), Path("pyproject.toml"))], shadow, {})
    assert not shadow.exists(), why


@pytest.fixture
def side(tmp_path: Path) -> Side:
    (tmp_path / "tree" / "recipes").mkdir(parents=True)
    return Side(
        name="main",
        state="1a2b",
        tree=tmp_path / "tree",
        top=tmp_path / "top",
        folder=tmp_path / "runs",
        environment=dict(os.environ),
        developed=[],
    )


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (
            1,
            CodrunError,
            "recipes/watched.yaml at main failed (exit code 1), for the cause above; the same command goes on",
        ),
        (2, RecipeError, "recipes/watched.yaml at main cannot run, for the cause above"),
        (-9, CodrunError, "recipes/watched.yaml at main failed (exit code -9)"),
    ],
)
def test_how_a_run_ends_is_told(
    side: Side, code: int, error: type[BaseException], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = f"import os; os.kill(os.getpid(), {-code})" if code < 0 else f"import sys; sys.exit({code})"
    monkeypatch.setattr(runs, "PROGRAM", ends)
    with pytest.raises(error, match=re.escape(said)):
        PlannedRun(side, RECIPE, Flags(), cells=1, done=0, calls=()).run(Progress(quiet=True))


def test_a_run_that_was_interrupted_interrupts_the_comparison(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PROGRAM", "import sys; sys.exit(130)")
    with pytest.raises(KeyboardInterrupt):
        PlannedRun(side, RECIPE, Flags(), cells=1, done=0, calls=()).run(Progress(quiet=True))


def test_a_missed_expectation_is_a_note(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PROGRAM", "import sys; sys.exit(3)")
    (note,) = PlannedRun(side, RECIPE, Flags(), cells=1, done=0, calls=()).run(Progress(quiet=True))
    assert note == "recipes/watched.yaml at main: an expectation of the recipe was missed."


@pytest.mark.parametrize("ran", [1, 0])
def test_cells_that_failed_are_a_note_where_all_others_ran(
    side: Side, ran: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = side.run_of(RECIPE, Flags())
    folder.mkdir(parents=True)
    row = {"key": "a", "method": "kd", "arm": "plain", "k": 8, "seed": 0, "accuracy": 0.5}
    failed = {**row, "key": "b", "seed": 1, "name": "kd-plain-k8-s1", "cause": "the metric `accuracy` is nan"}
    metrics = [{"name": "accuracy", "title": "Accuracy", "higher_is_better": True}]
    record = {"recipe": "watched", "finished": "now", "cell_keys": ["a", "b"], "failed": [failed], "metrics": metrics}
    (folder / "recipe.yaml").write_text(RECIPE_TEXT)
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "cells.jsonl").write_text(f"{json.dumps(row)}\n" * ran)
    monkeypatch.setattr(runs, "PROGRAM", "import sys; sys.exit(1)")
    planned = PlannedRun(side, RECIPE, Flags(), cells=2, done=1, calls=())
    if not ran:
        with pytest.raises(CodrunError, match="failed"):
            planned.run(Progress(quiet=True))
        return
    assert planned.run(Progress(quiet=True)) == [
        "recipes/watched.yaml at main: 1 cell failed: the metric `accuracy` is nan (kd-plain-k8-s1)."
    ]


def test_the_plan_says_what_a_side_may_cost(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"model": "paid/model", "calls_low": 10, "calls_high": 2000, "usd_low": 0.5, "usd_high": 1.25}
    unknown = {**asked, "model": "other", "usd_low": None}
    plan = {"cells": [1, 2, 3], "done": 1, "calls": [asked], "queries": [{"calls": unknown}, {"calls": None}]}
    monkeypatch.setattr(runs, "PROGRAM", f"print({json.dumps(plan)!r})")
    assert str(planned_run(side, RECIPE, Flags())) == (
        "recipes/watched.yaml at main: 3 cells, 1 done, 2 to run; model calls: paid/model: 10 to 2,000 calls, $0.50 to "
        "$1.25; other: 10 to 2,000 calls, price unknown; the recipe's budget holds for each side"
    )
    monkeypatch.setattr(runs, "PROGRAM", "print('[]')")
    with pytest.raises(CodrunError, match="codrun's code at main writes a plan that this version cannot read"):
        planned_run(side, RECIPE, Flags())


def test_flags_are_passed_on_and_no_word_of_a_stranger_is_one(side: Side, tmp_path: Path) -> None:
    flags = Flags(
        profile="small", overrides=("train.steps=3", "name=-x"), k="8", seeds="0,1", methods="kd", arms="plain",
        allow_hosts=("h:1",), allow_folders=(tmp_path / "top" / "data",), jobs=2, device="cpu",
        offline=True, quiet=True, allow_local_plugins=True,
    )  # fmt: skip
    words = flags.of_a_run(side.folders(flags))
    assert words == [
        "--profile=small", "--k=8", "--seeds=0,1", "--methods=kd", "--arms=plain", "--set=train.steps=3",
        "--set=name=-x", "--allow-host=h:1", f"--allow-folder={tmp_path / 'top' / 'data'}",
        f"--allow-folder={tmp_path / 'tree' / 'data'}", "--allow-local-plugins",
        "--jobs=2", "--device=cpu", "--offline", "--quiet",
    ]  # fmt: skip
    call = side.call("run", Path("-n.yaml"), words, flags)
    assert call[call.index("run") + 1] == f"--out={tmp_path / 'runs' / '-n-small'}"
    assert call[-2:] == ["--", "-n.yaml"]
    assert Flags().of_a_run(()) == []


def test_an_interrupted_run_is_ended_before_its_files_go(
    side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that Ctrl-C did not reach is sent it."""
    started, ended = tmp_path / "started", tmp_path / "ended"
    program = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_):\n    pathlib.Path({str(ended)!r}).touch(); sys.exit(130)\n"
        f"signal.signal(signal.SIGINT, end)\npathlib.Path({str(started)!r}).touch()\ntime.sleep(60)"
    )
    monkeypatch.setattr(runs, "PROGRAM", program)
    wait = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is None:
            while not started.exists():
                time.sleep(0.01)
            raise KeyboardInterrupt
        return wait(process, 0.01 if timeout == 1 else timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        PlannedRun(side, RECIPE, Flags(), cells=1, done=0, calls=()).run(Progress(quiet=True))
    assert ended.exists()
    assert signal.getsignal(signal.SIGINT) is not None


@pytest.mark.parametrize(
    ("paths", "revisions", "said"),
    [
        (["recipes/watched.yaml"], ["nope"], "`nope` is not a revision"),
        (["recipes/watched.yaml"], ["main"] * 3, "--rev is given 3 times"),
        (["recipes/new.yaml"], ["main"], "recipes/new.yaml: main has no recipe there, so there is nothing to compare"),
        (["nowhere"], ["main"], "nowhere: main and working tree have no recipe there"),
    ],
)
def test_what_cannot_be_compared_is_said(
    repo: Path, paths: list[str], revisions: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    (repo / "recipes" / "new.yaml").write_text("recipe: 1\n")
    with pytest.raises(RecipeError, match=re.escape(said)):
        run_revisions([Path(path) for path in paths], revisions, Flags(), Progress(quiet=True))

"""A component that raises, or gives what it must not: one sentence, the traceback in ``run.log``, exit code 1."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_plugin import line_of, write_plugin

from cod_runner.cli import call

RECIPE = """\
recipe: 1
name: failing
dataset: {use: moons}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [16], finetune: {rows: 200, steps: 60, lr: 0.01, batch_size: 32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [faulty], max_edits: 1000}
methods: {kd: [hard, {use: faulty, weight: 2}]}
arms:
  cod: {add: flips}
train: {steps: 3, lr: 0.01}
evaluate: {metrics: [accuracy, faulty]}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    write_plugin(site)
    return site


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the teacher is trained once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def package(site: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(store))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    return site / "codrun_faulty"


def said(capsys: pytest.CaptureFixture[str], *changes: tuple[str, str], jobs: int = 1) -> str:
    """The last line of a run of the changed recipe, which must end with 1."""
    recipe = RECIPE
    for old, new in changes:
        assert old in recipe
        recipe = recipe.replace(old, new, 1)
    Path("failing.yaml").write_text(recipe)
    code = call(["failing.yaml", "--out", "run", "--quiet", "--jobs", str(jobs)])
    printed = capsys.readouterr().err
    assert code == 1, printed
    assert "Traceback" not in printed
    return printed.splitlines()[-1].removeprefix("error: ")


HOW = "codrun-faulty 0.1"
LOSS, STUDENT = "{use: faulty, weight: 2}", "student: {use: mlp, hidden: [8]}"

RAISED = {
    "loss init": ((LOSS, "{use: faulty, how: init}"),),
    "loss bind": ((LOSS, "{use: faulty, how: bind}"),),
    "loss forward": ((LOSS, "{use: faulty, how: forward}"),),
    "loss backward": ((LOSS, "{use: faulty, how: backward}"),),
    "student encode": ((STUDENT, "student: {use: faulty, how: encode}"),),
    "student forward": ((STUDENT, "student: {use: faulty, how: forward}"),),
    "student save": ((STUDENT, "student: {use: faulty, how: save}"),),
    "teacher forward": (("{use: mlp, hidden: [16], ", "{use: faulty, how: forward, "),),
    "teacher save": (("{use: mlp, hidden: [16], ", "{use: faulty, how: save, "),),
    "dataset load": (("{use: moons}", "{use: faulty, how: load}"),),
    "generator propose": (("[faulty]", "[{use: faulty, how: propose}]"),),
    "selector rank": (("add: flips", "add: flips, select: {use: faulty, how: rank}"),),
    "chooser rank": (("add: flips", "add: flips, choose: {use: faulty, how: rank}"),),
    "metric call": (("accuracy, faulty", "{use: faulty, how: call}"),),
    "executor map": (("train:", "executor: {use: faulty, how: map}\ntrain:"),),
}


@pytest.mark.parametrize("which", RAISED)
def test_a_component_that_raises_is_named_with_its_author_s_line(
    which: str, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = which.split()[0]
    line = line_of(package, "raise ZeroDivisionError")
    assert said(capsys, *RAISED[which]) == (
        f"the {kind} `faulty` ({HOW}) raised ZeroDivisionError: on purpose, at {package}/parts.py:{line} in fail; "
        "the whole traceback is in run/run.log"
    )
    log = Path("run/run.log").read_text()
    assert "Traceback (most recent call last):" in log and log.count("ZeroDivisionError: on purpose") >= 2


def test_a_worker_s_component_is_named_alike(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of(package, "raise ZeroDivisionError")
    told = said(capsys, (LOSS, "{use: faulty, how: forward}"), jobs=2)
    assert told == (
        f"the loss `faulty` ({HOW}) raised ZeroDivisionError: on purpose, at {package}/parts.py:{line} in fail; "
        "the whole traceback is in run/run.log"
    )
    log = Path("run/run.log").read_text()
    assert "Traceback (most recent call last):" in log and f'parts.py", line {line}, in fail' in log


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("killed", "(SIGSEGV, a crash in a library's native code)"),
        ("left", "(it left with exit code 7: some code of a component, or of a library, ended the process)"),
    ],
)
def test_what_ended_a_worker_is_said(how: str, cause: str, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, (LOSS, f"{{use: faulty, how: {how}}}"), jobs=2)
    assert told.startswith(f"a worker process died without an error message {cause}; run again with a smaller --jobs")

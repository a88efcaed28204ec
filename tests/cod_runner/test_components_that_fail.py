"""A component that raises, or gives what it must not: one sentence, the traceback in ``run.log``, exit code 1."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faulty_plugin import forget, line_of, write_plugin

from cod_runner.blame import NOT_A_PLUGINS
from cod_runner.cli import call
from cod_runner.stages import cell

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
    forget()
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


@pytest.mark.slow
def test_what_ended_a_worker_three_times_is_said(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, (LOSS, "{use: faulty, how: killed}"), jobs=2)
    assert re.sub("s[01]", "s?", told) == (
        "the worker process of the cell kd-cod-k8-s? died 3 times without an error message (SIGSEGV, a crash in a "
        "library's native code); finished cells are not repeated when the same command is run again"
    )


GAVE = {
    "loss text": ((LOSS, "{use: faulty, how: text}"), "the loss `faulty` returned a str; a loss returns a tensor of"),
    "loss whole": ((LOSS, "{use: faulty, how: whole}"), "the loss `faulty` returned a tensor of torch.int64; a loss"),
    "loss shape": (
        (LOSS, "{use: faulty, how: shape}"),
        "the loss `faulty` returned the shape (8, 1) for a batch of 8 examples; a loss returns one value per example",
    ),
    "loss nan": ((LOSS, "{use: faulty, how: nan}"), "the loss term `faulty` became nan in step 1; try a smaller"),
    "loss super": (
        (LOSS, "{use: faulty, how: super}"),
        f"the loss `faulty` ({HOW}): its `__init__` does not call `super().__init__()`, which every nn.Module must",
    ),
    "student short": (
        (STUDENT, "student: {use: faulty, how: short}"),
        "the classifier `codrun_faulty.parts.Student`: `encode` returned 7 encodings for 8 inputs, not an Encoded of",
    ),
    "student logits": (
        (STUDENT, "student: {use: faulty, how: logits}"),
        "the classifier `codrun_faulty.parts.Student`: `forward` returned a Tensor, and must return Outputs",
    ),
    "student classes": (
        (STUDENT, "student: {use: faulty, how: classes}"),
        "the classifier `codrun_faulty.parts.Student`: `forward` returned logits of the shape [8, 4] for 8 inputs and "
        "2 labels",
    ),
    "dataset none": (
        ("{use: moons}", "{use: faulty, how: none}"),
        f"the dataset `faulty` ({HOW}): `load` returned None, and must return a LoadedData",
    ),
    "dataset label": (
        ("{use: moons}", "{use: faulty, how: label}"),
        f"the dataset `faulty` ({HOW}): `load` returned in the split `train` the example `'train-0'` (str) with the "
        "label 2, and class ids go from 0 to 1 (None where there is no label)",
    ),
    "dataset twice": (
        ("{use: moons}", "{use: faulty, how: twice}"),
        f"the dataset `faulty` ({HOW}): `load` returned in the split `train` two examples with the id `'train-1'` (str)"
        "; each needs one of its own",
    ),
    "dataset input": (
        ("{use: moons}", "{use: faulty, how: input}"),
        f"the dataset `faulty` ({HOW}): `load` returned in the split `train` the example `'train-0'` (str) with the "
        "input `5` (int), which must be a text or a tuple of numbers",
    ),
    "dataset text": (
        ("{use: moons}", "{use: faulty, how: text}"),
        f"the dataset `faulty` ({HOW}): `load` returned in the split `train` `'text'` (str), which is not an Example",
    ),
    "generator number": (
        ("[faulty]", "[{use: faulty, how: number}]"),
        "the generator `faulty`: `propose` returned a Proposal of `5` (int), and it must be a tuple of 2 numbers",
    ),
    "generator text": (
        ("[faulty]", "[{use: faulty, how: text}]"),
        "the generator `faulty`: `propose` returned `'ab'` (str) for a request, and must return a list of proposals",
    ),
    "generator bare": (
        ("[faulty]", "[{use: faulty, how: bare}]"),
        "the generator `faulty`: `propose` returned `'ab'` (str) among its proposals, which is not a Proposal",
    ),
    "generator none": (
        ("[faulty]", "[{use: faulty, how: none}]"),
        "the generator `faulty`: `propose` returned None for a request, and must return a list of proposals",
    ),
    "generator tier": (
        ("[faulty]", "[{use: faulty, how: tier}]"),
        "the generator `faulty`: `propose` returned a Proposal with the tier `'a'` (str), which must be a whole number",
    ),
    "generator short": (
        ("[faulty]", "[{use: faulty, how: short}]"),
        "the generator `faulty`: `propose` returned 3 lists for 4 requests, and must return one, empty or not, for",
    ),
    "generator rounds": (
        ("[faulty]", "[{use: faulty, how: rounds}]"),
        f"the generator `faulty` ({HOW}): its `rounds` is `'three'` (str), and must be a whole number from 1",
    ),
    "generator silent": (
        ("[faulty]", "[{use: faulty, how: silent}]"),
        f"the generator `faulty` ({HOW}): `build` returned `<codrun_faulty.parts.Silent object at ",
    ),
    "selector short": (
        ("add: flips", "add: flips, select: {use: faulty, how: short}"),
        f"the selector `faulty` ({HOW}) ranked 499 of 500 rows: a bug in its plugin, which must return every",
    ),
    "selector far": (
        ("add: flips", "add: flips, select: {use: faulty, how: far}"),
        f"the selector `faulty` ({HOW}): `rank` returned the position `500` (int), and those of 500 rows are whole",
    ),
    "selector none": (
        ("add: flips", "add: flips, select: {use: faulty, how: none}"),
        f"the selector `faulty` ({HOW}): `rank` returned None, and must return every position once",
    ),
    "chooser far": (
        ("add: flips", "add: flips, choose: {use: faulty, how: far}"),
        f"the chooser `faulty` ({HOW}) ranked a position, `100000` (int), that there is not: a bug in its plugin",
    ),
    "chooser flat": (
        ("add: flips", "add: flips, choose: {use: faulty, how: flat}"),
        f"the chooser `faulty` ({HOW}): `rank` returned `[0, 0, 0, 0]` (list), and must return a list for each of",
    ),
    "chooser none": (
        ("add: flips", "add: flips, choose: {use: faulty, how: none}"),
        f"the chooser `faulty` ({HOW}): `rank` returned None, and must return a list for each of the 4 choices",
    ),
    "metric text": (
        ("accuracy, faulty", "{use: faulty, how: text}"),
        f"the metric `faulty` ({HOW}) returned `'half'` (str), and must return a number",
    ),
    "metric tensor": (
        ("accuracy, faulty", "{use: faulty, how: tensor}"),
        f"the metric `faulty` ({HOW}) returned `tensor([0., 0., 0.])` (Tensor), and must return a number",
    ),
    "executor row": (
        ("train:", "executor: {use: faulty, how: row}\ntrain:"),
        f"the executor `faulty` ({HOW}): `map` gave `'a row'` (str), and must give what its `work` returns",
    ),
    "executor twice": (
        ("train:", "executor: {use: faulty, how: twice}\ntrain:"),
        f"the executor `faulty` ({HOW}): `map` gave the result of kd-cod-k8-s0 twice, and must give each once",
    ),
    "executor none": (
        ("train:", "executor: {use: faulty, how: none}\ntrain:"),
        f"the executor `faulty` ({HOW}): `workers` chose `0` (int) at once, and must choose a whole number from 1",
    ),
    "executor device": (
        ("train:", "executor: {use: faulty, how: device}\ntrain:"),
        f"the executor `faulty` ({HOW}): `workers` chose the device `'gpu0'` (str), and must choose one by torch's",
    ),
    "executor threads": (
        ("train:", "executor: {use: faulty, how: threads}\ntrain:"),
        "the executor calls `work` in two threads of a process at once, and students would draw each other's random",
    ),
}


@pytest.mark.parametrize("which", GAVE)
def test_what_a_component_must_not_give_is_said_where_it_enters(
    which: str, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = GAVE[which]
    assert said(capsys, change).startswith(sentence)


def test_a_library_that_fails_on_what_a_component_built_is_put_down_to_it(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line of the author's is under way then."""
    told = said(capsys, (STUDENT, "student: {use: faulty, how: broken}"))
    assert told.startswith(f"the student `faulty` ({HOW}) raised AttributeError: ")
    assert "torch/nn/modules/module.py:" in told


def test_a_fault_of_the_core_keeps_its_traceback(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where an executor's code stands between it and the core."""
    monkeypatch.setattr(cell, "held_out_score", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        said(capsys, ("train:", "executor: {use: faulty}\ntrain:"))
    assert caught.value.__notes__ == [NOT_A_PLUGINS]

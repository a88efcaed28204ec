"""Training sets that cannot be drawn are left out, the user is told what can be done, and all other cells run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import opinions
import pytest
from opinions import sentence

from cod_runner import running
from cod_runner.api import (
    BuildContext,
    Component,
    Example,
    LoadedData,
    Options,
    Proposal,
    Request,
    TeacherView,
    hookimpl,
)
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results

RECIPE = """
recipe: 1
name: short
dataset: few
k: [4, 12]
seeds: [0, 1]
teacher: opinions
student: opinions_student
counterfactuals: {generators: [some]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 1, batch_size: 12, lr: 0.01, precision: fp32}
evaluate: {split: test, metrics: [accuracy]}
"""


class FewOptions(Options):
    rows: int = 40


class Few:
    """Rows by turns of two classes; of the second few can be flipped."""

    def __init__(self, options: FewOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        rows = [Example(f"train:{number}", sentence(number), number % 2) for number in range(self.options.rows)]
        measured = [Example(f"test:{number}", sentence(number), number % 2) for number in range(200, 260)]
        return LoadedData(("food", "sport"), {"train": rows, "test": measured})


class UndividedFew(Few):
    """The same without a split to evaluate on."""

    def load(self) -> LoadedData:
        whole = super().load()
        return LoadedData(whole.labels, {"train": whole.splits["train"]})


class SomeOptions(Options):
    flips: int = 2
    """Of the class `sport`: the originals of the first few of its sentences; of `food` all."""

    def advice(self) -> str:
        return "give it more `flips`" if self.flips < 20 else ""


class Some:
    """Flips some; of the others it offers what does not flip."""

    rounds = 1

    def __init__(self, options: SomeOptions, context: BuildContext) -> None:
        self.can = {sentence(2 * number + 1) for number in range(options.flips)}

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        return [[Proposal(opinions.edits(str(one.input))[one.label == 0 or one.input in self.can])] for one in requests]


class Plugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("dataset", "few", FewOptions, f"{__name__}:Few", "rows")
        yield Component("dataset", "undivided_few", FewOptions, f"{__name__}:UndividedFew", "rows")
        yield Component("generator", "some", SomeOptions, f"{__name__}:Some", "flips some")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    found.register(opinions.__name__, opinions.__name__, lambda: opinions.World)
    found.register(__name__, __name__, lambda: Plugin)
    return found


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def run(registry: Registry, *changes: str, out: str = "out", reports: bool = False) -> running.RunResult:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry, overrides=changes)
    with nullcontext() if reports else patch.object(results, "write_reports"):  # they take longer than such a run
        return running.run(loaded, registry, RunSettings(out=Path(out), jobs=1), Progress(quiet=True))


def ran(out: str = "out") -> set[tuple[str, int, int]]:
    lines = [json.loads(line) for line in Path(out, "cells.jsonl").read_text().splitlines()]
    return {(line["arm"], line["k"], line["seed"]) for line in lines}


def said(result: running.RunResult) -> list[str]:
    return [one.sentence for one in result.record.left_out]


ALL_PLAIN = {("plain", k, seed) for k in (4, 12) for seed in (0, 1)}
AT_12 = (
    "`cod` at k = 12 could not run (seeds 0, 1): 2 of the 20 originals of `sport` that were searched have a "
    "counterfactual, and 3 are needed. What can help: k = 8, for which there are enough; some 10 more rows of `sport`; "
)


def test_an_arm_that_cannot_be_filled_leaves_the_others_running(registry: Registry) -> None:
    result = run(registry, reports=True)
    assert ran() == ALL_PLAIN | {("cod", 4, 0), ("cod", 4, 1)}
    (sentence_,) = said(result)
    assert sentence_.startswith(AT_12), sentence_
    assert sentence_.endswith("; for the generator `some`: give it more `flips`.")
    with pytest.raises(CodrunError) as caught:
        result.raise_if_incomplete()
    summary = "2 of 8 cells could not run, since their training sets cannot be drawn: `cod` at k = 12 (seeds 0, 1)"
    assert str(caught.value).startswith(summary) and caught.value.exit_code == 1
    assert sentence_ in json.loads(Path("out/run.json").read_text())["notes"]
    assert sentence_ in Path("out/run.log").read_text()
    for name in ("table.md", "report.html"):
        text = re.sub(r"<[^>]+>|\\", "", Path("out", name).read_text())
        assert summary in text and "2 of the 20 originals of `sport` that were searched" in text
        assert "are not finished" not in text


def test_each_cure_that_is_named_works(registry: Registry) -> None:
    (text,) = said(run(registry))
    assert "k = 8, for" in text
    assert not said(run(registry, "k=[8]", out="smaller"))
    assert not said(run(registry, "counterfactuals.generators=[{use: some, flips: 20}]", out="generator"))
    dropped = run(registry, "counterfactuals.on_failure=drop", "k=[12]", out="dropped")
    named = re.search(r"on_failure: drop`, which leaves (\d)( to \d)? of 6 originals to train on", text)
    assert named and not said(dropped)
    lines = [json.loads(line) for line in Path("dropped/cells.jsonl").read_text().splitlines()]
    left = [line["labelled"] for line in lines if line["arm"] == "cod"]
    assert (min(left), max(left)) == (int(named[1]), int(named[2][4:] if named[2] else named[1]))


def test_a_second_call_tries_only_those_again_and_what_was_said_is_gone_when_they_run(registry: Registry) -> None:
    run(registry)
    before = Path("out/cells.jsonl").read_text()
    again = run(registry)
    assert Path("out/cells.jsonl").read_text() == before and len(said(again)) == 1
    mended = run(registry, "counterfactuals.generators=[{use: some, flips: 20}]")
    assert not said(mended) and not [note for note in mended.record.notes if "could not run" in note]
    mended.raise_if_incomplete()
    assert Path("out/cells.jsonl").read_text().startswith(before)


def test_an_arm_of_which_everything_is_dropped_is_left_out_too(registry: Registry) -> None:
    nothing = "counterfactuals={generators: [{use: some, flips: 0}], max_edits: 0.01, on_failure: drop}"
    result = run(registry, nothing, "k=[4]")
    assert ran() == {("plain", 4, 0), ("plain", 4, 1)}
    assert said(result) == [
        "`cod` at k = 4 could not run (seeds 0, 1): 0 of the 2 originals that were searched have a counterfactual, and "
        "with `counterfactuals.on_failure: drop` no other takes their place. What can help: "
        "`counterfactuals.on_failure: redraw`, which searches further originals; for the generator `some`: give it "
        "more `flips`."
    ]


def test_a_generator_that_never_flips_is_given_up_early(registry: Registry) -> None:
    result = run(registry, "dataset.rows=160", "counterfactuals.generators=[{use: some, flips: 0}]", "k=[4]")
    (sentence_,) = said(result)
    assert (
        "0 of the 59 originals of `sport` that were searched have a counterfactual, and 1 is needed; that shows that "
        "fewer than 1 in 20 has, so the search ended there." in sentence_
    )
    assert "more rows" not in sentence_ and "k = " not in sentence_.partition("could not run")[2]
    searched = [json.loads(line) for line in Path("out/counterfactuals.jsonl").read_text().splitlines()]
    assert len(searched) <= 2 * (59 + 1)


def test_an_arm_that_shares_originals_is_told_what_it_lacks(registry: Registry) -> None:
    result = run(registry, "same_originals=true", "k=[12]", "seeds=[0]")
    plain = next(one for one in result.record.left_out if one.arm == "plain").sentence
    assert "2 of the 20 originals of `sport` that were searched have what the other arms add, and 6 are needed" in plain
    assert "`same_originals: false`, by which an arm passes over what it cannot use itself" in plain
    left = run(registry, "same_originals=false", "k=[12]", "seeds=[0]", out="apart")
    assert [one.arm for one in left.record.left_out] == ["cod"]


def test_when_nothing_can_run_the_reports_are_there_all_the_same(registry: Registry) -> None:
    result = run(registry, "arms=[cod]", "k=[12]", reports=True)
    assert len(said(result)) == 1 and not Path("out/cells.jsonl").exists()
    assert "could not run" in Path("out/table.md").read_text()


def test_fail_still_ends_the_run(registry: Registry) -> None:
    with pytest.raises(CodrunError, match="`on_failure` is `fail`"):
        run(registry, "counterfactuals.on_failure=fail")


def record_of(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "run.json").read_text())
    return found


def test_folds_that_lack_originals_leave_those_that_do_not_running(registry: Registry) -> None:
    folds = ("evaluate={folds: 2, split: none}", "dataset=undivided_few", "k=[8]")
    result = run(registry, *folds)
    left = result.record.left_out
    assert {one.arm for one in left} == {"cod"} and ran() >= {("plain", 8, 0), ("plain", 8, 1)}
    assert len(ran()) == 4 - sum(one.cells for one in left)
    assert record_of("out")["left_out"] == [one.model_dump() for one in left]

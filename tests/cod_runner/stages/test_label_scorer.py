"""A teacher that only answers, from the recipe to the table: what it is shown, asked, calibrated by, and refused."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import opinions
import pytest
import scorers
import torch
from opinions import World, opposite, sentence
from scorers import LEANING, Answers, AnswersOptions, Scorers, States
from torch import Tensor, nn

from cod_runner import running
from cod_runner.api import (
    Batch,
    Binding,
    BuildContext,
    CodrunError,
    Component,
    Example,
    LoadedData,
    Options,
    Outputs,
    Proposal,
    ProviderError,
    Request,
    SettingError,
    TeacherView,
    expected_calibration_error,
    hookimpl,
)
from cod_runner.context import RunSettings
from cod_runner.engine.calibration import Calibration
from cod_runner.engine.signals import SignalStore
from cod_runner.errors import PluginError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.stages import results
from cod_runner.stages.results import RunResult
from cod_runner.store import Store

RECIPE = """
recipe: 1
name: answers
describe: Is the film good?
dataset: films
k: [8]
seeds: [0, 1]
teacher: {use: answers, shots: 5, calibration: {texts: 30}}
student: opinions_student
counterfactuals: {generators: [edits]}
arms: {plain: {}, cod: {add: flips}, pool: {unlabelled: {from: pool, rows: 10}}}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 2, batch_size: 8, lr: 0.01, precision: fp32}
evaluate: {metrics: [accuracy, agreement]}
"""
SMALL = ("seeds=[0]", "arms=[plain]")
"""One cell, where no more are needed."""


class Priceless:
    """A label scorer but for its `price`."""

    at_once, labels, fingerprint = 4, ("bad", "good"), "priceless"

    def __init__(self, options: AnswersOptions, context: BuildContext) -> None: ...

    def score(self, inputs: Sequence[Any], progress: Any = None) -> Tensor:
        return torch.zeros(len(inputs), 2)


class Grades:
    """Three classes, by the number of great words; the rare one has four rows."""

    def __init__(self, options: Options, context: BuildContext) -> None: ...

    def load(self) -> LoadedData:
        def text(number: int) -> str:
            words = [word for word in sentence(number).split() if word not in scorers.WEIGHTS]
            return " ".join([*words, *["great"] * (number % 3)])

        rows = [Example(f"train:{n}", text(n), n % 3) for n in range(60)]
        measured = [Example(f"validation:{n}", text(n), n % 3) for n in range(60, 90)]
        return LoadedData(("none", "some", "many"), {"train": rows, "validation": measured})


class Pointing:
    """Asks which word weighs most, and proposes its opposite."""

    rounds = 1

    def __init__(self, options: Options, context: BuildContext) -> None: ...

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        parts = teacher.attribution([each.input for each in requests], [each.label for each in requests])
        offered = []
        for request, words in zip(requests, parts, strict=True):
            best, text = max(words, key=lambda word: word.score), str(request.input)
            flipped = f"{text[: best.start]}{opposite(text[best.start : best.end])}{text[best.end :]}"
            offered.append([Proposal(flipped, usd=0.0)])
        return offered


class Listening(nn.Module):
    """A loss that notes what the teacher says of each example."""

    HEARD: dict[str, Tensor] = {}  # noqa: RUF012 - read by the tests

    def __init__(self, options: Options, context: BuildContext) -> None:
        super().__init__()

    def bind(self, binding: Binding) -> None: ...

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        self.HEARD.update(zip(batch.ids, teacher.logits.clone(), strict=True))
        return student.logits.sum(1)


class LiarOptions(AnswersOptions):
    """Declared as another sort of teacher than it is."""

    labels: tuple[str, ...] = ()


class Liar(Answers):
    def __init__(self, options: LiarOptions, context: BuildContext) -> None:
        super().__init__(options, context)
        self.labels = options.labels or context.labels


class SilentOptions(Options):
    """A scorer's that says nothing of it."""

    shots: int = 0
    seed: int = 0
    usd: float = 0.0


class Mine:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        for kind, name, options, build in (
            ("dataset", "grades", Options, Grades),
            ("generator", "pointing", Options, Pointing),
            ("loss", "listening", Options, Listening),
            ("teacher", "liar", LiarOptions, Liar),
            ("teacher", "silent", SilentOptions, Answers),
            ("teacher", "boastful", scorers.StatesOptions, Answers),
            ("teacher", "priceless", AnswersOptions, Priceless),
            ("teacher", "opened", AnswersOptions, opinions.Opinions),
        ):
            yield Component(kind, name, options, f"{__name__}:{build.__name__}", "")  # type: ignore[arg-type]


Opinions = opinions.Opinions


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.discover()
    for module, plugin in ((opinions.__name__, World), (scorers.__name__, Scorers), (__name__, Mine)):
        found.register(module, module, lambda plugin=plugin: plugin)
    return found


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Answers.ASKED.clear()
    Listening.HEARD.clear()


def run(
    registry: Registry, *changes: str, out: str = "out", progress: Progress | None = None, reports: bool = False
) -> RunResult:
    Path("recipe.yaml").write_text(RECIPE)
    loaded = load_recipe(Path("recipe.yaml"), registry, overrides=changes)
    settings = RunSettings(out=Path(out), jobs=1)
    with nullcontext() if reports else patch.object(results, "write_reports"):  # they take longer than such a run
        return running.run(loaded, registry, settings, progress or Progress(quiet=True))


def record(out: str = "out") -> dict[str, Any]:
    teacher: dict[str, Any] = json.loads(Path(out, "run.json").read_text())["teacher"]
    return teacher


def cells(out: str = "out") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in Path(out, "cells.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


def fingerprints() -> list[str]:
    with sqlite3.connect(Store().signals / "signals.sqlite") as database:
        return [row[0] for row in database.execute("select fingerprint from teacher order by id")]


def evaluated() -> tuple[list[str], Tensor]:
    rows = opinions.Films(Options(), BuildContext()).load().splits["validation"]
    return [str(row.input) for row in rows], torch.tensor([row.hard_label for row in rows])


def test_a_run_asks_once_about_each_text_and_calibrates_what_it_hears(registry: Registry) -> None:
    result = run(registry, reports=True)
    assert len(result.report.rows) == 6
    assert len(Answers.ASKED) == len(set(Answers.ASKED))
    teacher = record()
    assert teacher["shots"] == teacher["gold_labels"] == 5
    assert teacher["calibration"]["bias"]["positive"] == pytest.approx(LEANING / 2, abs=0.6)
    assert teacher["accuracy"] == 1.0
    assert len(Answers.SHOWN) == 5
    assert not set(Answers.SHOWN) & set(Answers.ASKED), "nor originals, unlabelled texts, calibration or evaluation"


def test_a_second_run_asks_nothing_and_gives_equal_cells(registry: Registry) -> None:
    run(registry, "seeds=[0]")
    asked = list(Answers.ASKED)
    run(registry, "seeds=[0]", out="again")
    assert asked == Answers.ASKED
    assert cells("again") == cells()


def test_a_run_that_lost_its_last_cells_goes_on_with_equal_ones(registry: Registry) -> None:
    run(registry, "seeds=[0]")
    whole, path = cells(), Path("out/cells.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    run(registry, "seeds=[0]")
    assert cells() == whole


def test_another_calibration_asks_about_no_text_again(registry: Registry) -> None:
    run(registry, *SMALL)
    asked = set(Answers.ASKED)
    Answers.ASKED.clear()
    run(registry, *SMALL, "teacher.calibration=none", out="none")
    assert Answers.ASKED == []
    run(registry, *SMALL, "teacher.calibration=contextual", out="contextual")
    assert sorted(Answers.ASKED) == sorted(["N/A", "", "[MASK]"])
    run(registry, *SMALL, "teacher.calibration={by: batch, texts: 10, gold: 12}", out="gold")
    assert not set(Answers.ASKED[3:]) & asked
    assert len({row["key"] for out in ("out", "none", "contextual", "gold") for row in cells(out)}) == 4
    assert len({record(out)["fingerprint"] for out in ("out", "none", "contextual", "gold")}) == 4


def test_texts_without_a_label_calibrate_too(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    load = opinions.Films.load
    unread = [Example(f"train:{number}", f"unread {sentence(number)}") for number in range(300, 340)]

    def with_unlabelled(self: opinions.Films) -> LoadedData:
        data = load(self)
        return LoadedData(data.labels, {**data.splits, "train": [*data.splits["train"], *unread]})

    run(registry, *SMALL, "teacher.calibration={texts: 999}", out="before")
    pool = record("before")["queries"]["calibration"]
    monkeypatch.setattr(opinions.Films, "load", with_unlabelled)
    run(registry, *SMALL, "teacher.calibration={texts: 999}", "name=with_unlabelled")
    assert record()["queries"]["calibration"] == pool + 40
    assert {row.input for row in unread} <= set(Answers.ASKED) and not {row.input for row in unread} & set(
        Answers.SHOWN
    )


def test_what_each_calibration_takes_out(registry: Registry) -> None:
    run(registry, *SMALL, "teacher.calibration=none", out="none")
    assert record("none")["calibration"]["bias"] == {"negative": 0.0, "positive": 0.0}
    assert record("none")["queries"] == {"calibration": 0, "evaluation": 22}
    run(registry, *SMALL, "teacher.calibration=contextual", out="contextual")
    found = record("contextual")["calibration"]
    assert found["bias"]["positive"] == pytest.approx(LEANING / 2), "of texts without content it says its leaning alone"
    assert (found["by"], found["temperature"]) == ("contextual", 1.0)
    assert record("contextual")["queries"]["calibration"] == 3


def test_errors_before_and_after_are_of_what_is_stored(registry: Registry) -> None:
    run(registry, *SMALL)
    texts, gold = evaluated()
    raw, calibrated = (SignalStore(Store().signals).reader(name).logits(texts) for name in fingerprints())
    teacher = record()
    assert teacher["calibration"]["calibration_error_before"] == pytest.approx(expected_calibration_error(raw, gold))
    assert teacher["calibration_error"] == pytest.approx(expected_calibration_error(calibrated, gold))
    assert teacher["calibration_error"] < teacher["calibration"]["calibration_error_before"]
    told = Calibration(tuple(teacher["calibration"]["bias"].values()), teacher["calibration"]["temperature"])
    assert torch.allclose(calibrated, told(raw), atol=1e-5)


def test_students_hear_exactly_what_is_stored(registry: Registry) -> None:
    run(registry, "methods.kd=[listening]", "seeds=[0]", "arms={plain: {}, cod: {add: flips}}")
    texts = {row.id: str(row.input) for row in opinions.Films(Options(), BuildContext()).load().splits["train"]}
    reader = SignalStore(Store().signals).reader(fingerprints()[1])
    originals = {name: said for name, said in Listening.HEARD.items() if name in texts}
    assert len(originals) >= 8 and len(Listening.HEARD) > len(originals)
    for name, said in originals.items():
        assert torch.equal(said, reader.logits([texts[name]])[0])
    assert all(said.exp().sum() == pytest.approx(1, abs=1e-6) for said in Listening.HEARD.values())


def test_a_temperature_is_chosen_on_gold_labels_which_are_counted(registry: Registry) -> None:
    run(registry, *SMALL, "teacher.calibration={texts: 30, gold: 20}")
    teacher = record()
    assert teacher["gold_labels"] == 5 + 20
    assert teacher["queries"]["calibration"] == 50
    assert teacher["calibration"]["temperature"] < 1, "it is right and unsure"


def test_a_temperature_at_the_end_of_its_range_is_a_warning(registry: Registry) -> None:
    progress = Progress(quiet=True)
    run(registry, *SMALL, "teacher.calibration.gold=10", progress=progress)
    assert any("all of the 10 gold labels" in note and "0.10" in note for note in progress.notes), progress.notes


def test_skewed_classes_are_not_calibrated_and_that_is_said(registry: Registry) -> None:
    progress = Progress(quiet=True)
    run(registry, *SMALL, "teacher.calibration={skewed: true}", progress=progress)
    assert record()["calibration"]["by"] == "none"
    assert any("not calibrated, since the recipe says that its classes are skewed" in note for note in progress.notes)
    told = Progress(quiet=True)
    run(registry, *SMALL, "teacher.calibration={skewed: true, by: batch}", progress=told, out="batch")
    assert not any("skewed" in note for note in told.notes) and record("batch")["calibration"]["by"] == "batch"


def test_a_pool_smaller_than_the_texts_is_said(registry: Registry) -> None:
    progress = Progress(quiet=True)
    run(registry, *SMALL, "teacher.calibration.texts=500", progress=progress)
    (note,) = (note for note in progress.notes if "calibrated on" in note)
    pool = json.loads(Path("out/run.json").read_text())["data"]["pool rows"]
    assert note == f"the teacher is calibrated on the {pool} texts that the pool has, not on 500"
    assert record()["queries"]["calibration"] == pool


def test_three_classes(registry: Registry) -> None:
    run(registry, *SMALL, "dataset=grades", "k=[6]", "teacher.shots=4", "teacher.calibration.gold=9")
    bias = record()["calibration"]["bias"]
    assert list(bias) == ["none", "some", "many"]
    assert sum(bias.values()) == pytest.approx(0, abs=1e-6)
    assert bias["none"] == bias["some"] < bias["many"]
    assert math.isfinite(cells()[0]["losses"]["kd"])


def test_shots_that_the_pool_has_not_are_a_sentence_about_the_option(registry: Registry) -> None:
    with pytest.raises(SettingError, match=r"`shots: 300` needs 150 labelled texts of `(negative|positive)`") as caught:
        run(registry, *SMALL, "teacher.shots=300")
    assert (caught.value.place, caught.value.setting) == (("teacher",), ("shots",))
    assert Answers.ASKED == []


def test_the_rows_that_choose_the_epoch_are_neither_shots_nor_calibration(registry: Registry) -> None:
    run(registry, *SMALL, "evaluate.select=best_dev")
    assert record()["queries"]["evaluation"] == 22 + 24, "the dev rows are asked about too"
    assert len(Answers.ASKED) == len(set(Answers.ASKED))
    assert not set(Answers.SHOWN) & set(Answers.ASKED)


def test_pooled_states_train_a_student(registry: Registry) -> None:
    run(registry, *SMALL, "teacher.use=states", "methods.kd=[hard, {use: lwd, pool: mean, layers: [[1, 2]]}]")
    (row,) = cells()
    assert math.isfinite(row["losses"]["lwd"]) and row["losses"]["lwd"] > 0
    assert isinstance(States.shape.layers, int)


def test_a_loss_that_compares_positions_is_refused_before_anything_is_asked(registry: Registry) -> None:
    with pytest.raises(SettingError, match="`lwd` compares positions, and this teacher offers the states of one posit"):
        run(registry, *SMALL, "teacher.use=states", "methods.kd=[hard, {use: lwd, layers: [[1, 2]]}]")
    assert Answers.ASKED == []


def test_words_left_out_are_queries_of_their_original(registry: Registry) -> None:
    run(registry, "seeds=[0]", "counterfactuals.generators=[pointing]", "arms={plain: {}, cod: {add: flips}}")
    rows = {row["arm"]: row for row in cells()}
    assert rows["plain"]["teacher_queries"] == 8
    assert rows["cod"]["redrawn"] == 0
    assert rows["cod"]["teacher_queries"] == 4 * (1 + 9 + 1), "the original, itself less each word, its candidate"
    found = [json.loads(line) for line in Path("out/counterfactuals.jsonl").read_text().splitlines()]
    assert all(pair["verified"] and pair["edits"] == 1 for pair in found)
    assert len(Answers.ASKED) == len(set(Answers.ASKED))


@pytest.mark.parametrize(("usd", "per_row"), [(0.0, 0.0), (0.01, 0.08), (None, None)])
def test_cells_say_what_the_teachers_answers_cost(registry: Registry, usd: float | None, per_row: float | None) -> None:
    run(registry, "seeds=[0]", "arms.pool.unlabelled.rows=8", f"teacher.usd={'null' if usd is None else usd}")
    plain, pool = (next(row for row in cells() if row["arm"] == arm) for arm in ("plain", "pool"))
    assert (plain["teacher_queries"], pool["teacher_queries"]) == (8, 16)
    for row, times in ((plain, 1), (pool, 2)):
        assert row.get("teacher_usd") == (None if per_row is None else pytest.approx(times * per_row))
    assert record()["evaluation_usd"] == (None if usd is None else pytest.approx(22 * usd))


def test_a_spent_budget_ends_the_run_and_a_larger_one_goes_on(registry: Registry) -> None:
    paid = (*SMALL, "teacher.paid=true")
    with pytest.raises(ProviderError, match=r"`calls: 45` has no room .* so raise budget and run again"):
        run(registry, *paid, "budget={calls: 45}")
    assert len(Answers.ASKED) == 45, "30 of the calibration and some of the training or evaluation texts"
    told = json.loads(Path("out/run.json").read_text())
    assert told["calls"] == 45
    run(registry, *paid, "budget={calls: 1000}")
    twice = len(Answers.ASKED) - len(set(Answers.ASKED))
    assert 0 <= twice < Answers.at_once, "what the broken chunk had heard is lost, and no more"
    run(registry, *SMALL, out="unbounded")
    first, second = ([{**row, "key": ""} for row in cells(out)] for out in ("out", "unbounded"))
    assert first == second


def test_one_meter_for_teacher_and_generators(registry: Registry) -> None:
    with pytest.raises(ProviderError, match=r"so raise counterfactuals\.budget and run again"):
        run(registry, *SMALL, "teacher.paid=true", "counterfactuals.budget={calls: 3}")


def test_fewer_rows_are_evaluated_on_by_every_cell(registry: Registry) -> None:
    run(registry, "evaluate.rows=10", "arms=[plain]")
    assert json.loads(Path("out/run.json").read_text())["data"]["evaluation rows"] == 10
    measured = set(evaluated()[0])
    assert len(measured & set(Answers.ASKED)) == 10
    assert {row["accuracy"] * 10 % 1 for row in cells()} == {0.0}


def test_keys_know_of_rows_only_where_they_are_set(registry: Registry) -> None:
    def keys(*changes: str) -> list[str]:
        Path("recipe.yaml").write_text(RECIPE)
        return [
            cell.key
            for cell in cells_of(load_recipe(Path("recipe.yaml"), registry, overrides=changes).recipe, registry)
        ]

    plain = keys()
    assert keys("evaluate.rows=null") == plain
    assert not set(keys("evaluate.rows=10")) & set(plain)


def test_keys_know_what_decides_the_answers_and_nothing_else(registry: Registry) -> None:
    def key(*changes: str) -> str:
        Path("recipe.yaml").write_text(RECIPE)
        return cells_of(load_recipe(Path("recipe.yaml"), registry, overrides=changes).recipe, registry)[0].key

    assert key("teacher.calibration.by=batch") == key()
    assert key("teacher.calibration={skewed: true}") == key("teacher.calibration=none")
    contextual = key("teacher.calibration={by: contextual, texts: 10}")
    assert contextual == key("teacher.calibration={by: contextual, texts: 20}")
    others = ["teacher.calibration.texts=31", "teacher.calibration.gold=3", "teacher.shots=6", "describe=Is it?"]
    assert len({key(), contextual, *map(key, others)}) == 6
    assert key("budget={calls: 9}") == key(), "a budget decides nothing"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("teacher.use=silent",), "say that it is a network, and it is a label scorer: its plugin must tell so in"),
        (("teacher={use: opened, shots: 0}",), "say that it only answers, and it is a network: its plugin must tell"),
        (("teacher.use=boastful",), "it has no `shape`, which every teacher whose options say that it offers hidden"),
        (("teacher.use=priceless",), "and it has no `price`, which every teacher that only answers needs"),
        (
            ("teacher={use: liar, labels: [positive, negative]}",),
            "answers about the labels positive, negative, and",
        ),
    ],
)
def test_a_plugin_that_says_one_thing_and_builds_another(registry: Registry, changes: Sequence[str], said: str) -> None:
    text = RECIPE.replace("{use: answers, shots: 5, calibration: {texts: 30}}", "{use: answers}")
    Path("recipe.yaml").write_text(text)
    loaded = load_recipe(Path("recipe.yaml"), registry, overrides=[*SMALL, *changes])
    with pytest.raises(PluginError, match=said):
        running.run(loaded, registry, RunSettings(out=Path("out"), jobs=1), Progress(quiet=True))
    assert Answers.ASKED == []


def test_vectors_are_refused_before_the_students_train(registry: Registry) -> None:
    with pytest.raises(CodrunError, match=r"only answers, about texts, and is to be asked about a vector"):
        run(registry, *SMALL, "dataset={use: moons, n: 60, validation: 20}", "teacher.shots=0")
    assert Answers.ASKED == []

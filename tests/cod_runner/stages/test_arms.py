"""Arms told in full, from the recipe to what a student trains on, and to what the run says that it cost."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import opinions
import pytest
from opinions import EVALUATED, ROWS, World, edits, sentence

from cod_runner import running
from cod_runner.api import Example, LoadedData
from cod_runner.context import RunSettings, opened_run
from cod_runner.data.fewshot import TooFewOriginals, TrainingSet
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.errors import CodrunError, PluginError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.report.costs import cost_grid
from cod_runner.runs.cells import cells_of
from cod_runner.stages.additions import Additions, find_additions
from cod_runner.stages.load import load_experiment
from cod_runner.stages.originals import Orders
from cod_runner.stages.sets import draw_training_sets

RECIPE = """
recipe: 1
name: arms
dataset: films
k: [12, 24]
seeds: [0, 1]
teacher: opinions
student: opinions_student
counterfactuals: {generators: [edits]}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 1, batch_size: 12, lr: 0.01, precision: fp32}
evaluate: {metrics: [accuracy, agreement]}
"""
ISSUE = """
arms:
  plain: {}
  cod: {add: flips}
  near_miss: {add: misses}
  dropout: {add: {use: word_dropout}, keep: same}
  cod_2: {add: flips, per_original: 2}
  brackets: {add: [misses, flips]}
  unpaired: {add: flips, of: others}
  typical: {select: backwards}
  typical_cod: {select: backwards, add: flips}
  answers: {add: flips, unlabelled: {from: attempts, per_original: 8}}
  pool: {unlabelled: {from: pool, rows: 30}}
"""
Sets = dict[tuple[str, int, int], TrainingSet]


@dataclass
class Drawn:
    """What the stages before training made of a recipe."""

    sets: Sets
    found: Additions
    notes: Sequence[str]
    pool: dict[str, Example]
    evaluation: Sequence[Example]
    read: list[str] = field(default_factory=list)
    """Texts that the teacher was asked about for it, first askings alone."""

    def originals(self, arm: str, k: int = 12, seed: int = 0) -> list[str]:
        return [row.id for row in self.sets[arm, k, seed].originals]

    def by_class(self, arm: str, k: int = 12, seed: int = 0) -> list[list[str]]:
        """Ids of the originals of each class, in the order of drawing."""
        rows = self.sets[arm, k, seed].originals
        return [[row.id for row in rows if row.label == label] for label in (0, 1)]


Draw = Callable[..., Drawn]


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry.discover()
    registry.register("world", opinions.__name__, lambda: World)
    return registry


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for all tests but those that watch what the teacher reads."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def draw(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> Draw:
    """Load ``RECIPE`` with more lines, and draw its training sets."""

    def drawn(more: str, *overrides: str, store: Path = shared) -> Drawn:
        monkeypatch.setenv("CODRUN_HOME", str(store))
        path = tmp_path / "arms.yaml"
        path.write_text(RECIPE + more)
        loaded = load_recipe(path, registry, overrides=overrides)
        progress = Progress(quiet=True)
        opinions.Opinions.READ.clear()
        with opened_run(loaded, registry, RunSettings(tmp_path / "run"), progress) as context:
            experiment, teacher = load_experiment(context)
            opinions.Opinions.READ.clear()  # of tokenisations that were compared
            cells = cells_of(loaded.recipe, registry)
            found = find_additions(context, experiment, Orders(context, experiment, teacher), cells)
            sets = draw_training_sets(context, experiment, found, cells)
            read = list(opinions.Opinions.READ)
        corpus = experiment.corpus
        return Drawn(sets, found, progress.notes, {row.id: row for row in corpus.pool}, corpus.evaluation, read)

    return drawn


def read_as(text: object) -> int:
    return int(sum(opinions.WEIGHTS.get(word, 0.0) for word in str(text).split()) > 0)


# --- one run with everything ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("rendered_figures")
def test_every_arm_runs_and_every_table_says_what_it_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    (tmp_path / "arms.yaml").write_text(RECIPE + ISSUE)
    loaded = load_recipe(tmp_path / "arms.yaml", registry, overrides=["k=[12]", "seeds=[0]"])
    result = running.run(loaded, registry, RunSettings(tmp_path / "run", jobs=1), Progress(quiet=True))
    lines = [json.loads(line) for line in (tmp_path / "run" / "cells.jsonl").read_text().splitlines()]
    cells = {line["arm"]: line for line in lines}
    made = {arm: (cell["labelled"], cell["added"], cell["unlabelled"]) for arm, cell in cells.items()}
    assert made == {
        "plain": (12, 0, 0), "cod": (6, 6, 0), "near_miss": (6, 6, 0), "dropout": (6, 6, 0), "cod_2": (4, 8, 0),
        "brackets": (4, 8, 0), "unpaired": (6, 6, 0), "typical": (12, 0, 0), "typical_cod": (6, 6, 0),
        "answers": (6, 6, made["answers"][2]), "pool": (12, 0, 30),
    }  # fmt: skip
    assert 6 <= made["answers"][2] <= 48
    for cell in lines:
        assert cell["training_rows"] == cell["labelled"] + cell["added"] + cell["unlabelled"]
        assert cell["labelled"] + cell["added"] == cell["k"] == 12
        assert cell["steps"] == 1 and 0 <= cell["accuracy"] <= 1
    searched = {arm for arm, cell in cells.items() if cell["generator_calls"]}
    assert searched == set(cells) - {"plain", "typical", "pool"}
    assert cells["cod"]["usd"] == 0.25 * cells["cod"]["generator_calls"] > 0
    assert cells["dropout"]["usd"] == 0.0
    assert cells["plain"]["teacher_queries"] == 12 and cells["pool"]["teacher_queries"] == 42

    table = (tmp_path / "run" / "table.md").read_text()
    page = (tmp_path / "run" / "report.html").read_text()
    with (tmp_path / "run" / "table.csv").open() as file:
        rows = {row["arm"]: row for row in csv.DictReader(file) if row["metric"] == "accuracy"}
    for cost, words in zip(result.report.costs, cost_grid(result.report.costs)[1], strict=True):
        assert f"| {' | '.join(words)} |" in table
        assert f'<th scope="row">{cost.arm}</th>' in page
        assert float(rows[cost.arm]["teacher_queries"]) == cells[cost.arm]["teacher_queries"]
        assert float(rows[cost.arm]["unlabelled"]) == cells[cost.arm]["unlabelled"]
    assert len(result.report.costs) == len(cells) == 11
    assert (tmp_path / "run" / "figures" / "teacher_queries.png").stat().st_size > 5_000
    written = {path.name for path in (tmp_path / "run").glob("*.jsonl")}
    assert {"cells.jsonl", "counterfactuals.jsonl", "added-dropout.jsonl"} <= written


# --- what is in a set -------------------------------------------------------------------------------------------------


def test_each_arm_has_the_rows_that_it_says(draw: Draw) -> None:
    made = draw(ISSUE)
    for (arm, k, _), chosen in made.sets.items():
        by_id = {row.id: row for row in chosen.rows}
        assert len(by_id) == len(chosen.rows)
        for row in chosen.rows:
            original = made.pool[row.id.split("~")[0]]
            if row.id == original.id:
                drawn = row.id in [one.id for one in chosen.originals]
                assert row.input == original.input and row.label == (original.label if drawn else None)
            elif row.label is not None and arm != "dropout":
                assert row.label == read_as(row.input), "the teacher's word"
                assert row.is_counterfactual == (row.label != read_as(original.input))
            if row.label is not None and row.partner is not None and row.id != original.id:
                assert row.partner == original.id and by_id[original.id].partner in by_id
        labels = [row.label for row in chosen.originals]
        assert labels.count(0) == labels.count(1) == len(labels) / 2
        assert chosen.labelled + chosen.added == k
    seed = made.sets["brackets", 12, 0]
    assert [row.id.split("~")[-1] for row in seed.rows[1:3]] == ["miss", "cf"]
    assert [row.input for row in seed.rows[1:3]] == edits(str(seed.rows[0].input))[:2]
    two = made.sets["cod_2", 12, 0]
    assert [row.input for row in two.rows[1:3]] == edits(str(two.rows[0].input))[1:]
    unpaired = made.sets["unpaired", 12, 0]
    assert not {row.id.split("~")[0] for row in unpaired.rows if row.is_counterfactual} & set(
        made.originals("unpaired")
    )
    assert all(row.partner is None for row in unpaired.rows)


@pytest.mark.parametrize("same", ["", "same_originals: true\n", "same_originals: false\n"])
def test_a_smaller_k_lies_inside_a_larger_one(same: str, draw: Draw) -> None:
    made = draw(ISSUE + same)
    for arm, seed in {(arm, seed) for arm, _, seed in made.sets}:
        smaller, larger = (made.sets[arm, k, seed] for k in (12, 24))
        assert smaller.originals == larger.originals[: smaller.labelled]
        if arm != "unpaired":  # a larger set has other lenders
            mine = [row for row in smaller.rows if row.label is not None]
            assert mine == [row for row in larger.rows if row.label is not None][: len(mine)]


def test_seeds_draw_otherwise_and_a_selector_of_its_own_draws_by_it(draw: Draw) -> None:
    made = draw(ISSUE)
    assert set(made.originals("plain")) != set(made.originals("plain", seed=1))
    assert made.originals("typical") == made.originals("typical", seed=1)
    ranked = sorted((str(row.input) for row in made.pool.values() if row.label == 1), reverse=True)
    assert [made.pool[name].input for name in made.by_class("typical")[1]] == ranked[:6]
    assert [made.pool[name].input for name in made.by_class("typical_cod")[1]] == ranked[:3]


# --- the same originals -----------------------------------------------------------------------------------------------

SHARING = """
arms:
  plain: {}
  cod: {add: flips}
  copies: {add: {use: edits, never: NOUN}, keep: same}
  cod_2: {add: flips, per_original: 2}
"""


@pytest.fixture
def noun(draw: Draw) -> str:
    """A word of the first original that `plain` draws."""
    made = draw("arms: [plain]\n")
    return str(made.pool[made.originals("plain")[0]].input).split()[0]


def holding(made: Drawn, arm: str, noun: str) -> list[str]:
    """Originals of an arm with the word, over all k and seeds."""
    return [row.id for (name, _, _), chosen in made.sets.items() if name == arm for row in chosen.originals
            if noun in str(row.input).split()]  # fmt: skip


def test_with_the_same_originals_what_one_arm_cannot_use_is_dropped_from_all(draw: Draw, noun: str) -> None:
    made = draw(SHARING.replace("NOUN", noun) + "same_originals: true\n")
    for k, seed in ((12, 0), (12, 1), (24, 0), (24, 1)):
        assert made.originals("cod", k, seed) == made.originals("copies", k, seed)
        for arm, other in combinations(("plain", "cod", "copies", "cod_2"), 2):
            for ours, theirs in zip(made.by_class(arm, k, seed), made.by_class(other, k, seed), strict=True):
                both = min(len(ours), len(theirs))
                assert ours[:both] == theirs[:both]
    assert [holding(made, arm, noun) for arm in ("plain", "cod", "copies", "cod_2")] == [[], [], [], []]


def test_by_default_arms_that_add_something_share_and_plain_stands_alone(draw: Draw, noun: str) -> None:
    made = draw(SHARING.replace("NOUN", noun))
    alone = draw("arms: [plain]\n")
    for k, seed in ((12, 0), (24, 1)):
        assert made.originals("cod", k, seed) == made.originals("copies", k, seed)
        assert made.originals("plain", k, seed) == alone.originals("plain", k, seed)
    assert [bool(holding(made, arm, noun)) for arm in ("plain", "cod", "copies", "cod_2")] == [True, *[False] * 3]


def test_each_may_drop_its_own(draw: Draw, noun: str) -> None:
    made = draw(SHARING.replace("NOUN", noun) + "same_originals: false\n")
    listed = draw("arms: [plain, cod]\n")
    assert [bool(holding(made, arm, noun)) for arm in ("plain", "cod", "copies", "cod_2")] == [True, True, False, True]
    assert made.sets["cod", 24, 1].rows == listed.sets["cod", 24, 1].rows
    assert made.sets["copies", 12, 0].redrawn > 0 and made.sets["cod", 12, 0].redrawn == 0


def test_where_many_originals_fail_each_arm_says_so_once(draw: Draw, noun: str) -> None:
    shared = draw(SHARING.replace("NOUN", noun)).notes
    said = [note for note in shared if "of the originals gave" in note]
    assert [note.partition(":")[0] for note in said] == ["`cod`", "`copies`", "`cod_2`"]
    assert all("arms with the same originals" in note and "% at the least)" in note for note in said)
    alone = draw(SHARING.replace("NOUN", noun) + "same_originals: false\n").notes
    assert [note.partition(":")[0] for note in alone if "of the originals gave" in note] == ["`copies`"]
    assert not any("arms with the same originals" in note for note in alone)


def test_arms_that_share_end_short_together(draw: Draw, noun: str) -> None:
    """`on_failure: drop` leaves gaps, the same in all of them, also where another arm found the original unusable."""
    dropping = "counterfactuals={generators: [edits], on_failure: drop}"
    made = draw(SHARING.replace("NOUN", noun) + "same_originals: true\n", dropping)
    assert made.originals("cod") == made.originals("copies")
    assert len(made.originals("cod")) < 6 and made.sets["cod", 12, 0].missing > 0
    assert len(made.sets["copies", 12, 0].rows) == 2 * len(made.originals("copies"))
    assert holding(made, "plain", noun) == []


def test_running_out_of_originals_is_no_set(draw: Draw) -> None:
    with pytest.raises(TooFewOriginals, match="6 originals of the class 0 are wanted, and 0 can be used"):
        draw("arms: {x: {add: flips}}\n", "k=[24]", "counterfactuals.max_edits=0.01")


# --- unlabelled rows --------------------------------------------------------------------------------------------------


def unlabelled(chosen: TrainingSet) -> list[Example]:
    return [row for row in chosen.rows if row.label is None]


def test_the_answers_of_the_search_are_rows_without_a_label_beside_k(draw: Draw) -> None:
    asking = "counterfactuals={generators: [{use: edits, asks: true}]}"
    made = draw(
        "arms: {cod: {add: flips}, answers: {add: flips, unlabelled: {from: attempts, per_original: 3}}}\n", asking
    )
    held_out = NearDuplicates(made.evaluation)
    for k, seed in ((12, 0), (24, 1)):
        chosen = made.sets["answers", k, seed]
        own = made.sets["cod", k, seed]
        assert chosen.rows[:k] == own.rows, "k is what it is without them"
        more = unlabelled(chosen)
        assert len(more) == chosen.unlabelled == len(chosen.rows) - k
        for original in chosen.originals:
            texts = [row.input for row in more if row.id.startswith(f"{original.id}~")]
            miss, flip, other = edits(str(original.input))
            there = [f"{original.input} once", f"{original.input} twice", miss, flip, other]
            taken = {row.input for row in own.rows}
            wanted = [text for text in there if text not in taken and held_out.nearest(text, original.input) is None]
            assert texts == wanted[:3]
        assert all(row.partner is None and not row.is_counterfactual for row in more)
        assert chosen.cost == own.cost, "the teacher was asked about them anyway"


def test_no_row_is_one_that_students_are_measured_on(draw: Draw) -> None:
    """A flip of row 0, and what the generator asks about for row 1, are evaluation rows: neither is trained on."""
    asking = "counterfactuals={generators: [{use: edits, asks: true}]}"
    answers = "answers: {add: flips, unlabelled: {from: attempts, per_original: 9}}"
    arms = f"arms: {{{answers}, more: {{unlabelled: {{from: edits, per_original: 9}}}}}}\n"
    made = draw(arms, asking, "k=[12]", "seeds=[340]")
    measured = {row.input for row in made.evaluation}
    for chosen in made.sets.values():
        assert {"train:0", "train:1"} <= {row.id for row in chosen.originals}, "this seed draws both"
    trained_on = {row.input for chosen in made.sets.values() for row in chosen.rows}
    assert edits(sentence(0))[1] in measured and f"{sentence(1)} once" in measured
    assert not trained_on & measured
    reasons = made.found.counterfactuals["train:0"].reasons
    assert reasons["evaluation_row"] == 1
    (searched,) = [one for one in made.found.searches if one.name == "unlabelled-more"]
    assert searched.search.outcomes["train:0"].reasons == {"evaluation_row": 1}


def test_rows_of_the_pool_are_others_than_the_originals_and_lose_their_label(draw: Draw) -> None:
    made = draw("arms: {pool: {unlabelled: {from: pool, rows: 30}}, all: {unlabelled: {from: pool, rows: 9999}}}\n")
    for seed in (0, 1):
        chosen = made.sets["pool", 24, seed]
        more = unlabelled(chosen)
        assert len(more) == 30 and len(chosen.rows) == 54
        assert not {row.id for row in more} & set(made.originals("pool", 24, seed))
        assert all(made.pool[row.id].input == row.input for row in more)
        assert not {row.input for row in more} & {row.input for row in made.evaluation}
    assert unlabelled(made.sets["pool", 12, 0]) != unlabelled(made.sets["pool", 12, 1])
    assert made.sets["all", 12, 0].unlabelled == ROWS - 12, "as many as there are"
    assert made.sets["pool", 12, 0].cost.teacher_queries == 42


def test_rows_that_have_no_label_are_drawn_before_those_of_the_pool(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = "arms: {plain: {}, pool: {unlabelled: {from: pool, rows: 30}}, few: {unlabelled: {from: pool, rows: 5}}}\n"
    before = draw(arms)
    load = opinions.Films.load
    unread = [Example(f"train:{number}", f"unread {sentence(number)}") for number in range(ROWS + 50, ROWS + 62)]

    def with_unlabelled(self: opinions.Films) -> LoadedData:
        data = load(self)
        return LoadedData(data.labels, {**data.splits, "train": [*data.splits["train"], *unread]})

    monkeypatch.setattr(opinions.Films, "load", with_unlabelled)
    made = draw(arms, store=tmp_path / "store")
    for seed in (0, 1):
        assert made.sets["plain", 12, seed] == before.sets["plain", 12, seed]
        more = [row.id for row in unlabelled(made.sets["pool", 12, seed])]
        assert set(more[:12]) == {row.id for row in unread} and len(more) == 30
        assert more[12:] == [row.id for row in unlabelled(before.sets["pool", 12, seed])][:18]
    few = [[row.id for row in unlabelled(made.sets["few", 12, seed])] for seed in (0, 1)]
    assert set(few[0]) | set(few[1]) <= {row.id for row in unread} and few[0] != few[1]


def test_a_generator_makes_rows_without_a_label_whatever_the_teacher_says(draw: Draw) -> None:
    made = draw("arms: {more: {unlabelled: {from: edits, per_original: 2}}}\n")
    chosen = made.sets["more", 12, 0]
    more = unlabelled(chosen)
    assert len(more) == 2 * 12 and chosen.labelled == 12
    for original in chosen.originals:
        texts = {row.input for row in more if row.id.startswith(f"{original.id}~new")}
        assert len(texts) == 2 and texts < set(edits(str(original.input)))
    assert chosen.cost.generator_calls == 3 * 12 and chosen.cost.usd == 0.25 * 36


# --- what is counted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arm",
    [
        "{}",
        "{add: flips}",
        "{add: [misses, flips], per_original: 1}",
        "{add: flips, of: others}",
        "{add: {use: edits, asks: true, never: film}, keep: same}",
        "{select: {use: backwards, asks: 7}}",
        "{select: {use: backwards, asks: 7}, balanced: false, add: flips}",
        "{add: flips, choose: {use: last, asks: true}}",
        "{add: flips, unlabelled: {from: attempts, per_original: 2}}",
        "{unlabelled: {from: pool, rows: 9}}",
        "{add: misses, unlabelled: {from: word_dropout, per_original: 2}}",
    ],
)
def test_queries_are_the_distinct_texts_that_the_teacher_reads(arm: str, draw: Draw, tmp_path: Path) -> None:
    """Of one arm at one k and seed: what the teacher read until then, and the rows, which it reads before training."""
    made = draw(f"arms: {{x: {arm}}}\n", "k=[12]", "seeds=[0]", store=tmp_path / "store")
    (chosen,) = made.sets.values()
    read = {*made.read, *(row.input for row in chosen.rows)} - {"a list of words"}
    assert chosen.cost.teacher_queries == len(read)


def test_what_is_asked_for_nobody_in_particular_is_counted_for_the_run(draw: Draw, tmp_path: Path) -> None:
    made = draw("arms: {x: {add: {use: edits, asks: true}}}\n", "k=[12]", "seeds=[0]", store=tmp_path / "store")
    (searched,) = made.found.searches
    assert "a list of words" in made.read
    assert searched.search.shared_queries == 1


def test_a_second_run_counts_what_the_first_one_paid_for(draw: Draw, tmp_path: Path) -> None:
    arms = "arms: {x: {add: flips, unlabelled: {from: attempts, per_original: 2}}}\n"
    first, again = draw(arms, store=tmp_path / "store"), draw(arms, store=tmp_path / "store")
    assert first.read and again.read == [], "everything was stored"
    assert {place: chosen.cost for place, chosen in again.sets.items()} == {
        place: chosen.cost for place, chosen in first.sets.items()
    }
    assert first.sets["x", 12, 0].cost.generator_calls == 18


def test_two_generators_of_one_arm_give_examples_of_different_ids(draw: Draw) -> None:
    copies = "x: {add: [{use: word_dropout, share: 0.2}, {use: word_dropout, share: 0.4}], keep: same, per_original: 2}"
    flips = "y: {add: [flips, {use: edits, asks: true}]}"
    made = draw(f"arms: {{{copies}, {flips}}}\n", "k=[60]", "train.batch_size=60")
    for row in made.sets["x", 60, 0].originals:
        ids = [one.id for one in made.sets["x", 60, 0].rows if one.partner == row.id]
        assert ids == [f"{row.id}~{end}" for end in ("copy", "copy2", "copy3", "copy4")]
    assert [row.id.split("~")[1:] for row in made.sets["y", 60, 1].rows[:3]] == [[], ["cf"], ["cf2"]]


def test_originals_that_were_passed_over_cost_too(draw: Draw, noun: str) -> None:
    plainly = draw("arms: {x: {add: edits, keep: same}}\n")
    passing = draw(f"arms: {{x: {{add: {{use: edits, never: {noun}}}, keep: same}}}}\n")
    redrawn = passing.sets["x", 12, 0].redrawn
    assert redrawn > 0
    assert passing.sets["x", 12, 0].cost.teacher_queries == plainly.sets["x", 12, 0].cost.teacher_queries + redrawn


def test_an_unknown_price_is_not_0(draw: Draw) -> None:
    made = draw("arms: {x: {add: {use: edits, usd: null}}, y: {add: flips}}\n")
    assert made.sets["x", 12, 0].cost.usd is None
    assert made.sets["y", 12, 0].cost.usd == 0.25 * made.sets["y", 12, 0].cost.generator_calls


def test_what_an_encoder_embedded_is_counted(draw: Draw) -> None:
    made = draw("arms: {x: {select: {use: backwards, asks: 3}}, y: {}}\n")
    assert made.sets["x", 24, 1].cost.embedded == ROWS
    assert made.sets["x", 24, 1].cost.teacher_queries in range(24, 31), "three of each class, some of them drawn"
    assert made.sets["y", 24, 1].cost.embedded == 0


# --- selectors and choosers -------------------------------------------------------------------------------------------


def test_a_chooser_decides_which_candidate_is_added(draw: Draw) -> None:
    made = draw("arms: {usual: {add: flips}, last: {add: flips, choose: last}}\n")
    usual, last = made.sets["usual", 12, 0], made.sets["last", 12, 0]
    assert usual.originals == last.originals
    for place in range(0, 12, 2):
        _, by_edits, other = edits(str(usual.rows[place].input))
        assert (usual.rows[place + 1].input, last.rows[place + 1].input) == (by_edits, other)
        assert last.rows[place + 1].label == 1 - read_as(last.rows[place].input)
        assert last.rows[place].partner == last.rows[place + 1].id


def test_a_chooser_may_ask_a_student_that_was_trained_on_the_originals(draw: Draw) -> None:
    heard = []
    for steps in (1, 40):
        draw(f"arms: {{x: {{add: flips, choose: {{use: last, steps: {steps}}}}}}}\n", "k=[12]", "seeds=[0]")
        heard.append(list(opinions.Last.HEARD))
    briefly, longer = heard
    assert len(briefly) == len(longer) == 6
    assert all(sum(each) == pytest.approx(1) for each in briefly)
    assert briefly != longer


def test_sets_that_do_not_nest_are_named(draw: Draw) -> None:
    made = draw("arms: {plain: {}, x: {select: by_size}, y: {add: flips, choose: last}}\n")
    assert sorted(note for note in made.notes if "not a part of it" in note) == [
        "`x` at a smaller k is not a part of it at a larger one: the selector `by_size` looks at the whole set",
        "`y` at a smaller k is not a part of it at a larger one: the chooser `last` looks at the whole set",
    ]
    assert not set(made.by_class("x", 12)[0]) & set(made.by_class("x", 24)[0][:3]), "another order for each size"
    assert not any("not a part of it" in note for note in draw("arms: {x: {select: by_size}}\n", "k=[12]").notes)


def test_a_selector_that_forgets_a_row_is_named(draw: Draw) -> None:
    with pytest.raises(PluginError, match=r"the selector `backwards` \(world\) ranked 59 of 60 rows: a bug in"):
        draw("arms: {x: {select: {use: backwards, broken: true}}}\n")


def test_a_chooser_that_ranks_what_is_not_there_is_named(draw: Draw) -> None:
    with pytest.raises(PluginError, match=r"the chooser `last` \(world\) ranked a position, `99` \(int\), that there"):
        draw("arms: {x: {add: flips, choose: {use: last, broken: true}}}\n")


def test_a_pool_that_is_too_small_for_others_is_named_at_k(draw: Draw) -> None:
    with pytest.raises(CodrunError, match=r"k=132 needs 66 originals of each class, .* 60 of the class `negative`"):
        draw("arms: {x: {add: flips, of: others}}\n", "k=[132]")


def test_the_evaluation_rows_are_what_the_world_says(draw: Draw) -> None:
    made = draw("arms: [plain]\n")
    assert (len(made.pool), len(made.evaluation)) == (ROWS, EVALUATED + 2)

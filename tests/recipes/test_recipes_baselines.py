"""The baselines as recipes: that they resolve, and that each trains on what its comment says, on tiny models, a tiny
masked language model and a local server in the place of a hosted one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from cod_runner import algorithm
from cod_runner.api import Example, Input
from cod_runner.cli import call
from cod_runner.data.fewshot import TrainingSet
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.testing.llm_server import Call, LLMServer
from cod_runner.testing.tiny_models import tiny_bert

RECIPES = Path(__file__).parents[2] / "recipes"
BASELINES = RECIPES / "baselines"
OURS = {
    "near_miss": ["near_miss"],
    "word_dropout": ["dropout_15", "dropout_30", "dropout_50"],
    "masked_lm": ["infill_same", "infill_any"],
    "paraphrase": ["paraphrase"],
    "gal": ["gal", "gal_added"],
    "adversarial": ["step", "crossing"],
    "pool": ["pool", "answers"],
    "pairs": ["cod_2", "brackets", "unpaired"],
    "disagreement": ["disagreement"],
}
"""The arms of each of these recipes besides `plain` and `cod`; other recipes of the folder have tests of their own."""
LABELS = ("negative", "positive")
GOOD, BAD = ("great", "funny", "lovely", "good"), ("awful", "boring", "terrible", "bad")
PLAIN_WORDS = (
    "film story cast script ending music scene actor camera plot house river summer winter train letter doctor child "
    "city garden voice night morning table window street island teacher horse engine market bridge painter mirror"
).split()


def sentence(dice: random.Random, label: int, words: int = 8) -> str:
    """Random nouns around one word of opinion, so that no two rows are near to each other."""
    drawn = dice.sample(PLAIN_WORDS, words)
    drawn.insert(dice.randrange(words), dice.choice((BAD, GOOD)[label]))
    return "the " + " ".join(drawn)


def edits_of(text: str) -> list[str]:
    """Two texts of the other class, changed at different words, and one of the same class."""
    opposite = dict(zip((*GOOD, *BAD), (*BAD, *GOOD), strict=True))
    (opinion,) = set(text.split()) & set(opposite)
    first, last = opposite[opinion], text.split()[-1]
    return [
        text.replace(opinion, first),
        text.replace("the ", f"{first} {first} {first} {first} ", 1),
        text.replace(last, "shadow") if last != opinion else text.replace("the ", "shadow "),
    ]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


@pytest.mark.parametrize("name", OURS)
def test_a_baseline_adds_its_arms_to_what_all_of_them_share(registry: Registry, name: str) -> None:
    recipe = load_recipe(BASELINES / f"{name}.yaml", registry).recipe
    assert recipe.name == f"baseline_{name}"
    assert list(recipe.arms) == ["plain", "cod", *OURS[name]]
    assert [[loss.use for loss in losses] for losses in recipe.methods.values()] == [["hard", "kd"]]
    assert len(recipe.seeds) == 8 and recipe.evaluate.split == "dev"
    student = recipe.student.options
    assert student["model"].startswith("package:") and student["layers_from_teacher"] is None, "raw blocks"


def test_the_rows_that_the_evidence_is_tested_on_are_held_out_here_too(registry: Registry) -> None:
    ours = load_recipe(BASELINES / "near_miss.yaml", registry).recipe.dataset
    evidence = load_recipe(RECIPES / "evidence" / "rotten_tomatoes.yaml", registry).recipe.dataset
    assert ours == evidence


@dataclass(frozen=True)
class Laboratory:
    """Data and tiny models in the place of the recipes' own; one store, so that the teacher is trained once."""

    folder: Path

    def overrides(self) -> list[str]:
        data = {
            "use": "csv", "path": str(self.folder / "rows.csv"), "text": "text", "label": "label",
            "labels": list(LABELS), "hold_out": {"dev": {"of": "train", "rows": 20}},
        }  # fmt: skip
        return [
            f"dataset={json.dumps(data)}",
            f"teacher.model={self.folder / 'tiny'}",
            "teacher.finetune={rows: 200, steps: 50, lr: 5.0e-3, batch_size: 16, precision: fp32}",
            "teacher.max_length=64",
            f"student.model={self.folder / 'tiny'}",
            "student.layers=[1]",
            "train.steps=2",
        ]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("laboratory")
    dice = random.Random(0)
    rows = [(sentence(dice, label), label) for _ in range(130) for label in (0, 1)]
    lines = [f"{text},{LABELS[label]}" for text, label in rows]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    pairs = [json.dumps({"original": text, "counterfactual": each}) for text, _ in rows for each in edits_of(text)]
    (folder / "pairs.jsonl").write_text("\n".join(pairs))
    tiny_bert(folder / "tiny", [text for text, _ in rows], num_hidden_layers=1, initializer_range=0.1)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder / "infiller")
    tokenizer.save_pretrained(folder / "infiller")
    return Laboratory(folder)


def answered(call: Call) -> str:
    """What the language model answers: the text with its nouns exchanged, or another text."""
    asked = json.loads(call.prompt)
    assert set(asked) <= {"text", "tried"}
    dice = random.Random(json.dumps([call.body["seed"], call.body["temperature"], asked]))
    if "in other words" in call.body["messages"][0]["content"]:
        kept = set(asked["text"].split()) - set(PLAIN_WORDS)
        return json.dumps(
            {"rewritten": " ".join(w if w in kept else dice.choice(PLAIN_WORDS) for w in asked["text"].split())}
        )
    return json.dumps({"output": sentence(dice, dice.randrange(2))})


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer(answered) as running:
        yield running


@dataclass
class Seen:
    """A training set, and what the teacher and the data say of its rows."""

    rows: Sequence[Example]
    originals: Sequence[Example]
    read_as: dict[Input, int]

    @property
    def added(self) -> list[Example]:
        of_originals = {original.id for original in self.originals}
        return [row for row in self.rows if row.label is not None and row.id not in of_originals]

    @property
    def unlabelled(self) -> list[Example]:
        return [row for row in self.rows if row.label is None]

    def original_of(self, row: Example) -> Example:
        return next(each for each in self.originals if row.id.startswith(f"{each.id}~"))


@dataclass
class Run:
    """What a run of one recipe left."""

    sets: dict[str, Seen]
    cells: dict[str, dict[str, Any]]


@pytest.fixture
def run(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    def ran(name: str, *overrides: str) -> Run:
        monkeypatch.setenv("CODRUN_HOME", str(laboratory.folder / "store"))
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two of them wait for each other on a busy machine
        seen: dict[str, Seen] = {}
        draw = algorithm.draw_training_sets

        def drawing(context: Any, experiment: Any, found: Any, cells: Any) -> dict[tuple[str, int, int], TrainingSet]:
            sets = draw(context, experiment, found, cells)
            for (arm, _, _), chosen in sets.items():
                texts = [row.input for row in chosen.rows]
                read = {text: p.index(max(p)) for text, p in zip(texts, found.orders.view.score(texts), strict=True)}
                seen[arm] = Seen(chosen.rows, chosen.originals, read)
            return sets

        monkeypatch.setattr(algorithm, "draw_training_sets", drawing)
        command = [str(BASELINES / f"{name}.yaml"), "--seeds", "100", "--arms", ",".join(OURS[name])]
        command += ["--out", str(tmp_path / "run"), "--jobs", "1", "--quiet"]
        command += [word for each in (*laboratory.overrides(), *overrides) for word in ("--set", each)]
        assert call(command) == 0, capsys.readouterr().err
        lines = [json.loads(line) for line in (tmp_path / "run" / "cells.jsonl").read_text().splitlines()]
        assert [line["arm"] for line in lines] == OURS[name]
        return Run(seen, {line["arm"]: line for line in lines})

    return ran


def counts(run: Run, arm: str) -> tuple[int, int, int]:
    """Originals, texts added with a label, and texts without one, as the run's own file says."""
    cell, seen = run.cells[arm], run.sets[arm]
    found = (cell["labelled"], cell["added"], cell["unlabelled"])
    assert found == (len(seen.originals), len(seen.added), len(seen.unlabelled))
    assert cell["training_rows"] == sum(found)
    return found


def assert_read_as_its_original(seen: Seen) -> None:
    for row in seen.added:
        original = seen.original_of(row)
        assert row.input != original.input and not row.is_counterfactual
        assert row.label == original.label


def test_near_misses_are_of_the_search_and_do_not_flip(run: Any) -> None:
    ran = run("near_miss")
    assert counts(ran, "near_miss") == (8, 8, 0)
    seen = ran.sets["near_miss"]
    for row in seen.added:
        assert seen.read_as[row.input] == row.label and not row.is_counterfactual
        assert row.input != seen.original_of(row).input


def test_word_dropout_omits_more_and_more(run: Any) -> None:
    ran = run("word_dropout")
    for arm, omitted in (("dropout_15", 2), ("dropout_30", 3), ("dropout_50", 5)):
        assert counts(ran, arm) == (8, 8, 0)
        assert_read_as_its_original(ran.sets[arm])
        for row in ran.sets[arm].added:
            before = str(ran.sets[arm].original_of(row).input).split()
            assert len(before) - len(str(row.input).split()) == omitted


def test_infilling_keeps_the_label_or_takes_the_teachers_word(run: Any, laboratory: Laboratory) -> None:
    model = laboratory.folder / "infiller"
    ran = run("masked_lm", f"arms.infill_same.add.model={model}", f"arms.infill_any.add.model={model}")
    for arm in OURS["masked_lm"]:
        assert counts(ran, arm) == (8, 8, 0)
        for row in ran.sets[arm].added:
            before = str(ran.sets[arm].original_of(row).input).split()
            changed = sum(old != new for old, new in zip(before, str(row.input).split(), strict=True))
            assert changed == 3, "three of ten words"
    assert_read_as_its_original(ran.sets["infill_same"])
    seen = ran.sets["infill_any"]
    assert all(row.label == seen.read_as[row.input] for row in seen.added)


def test_paraphrases_keep_the_label_and_the_prompt_names_none(run: Any, server: LLMServer) -> None:
    local = ("arms.paraphrase.add.model=openai/tiny", f"arms.paraphrase.add.api_base={server.api_base}")
    ran = run("paraphrase", *local, "counterfactuals.budget.usd=null")
    assert counts(ran, "paraphrase") == (8, 8, 0)
    assert_read_as_its_original(ran.sets["paraphrase"])
    assert ran.cells["paraphrase"]["generator_calls"] == len(server.calls)
    assert_no_class_is_named(server)


def test_new_texts_have_the_teachers_word_alone_and_the_prompt_names_no_class(run: Any, server: LLMServer) -> None:
    at = ("gal.unlabelled.from", "gal_added.add")
    local = [f"arms.{place}.model=openai/tiny" for place in at]
    local += [f"arms.{place}.api_base={server.api_base}" for place in at]
    ran = run("gal", *local, "counterfactuals.budget.usd=null")
    assert counts(ran, "gal") == (16, 0, 64)
    assert counts(ran, "gal_added") == (8, 8, 0)
    seen = ran.sets["gal_added"]
    assert all(row.label == seen.read_as[row.input] for row in seen.added)
    assert {seen.read_as[row.input] for row in seen.added} == {0, 1}
    assert_no_class_is_named(server)


def assert_no_class_is_named(server: LLMServer) -> None:
    assert server.calls
    for one in server.calls:
        sent = " ".join(message["content"] for message in one.body["messages"])
        assert not any(word in sent for word in (*LABELS, "praise", "fault"))


def test_adversarial_steps_take_the_teachers_word_or_cross(run: Any) -> None:
    ran = run("adversarial")
    for arm in OURS["adversarial"]:
        assert counts(ran, arm) == (8, 8, 0)
        seen = ran.sets[arm]
        assert all(row.label == seen.read_as[row.input] for row in seen.added)
        assert all(row.input != seen.original_of(row).input for row in seen.added)
    crossing = ran.sets["crossing"]
    for row in crossing.added:
        assert row.is_counterfactual and row.label != crossing.read_as[crossing.original_of(row).input]


def test_the_ceiling_reads_the_pool_and_answers_are_those_of_the_search(run: Any) -> None:
    ran = run("pool", "arms.pool.unlabelled.rows=50")
    assert counts(ran, "pool") == (16, 0, 50)
    originals, added, unlabelled = counts(ran, "answers")
    assert (originals, added) == (8, 8) and 8 <= unlabelled <= 64
    seen = ran.sets["answers"]
    of_each = [seen.original_of(row).id for row in seen.unlabelled]
    assert max(map(of_each.count, set(of_each))) <= 8
    taken = {row.input for row in (*seen.originals, *seen.added)}
    assert not taken & {row.input for row in seen.unlabelled}


def test_pairs_are_of_three_of_two_sides_and_of_others(run: Any, laboratory: Laboratory) -> None:
    ran = run("pairs", f"counterfactuals.generators=[{{use: precomputed, path: {laboratory.folder / 'pairs.jsonl'}}}]")
    assert [counts(ran, arm) for arm in OURS["pairs"]] == [(8, 16, 0), (8, 16, 0), (12, 12, 0)]
    two, brackets, unpaired = (ran.sets[arm] for arm in OURS["pairs"])
    for row in two.added:
        assert row.is_counterfactual and row.label == two.read_as[row.input] != two.original_of(row).label
    for original in brackets.originals:
        beside = [row for row in brackets.added if brackets.original_of(row) == original]
        assert sorted(row.is_counterfactual for row in beside) == [False, True]
        assert all(row.label == brackets.read_as[row.input] for row in beside)
        assert len({row.label for row in beside}) == 2, "one on each side"
    own = {original.id for original in unpaired.originals}
    assert all(row.is_counterfactual for row in unpaired.added)
    assert not own & {row.id.rpartition("~")[0] for row in unpaired.added}


def test_disagreement_chooses_among_the_flips(run: Any) -> None:
    ran = run("disagreement")
    assert counts(ran, "disagreement") == (8, 8, 0)
    seen = ran.sets["disagreement"]
    for row in seen.added:
        assert row.is_counterfactual and row.label == seen.read_as[row.input] != seen.original_of(row).label


@pytest.mark.parametrize("name", ["sentence_encoder", "setfit"])
def test_a_sentence_encoder_is_distilled_or_trains_itself_on_the_same_sets(
    laboratory: Laboratory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    if name == "setfit":
        pytest.importorskip("setfit", reason='needs `pip install "codrun[setfit]"`')
    monkeypatch.setenv("CODRUN_HOME", str(laboratory.folder / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [str(BASELINES / f"{name}.yaml"), "--seeds", "100", "--k", "16", "--out", str(tmp_path / "run")]
    command += [word for each in (*laboratory.overrides(), "student.pooling=mean") for word in ("--set", each)]
    assert call([*command, "--jobs", "1", "--quiet"]) == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "run" / "cells.jsonl").read_text().splitlines()]
    found = [(line["method"], line["arm"], line["training_rows"], line["labelled"], line["added"]) for line in lines]
    methods = ["kd", "hard"] if name == "sentence_encoder" else ["hard"]
    rows = {"plain": (16, 16, 0), "cod": (16, 8, 8)}
    assert found == [(method, arm, *rows[arm]) for method in methods for arm in rows]
    steps = 2 if name == "sentence_encoder" else 2 * 20 * 16 // 16
    assert {line["steps"] for line in lines} == {steps}
    saved = tmp_path / "run" / "students" / "hard-cod-k16-s100"
    assert (saved / "1_Pooling" / "config.json").is_file()


def test_the_two_sentence_encoders_are_compared_on_one_footing(registry: Registry) -> None:
    ours, setfit = (load_recipe(BASELINES / f"{name}.yaml", registry).recipe for name in ("sentence_encoder", "setfit"))
    assert list(ours.methods) == ["kd", "hard"] and list(setfit.methods) == ["hard"]
    assert ours.student.options["model"] == setfit.student.options["model"]
    assert ours.student.options["pooling"] == setfit.student.options["pooling"] == "auto"
    assert ours.student.options["layers"] is None and setfit.student.options["layers"] is None
    for name in ("k", "seeds", "dataset", "teacher", "counterfactuals", "arms", "evaluate"):
        assert getattr(ours, name) == getattr(setfit, name)

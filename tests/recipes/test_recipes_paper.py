"""The paper's tables as recipes: what they resolve to, what they cost, and one of them from its file to its table."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from cod_runner.cli import call
from cod_runner.plan import plan_of
from cod_runner.recipe import load_recipe
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.report.published import PublishedNumber, compare_published, read_published
from cod_runner.runs.cells import cells_of
from cod_runner.runs.reading import read_run
from cod_runner.testing.llm_server import Call, LLMServer
from cod_runner.testing.tiny_models import tiny_deberta

RECIPES = Path(__file__).parents[2] / "recipes"
PAPER = RECIPES / "paper"
PUBLISHED = PAPER / "published.csv"
SETS = ("amazon", "cola", "imdb", "sent140", "sst2", "yelp")
FAMILIES = {
    "main": SETS,
    "ted": tuple(name for name in SETS if name != "sent140"),
    "xsmall": SETS,
    "qwen": SETS,
    "qwen_lwd": ("sst2",),
    "soft_labels": ("sst2",),
    "prompts": ("sst2_brief", "sst2_generic", "sst2_sentiment", "sst2_words"),
}
OURS = [f"{family}_{name}" for family, names in FAMILIES.items() for name in names]
PROTOCOLS = (None, "scripts")
SHIPPED = sorted(path for path in RECIPES.rglob("*.yaml") if not path.name.startswith("_"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture
def resolved(registry: Registry) -> Any:
    def resolve(name: str, profile: str | None = None) -> Recipe:
        return load_recipe(PAPER / f"{name}.yaml", registry, profile=profile).recipe

    return resolve


def weights(recipe: Recipe) -> dict[str, list[tuple[str, float]]]:
    return {method: [(term.use, term.weight) for term in terms] for method, terms in recipe.methods.items()}


def generator(recipe: Recipe) -> dict[str, Any]:
    assert recipe.counterfactuals is not None
    (one,) = recipe.counterfactuals.generators
    assert one.use == "litellm", "a failure to flip is redrawn, never handed to another generator"
    return one.options


def test_the_folder_holds_the_recipes_that_are_tested_here() -> None:
    assert {path.stem for path in PAPER.glob("[!_]*.yaml")} == set(OURS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_shipped_recipe_plans(registry: Registry, path: Path, tmp_path: Path) -> None:
    loaded = load_recipe(path, registry)
    plan = plan_of(loaded, registry, tmp_path / "run")
    assert plan.cells
    assert plan.done == 0
    asked = [use for _, _, use in loaded.recipe.generators() if use.use == "litellm"]
    assert len(plan.calls) == len(asked)
    for use, estimate in zip(asked, plan.calls, strict=True):
        assert 0 < estimate.calls_low <= estimate.calls_high
        assert (estimate.usd_low is None) == (use.options["api_base"] is not None), "hosted models have a price"


@pytest.mark.parametrize("profile", PROTOCOLS)
@pytest.mark.parametrize("name", OURS)
def test_a_plan_is_priced_within_its_budget(registry: Registry, name: str, profile: str | None, tmp_path: Path) -> None:
    loaded = load_recipe(PAPER / f"{name}.yaml", registry, profile=profile)
    plan = plan_of(loaded, registry, tmp_path / "run")
    assert len(plan.cells) == len(loaded.recipe.methods) * 2 * 6 * 5
    (estimate,) = plan.calls
    found = loaded.recipe.counterfactuals
    assert found is not None
    assert found.budget is not None and found.budget.calls is not None and found.budget.usd is not None
    assert estimate.model == "gpt-4o-2024-11-20"
    assert estimate.calls_low == 5 * 512 // 2
    assert estimate.calls_high == estimate.calls_low * (5 if profile is None else 1)
    assert estimate.calls_high <= found.budget.calls
    assert estimate.usd_low is not None and estimate.usd_high is not None
    assert 0.5 < estimate.usd_low <= estimate.usd_high <= found.budget.usd


@pytest.mark.parametrize("profile", PROTOCOLS)
@pytest.mark.parametrize("name", SETS)
def test_the_main_table_has_exactly_the_published_cells(
    resolved: Any, registry: Registry, name: str, profile: str | None
) -> None:
    published = {number.place for number in read_published(PUBLISHED) if number.dataset == name}
    recipe = resolved(f"main_{name}", profile)
    cells = cells_of(recipe, registry)
    assert {(cell.method, cell.arm, cell.k) for cell in cells} == published
    assert len({cell.key for cell in cells}) == len(published) * 5
    models = {(number.teacher, number.student) for number in read_published(PUBLISHED)}
    assert models == {(recipe.teacher.options["model"], recipe.student.options["model"])}


HARD, KD = ("hard", 1.0), ("kd", 20.0)


@pytest.mark.parametrize(
    ("name", "profile", "methods"),
    [
        ("main_yelp", None, {"kd": [HARD, KD], "lwd": [HARD, KD, ("lwd", 20.0)]}),
        ("main_yelp", "scripts", {"kd": [HARD, KD], "lwd": [HARD, KD, ("lwd", 20.0)]}),
        ("xsmall_cola", None, {"kd": [HARD, KD], "lwd": [HARD, KD, ("lwd", 20.0)]}),
        ("ted_imdb", None, {"ted": [HARD, KD, ("ted", 20.0)]}),
        ("ted_imdb", "scripts", {"ted": [HARD, KD, ("ted", 20.0)]}),
        ("qwen_sent140", None, {"kd": [HARD, KD]}),
        ("qwen_lwd_sst2", None, {"kd": [HARD, KD], "lwd": [HARD, KD, ("lwd", 5.0)]}),
        ("qwen_lwd_sst2", "scripts", {"kd": [HARD, KD], "lwd": [HARD, KD, ("lwd", 0.05)]}),
        ("prompts_sst2_words", None, {"kd": [HARD, KD]}),
        (
            "soft_labels_sst2",
            None,
            {
                "kd": [HARD, KD],
                "soft": [("soft", 1.0)],
                "random_soft": [("random_soft", 1.0)],
                "hard_random_soft": [HARD, ("random_soft", 20.0)],
            },
        ),
    ],
)
def test_methods_and_weights_are_the_papers(resolved: Any, name: str, profile: str | None, methods: Any) -> None:
    recipe = resolved(name, profile)
    assert weights(recipe) == methods
    for terms in recipe.methods.values():
        for term in terms:
            if term.use == "kd":
                assert term.options["temperature"] == 2
            if term.use == "lwd" and name.startswith("qwen"):
                assert [tuple(pair) for pair in term.options["layers"]] == [(6, 7), (12, 14), (18, 21), (24, 28)]
            if term.use == "ted":
                assert (term.options["filter"], term.options["filter_epochs"], term.options["filter_lr"]) == (
                    "linear", 50, 2e-5,
                )  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_as_the_paper_says(resolved: Any, name: str) -> None:
    recipe = resolved(name)
    finetune, train, found = recipe.teacher.finetune, recipe.train, recipe.counterfactuals
    assert (finetune.epochs, finetune.lr, finetune.batch_size) == (8, 2e-5, 32)
    assert finetune.rows > 4_000_000, "the whole training set, Amazon's too"
    assert (train.epochs, train.batch_size) == (10, 16 if name.startswith("qwen") else 8)
    assert 1e-5 <= train.lr <= 5e-5
    for settings in (finetune, train):
        assert (settings.optimiser, settings.betas, settings.eps) == ("adam", (0.9, 0.98), 1e-6)
        assert (settings.weight_decay, settings.warmup) == (0, 0)
    assert (found.verify, found.base_label, found.on_failure) == (True, "teacher", "redraw")
    assert (generator(recipe)["temperature"], generator(recipe)["candidates"]) == (0, [1, 4])
    assert (recipe.evaluate.split, recipe.evaluate.select) == ("validation", "last")


@pytest.mark.parametrize("name", OURS)
def test_as_its_scripts_did(resolved: Any, name: str) -> None:
    recipe = resolved(name, "scripts")
    finetune, train, found = recipe.teacher.finetune, recipe.train, recipe.counterfactuals
    qwen = name.startswith("qwen")
    assert (finetune.rows, finetune.epochs, finetune.lr) == (5000, 6, 2e-5)
    assert (finetune.batch_size, finetune.accumulation) == ((4, 2) if qwen else (8, 1))
    assert finetune.gradient_checkpointing == qwen
    assert (train.epochs, train.lr) == ((50, 2e-5) if qwen else (40 if name.startswith("ted") else 100, 6e-5))
    for settings in (finetune, train):
        assert (settings.optimiser, settings.betas, settings.eps) == ("adamw", (0.9, 0.999), 1e-8)
        assert (settings.schedule, settings.warmup, settings.weight_decay) == ("linear", 0, 0)
    assert (found.verify, found.base_label) == (False, "gold")
    assert (generator(recipe)["temperature"], generator(recipe)["candidates"]) == (0, [1])
    assert recipe.evaluate.select == "best_reported"


@pytest.mark.parametrize("name", OURS)
def test_a_hundred_epochs_leave_the_data_and_the_evaluation_as_the_paper_has_them(resolved: Any, name: str) -> None:
    recipe, paper = resolved(name, "hundred_epochs"), resolved(name)
    train = recipe.train
    assert (train.epochs, train.lr) == (100, 2e-5 if name.startswith("qwen") else 6e-5)
    assert (train.optimiser, train.betas, train.eps) == ("adamw", (0.9, 0.999), 1e-8)
    assert (train.schedule, train.weight_decay, train.batch_size) == ("linear", 0, paper.train.batch_size)
    assert recipe.counterfactuals.verify and recipe.evaluate.select == "last"
    assert recipe.model_copy(update={"train": paper.train}) == paper


def test_a_plan_warns_where_the_papers_epochs_are_too_few(registry: Registry, tmp_path: Path) -> None:
    def warnings(name: str, profile: str | None) -> list[str]:
        return plan_of(load_recipe(PAPER / f"{name}.yaml", registry, profile=profile), registry, tmp_path).warnings

    (said,) = warnings("main_sst2", None)
    assert said.startswith("k=8 trains 10 steps, k=16 20, k=32 40; a fresh head stays near chance")
    assert said.endswith("raise `train.epochs`")
    assert warnings("main_sst2", "hundred_epochs") == warnings("qwen_sst2", "hundred_epochs") == []


@pytest.mark.parametrize("profile", PROTOCOLS)
@pytest.mark.parametrize("name", OURS)
def test_each_data_set_has_its_prompt_and_one_description(resolved: Any, name: str, profile: str | None) -> None:
    recipe = resolved(name, profile)
    wanted = "grammaticality" if name.endswith("_cola") else "sentiment"
    if name.startswith("prompts_"):
        wanted = name.removeprefix("prompts_sst2_")
    prompt = generator(recipe)["prompt"]
    assert Path(prompt).stem == wanted
    if prompt.startswith("file:"):
        assert "{target}" in Path(prompt.removeprefix("file:")).read_text()
    # one description a data set: answers of the model are then paid for once, whichever table asks first
    assert recipe.describe == resolved(f"main_{recipe.dataset.use}").describe
    assert recipe.name == name


@pytest.mark.parametrize("name", OURS)
def test_a_run_is_set_beside_the_numbers_of_its_table(registry: Registry, name: str, tmp_path: Path) -> None:
    loaded = load_recipe(PAPER / f"{name}.yaml", registry)
    (tmp_path / "recipe.yaml").write_text(loaded.to_yaml())
    cells = [vars(cell) | {"accuracy": 0.5} for cell in cells_of(loaded.recipe, registry)]
    (tmp_path / "cells.jsonl").write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    found = compare_published(read_run(tmp_path, registry), PUBLISHED)
    methods = {method for method in loaded.recipe.methods if method in ("kd", "lwd")}
    assert len(found.lines) == len(methods) * 2 * 6
    assert {line.published.dataset for line in found.lines} <= {loaded.recipe.dataset.use}
    assert all(line.ours.n == 5 for line in found.lines)
    assert len(found.gains) == len(methods) * 6
    notes = " ".join(found.notes)
    assert ("Other models" in notes) == name.startswith(("xsmall", "qwen"))
    assert ("has no such cell" in notes) == name.startswith("ted"), "the poster has no table of TED"


OPPOSITES = [("great", "awful"), ("funny", "boring"), ("lovely", "terrible"), ("good", "bad")]
NOUNS = ("film", "story", "cast", "script", "ending", "music")
FRAMES = ("the {noun} is {word}", "a {word} {noun} from start to end", "what a {word} {noun}")
ROWS = [
    (frame.format(noun=noun, word=pair[0 if label else 1]), label)
    for frame, noun, pair, label in itertools.product(FRAMES, NOUNS, OPPOSITES, (0, 1))
]


def edited(request: Call) -> str:
    """What the language model answers: the word of opinion exchanged."""
    text = json.loads(request.prompt)["text"]
    for pair in (*OPPOSITES, *(pair[::-1] for pair in OPPOSITES)):
        if pair[0] in text:
            return json.dumps({"counterfactual": text.replace(*pair)})
    raise AssertionError(f"a text that is not of the data: {text}")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SST-2 as the hub lays it out, and tiny models of the paper's class."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "glue" / "sst2").mkdir(parents=True)
    splits = {"train": ROWS[: len(ROWS) * 3 // 4], "validation": ROWS[len(ROWS) * 3 // 4 :]}
    card = "---\nconfigs:\n- config_name: sst2\n  data_files:\n"
    for split, rows in splits.items():
        table = {"sentence": [text for text, _ in rows], "label": [label for _, label in rows]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "glue" / "sst2" / f"{split}.parquet")
        card += f"  - split: {split}\n    path: sst2/{split}.parquet\n"
    (folder / "glue" / "README.md").write_text(card + "---\n")
    texts = [text for text, _ in ROWS]
    tiny_deberta(folder / "base", texts, initializer_range=0.1)
    tiny_deberta(folder / "small", texts, num_hidden_layers=2, initializer_range=0.1, seed=1)
    return folder


@pytest.fixture
def server() -> Iterator[LLMServer]:
    with LLMServer(edited) as running:
        yield running


@pytest.mark.parametrize("profile", PROTOCOLS)
def test_a_recipe_of_the_main_table_runs_to_its_table(
    laboratory: Path, server: LLMServer, profile: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    overrides = [
        f"dataset.path={laboratory / 'glue'}",
        f"teacher.model={laboratory / 'base'}",
        f"teacher.finetune.steps={30 if profile is None else 2}",  # without verification nothing hangs on the teacher
        "teacher.finetune.rows=100",
        "teacher.finetune.lr=5.0e-3",
        f"student.model={laboratory / 'small'}",
        "counterfactuals.generators.0.model=openai/tiny",
        f"counterfactuals.generators.0.api_base={server.api_base}",
        "counterfactuals.budget.usd=null",
        "train.steps=2",
    ]
    out = tmp_path / "run"
    command = [str(PAPER / "main_sst2.yaml"), "--k", "8", "--seeds", "0", "--out", str(out), "--jobs", "1", "--quiet"]
    command += [word for each in overrides for word in ("--set", each)]
    assert call(command + (["--profile", profile] if profile else [])) == 0, capsys.readouterr().err

    table = (out / "table.md").read_text()
    assert ("optimistic: the checkpoint was chosen" in table) == (profile == "scripts")
    assert ("unverified: trained on counterfactuals" in table) == (profile == "scripts")
    rows = [json.loads(line) for line in (out / "cells.jsonl").read_text().splitlines()]
    assert {(row["method"], row["arm"], row["training_rows"], row["steps"]) for row in rows} == {
        (method, arm, 8, 2) for method in ("kd", "lwd") for arm in ("plain", "cod")
    }
    numbers = [line for line in table.splitlines() if line.startswith(("| kd", "| lwd", "| +CoD"))][:4]
    assert [("†" in line, "‡" in line) for line in numbers] == [
        (profile == "scripts", profile == "scripts" and arm == "cod") for arm in ("plain", "cod", "plain", "cod")
    ]
    pairs = [json.loads(line) for line in (out / "counterfactuals.jsonl").read_text().splitlines()]
    assert len([pair for pair in pairs if pair["counterfactual"]]) == 4
    assert {pair["generator"] for pair in pairs} == {"litellm"}
    system = server.calls[0].body["messages"][0]["content"]
    assert "praise the film" in system
    assert "opinion" in system, "the prompt of sentiment"

    capsys.readouterr()
    assert call(["compare", str(out), "--published", str(PUBLISHED)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    by_place: dict[Any, PublishedNumber] = {
        number.place: number for number in read_published(PUBLISHED) if number.dataset == "sst2"
    }
    for method, arm in itertools.product(("kd", "lwd"), ("plain", "cod")):
        number = by_place[method, arm, 8]
        assert f"{number.mean:.3f} ± {number.sd:.3f}" in shown
    assert "Other models" in shown
    assert ("Ours are optimistic" in shown) == (profile == "scripts")

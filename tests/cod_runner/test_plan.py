"""What a plan says of the signals' size, against what a run leaves in the store."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cod_runner import running
from cod_runner.api import CallEstimate, ClusterRequest, Component, ModelShape, Needs, Options, SettingError, hookimpl
from cod_runner.context import RunSettings
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_signals import input_key
from cod_runner.errors import RecipeError
from cod_runner.plan import Plan, plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.store import Store
from cod_runner.testing.tiny_models import tiny_bert

RECIPE = """\
recipe: 1
name: small
dataset: {use: csv, path: data.csv, labels: [no, yes]}
k: [4, 8]
seeds: [0, 1]
teacher: {use: transformers, model: ./tiny, max_length: 32, finetune: {rows: 8, steps: 1}}
student: {use: transformers, layers_from_teacher: [1]}
counterfactuals: {generators: [lexicon], verify: false}
methods:
  kd: [hard, kd]
  lwd: [hard, {use: lwd, layers: [[0, 0], [1, 3]]}]
arms: [plain]
train: {steps: 1}
"""
TEXTS = [f"the film number {number} was {'good' if number % 2 else 'bad'} and it was long" for number in range(60)]
PER_TEXT = 1_024 + 4 * 32 + 2 * (128 + 4 * 32 * 32)
"""Two layers of 32 tokens x 32 numbers, 32 token ids, and what is stored around them."""


class StrangeOptions(Options):
    """A stranger's loss reads two of the teacher's layers."""

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs(teacher=(1, 2))


class PricelessOptions(Options):
    """A stranger's generator that cannot be priced as the recipe sets it."""

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate | None:
        raise SettingError("nobody knows the price")


class PricedOptions(Options):
    """A stranger's generator that calls a model once for each original."""

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate | None:
        return CallEstimate("priced", examples, examples, 0, 0, 0.0, 0.0)


class StrangePlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("generator", "priceless", PricelessOptions, "never:built", "cannot be priced")
        yield Component("generator", "priced", PricedOptions, "never:built", "asks a model")
        yield Component("loss", "strange", StrangeOptions, "never:built", "reads two layers")


@pytest.fixture
def registry() -> Registry:
    registry = Registry.discover()
    registry.register("strange", __name__, StrangePlugin)
    return registry


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    tiny_bert(tmp_path / "tiny", TEXTS, num_hidden_layers=4, hidden_size=32)
    rows = [f"{text},{'yes' if 'good' in text else 'no'}" for text in TEXTS]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def planned(recipe: Path, registry: Registry, *overrides: str) -> Plan:
    return plan_of(load_recipe(recipe, registry, overrides=overrides), registry, None)


def test_the_bound_holds_and_is_no_wild_guess(recipe: Path, registry: Registry) -> None:
    size = planned(recipe, registry).signals
    assert size.bytes == 16 * PER_TEXT
    loaded = load_recipe(recipe, registry)
    running.run(loaded, registry, RunSettings(out=recipe.parent / "run", jobs=1), Progress(quiet=True))
    signals = SignalStore(Store().signals)
    files = list((signals.folder / "hidden").rglob("*.safetensors"))
    assert 8 <= len(files) <= size.texts
    keys = [bytes.fromhex(file.stem) for file in files]
    assert set(keys) <= {input_key(text) for text in TEXTS}
    answers = signals._answers(1, keys).values()
    stored = sum(file.stat().st_size for file in files) + sum(len(logits) + len(ids) for logits, ids, _ in answers)
    assert stored < size.bytes < 10 * stored


@pytest.mark.parametrize(
    ("overrides", "layers"),
    [
        (["methods.lwd=[hard, kd, soft, random_soft, pair]"], 0),
        (["methods.lwd=[hard, lwd]"], 1),
        (["methods.lwd=[lwd]", "student.layers_from_teacher=[1, 2, 4]"], 3),
        (["methods.lwd=[ted]", "student.layers_from_teacher=[1, 2, 4]"], 3),
        (["methods.kd=[{use: lwd, layers: [[1, 2]]}]", "methods.lwd=[{use: ted, layers: [[1, 2], [0, 4]]}]"], 2),
        (["methods.lwd=[strange]"], 2),
        (["methods.lwd=[lwd]", "student={use: transformers, model: nobody/never-fetched}"], 5),
    ],
)
def test_layers_are_those_that_some_loss_reads(
    recipe: Path, registry: Registry, overrides: list[str], layers: int
) -> None:
    size = planned(recipe, registry, *overrides).signals
    assert size.layers == layers
    assert size.bytes == 16 * (1_024 + 4 * 32 + layers * (128 + 4 * 32 * 32))


def test_texts_count_every_arm_and_seed_at_the_largest_k(recipe: Path, registry: Registry) -> None:
    assert planned(recipe, registry, "arms=[plain, cod]").signals.texts == 2 * 8 * 2
    assert planned(recipe, registry, "seeds=[0, 1, 2]", "k=[4]").signals.texts == 3 * 4


@pytest.mark.parametrize(
    ("arm", "texts"),
    [
        ("{unlabelled: {from: pool, rows: 7}}", 8 + 7),
        ("{unlabelled: {from: priced, per_original: 3}}", 8 + 3 * 8),
        ("{add: flips, unlabelled: {from: attempts, per_original: 3}}", 8 + 3 * 4),
        ("{add: priced, keep: any}", 8),
    ],
)
def test_texts_without_a_label_are_counted_beside_k(recipe: Path, registry: Registry, arm: str, texts: int) -> None:
    plan = planned(recipe, registry, "arms.plain=null", f"arms.x={arm}")
    assert plan.signals.texts == 2 * texts
    assert {cell.arm for cell in plan.cells} == {"x"}


@pytest.mark.parametrize(
    ("arms", "originals"),
    [
        ("{x: {add: priced}}", [4]),
        ("{x: {add: priced, of: others}}", [8]),
        ("{x: {unlabelled: {from: priced, per_original: 9}}}", [8]),
        ("{plain: {}, x: {add: [priced, flips, misses]}}", [2]),
        ("{x: {add: priced}, y: {add: [flips, misses, priced]}}", [4, 2]),
        ("[plain, cod]", []),
    ],
)
def test_an_arms_own_generator_is_priced_by_the_originals_that_it_is_asked_about(
    recipe: Path, registry: Registry, arms: str, originals: list[int]
) -> None:
    """At the largest k, in all seeds."""
    calls = planned(recipe, registry, f"arms={arms}", "k=[8]").calls
    assert [estimate.calls_low for estimate in calls] == [2 * count for count in originals]


def test_the_section_is_priced_by_the_arm_that_asks_about_most(recipe: Path, registry: Registry) -> None:
    made = "counterfactuals={generators: [priced]}"
    (alone,) = planned(recipe, registry, made, "arms=[cod]").calls
    (wider,) = planned(recipe, registry, made, "arms={cod: {add: flips}, x: {add: misses, of: others}}").calls
    assert (alone.calls_low, wider.calls_low) == (2 * 4, 2 * 8)
    assert planned(recipe, registry, made, "arms={x: {select: margin}}").calls == []


def test_a_longest_text_is_what_the_model_reads_at_most(recipe: Path, registry: Registry) -> None:
    assert planned(recipe, registry, "teacher.max_length=512").signals.tokens == 64  # its positions


def test_a_model_that_was_never_fetched_has_no_known_size(recipe: Path, registry: Registry) -> None:
    hub = "teacher={use: transformers, model: nobody/never-fetched, finetune: {rows: 8}}"
    size = planned(recipe, registry, hub).signals
    assert size.bytes is None and size.layers is None
    assert str(size) == "size unknown until the teacher is loaded, for at most 16 training texts"
    size = planned(recipe, registry, hub, "methods.lwd=null").signals
    assert str(size) == "logits alone, for at most 16 training texts"


def test_a_hub_model_in_the_cache_is_known(recipe: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = recipe.parent / "hub"
    kept = cache / "models--nobody--fetched"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / "abc").symlink_to(recipe.parent / "tiny")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert planned(recipe, registry, "teacher.model=nobody/fetched").signals.bytes == 16 * PER_TEXT


def test_it_is_shown_and_in_the_json(recipe: Path, registry: Registry) -> None:
    plan = planned(recipe, registry)
    wanted = (
        "at most 153.6 kB in the store, for at most 16 training texts (2 layers x 32 tokens x 32 x 4 bytes per text)"
    )
    assert str(plan.signals) == wanted
    assert plan.as_json()["signals"]["bytes"] == plan.signals.bytes


def test_a_students_tip_is_in_a_plan_and_once_where_a_run_begins(
    recipe: Path, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned(recipe, registry).tip == ""
    student = "student={use: transformers, model: nobody/deberta-v3-small}"
    plan = planned(recipe, registry, student)
    assert plan.tip.startswith("tip: `student: {positions: used}` trains this DeBERTa")
    shown = io.StringIO()
    Console(file=shown, width=300).print(plan)
    assert shown.getvalue().count(plan.tip) == 1

    def end(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "shown_status", end)  # what comes after the first lines
    loaded = load_recipe(recipe, registry, overrides=[student])
    with pytest.raises(KeyboardInterrupt):
        running.run(loaded, registry, RunSettings(out=recipe.parent / "run", jobs=1), Progress())
    assert " ".join(capsys.readouterr().err.split()).count(plan.tip) == 1


def test_too_few_steps_are_warned_of(recipe: Path, registry: Registry) -> None:
    wanted = "k=4 trains 10 steps, k=8 10; a fresh head stays near chance below about 50 steps: raise `train.epochs`"
    plan = planned(recipe, registry, "train.epochs=10")
    assert plan.as_json()["warnings"] == [wanted]
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(plan)
    assert f"warning: {wanted}" in console.export_text()
    assert planned(recipe, registry, "train.steps=50").warnings == []


def test_a_layer_that_the_teacher_has_not_is_a_fault_of_the_recipe(recipe: Path, registry: Registry) -> None:
    loaded = load_recipe(recipe, registry, overrides=["methods.lwd.1.layers=[[1, 9]]"])
    with pytest.raises(RecipeError, match="the teacher 0 to 4"), loaded.pointing():
        plan_of(loaded, registry, None)


def test_a_fault_of_an_estimate_points_at_the_generator(recipe: Path, registry: Registry) -> None:
    made = "counterfactuals={generators: [priceless]}"
    loaded = load_recipe(recipe, registry, overrides=["arms=[plain, cod]", made])
    with pytest.raises(RecipeError) as caught, loaded.pointing():
        plan_of(loaded, registry, None)
    assert str(caught.value).startswith("--set counterfactuals={"), caught.value
    assert "nobody knows the price" in str(caught.value)


class CloudOptions(Options):
    """A stranger's executor on a cluster."""

    gpus: float = 0

    def cluster_request(self, cells: int) -> ClusterRequest | None:
        if self.gpus == 0.5:
            return ClusterRequest("a cloud", cells, None, cpus=1, gpus=self.gpus)
        return ClusterRequest("a cloud\x1b[31m", cells, 2, 2, self.gpus, memory=8_000_000_000, minutes=90)


class CloudPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("executor", "cloud", CloudOptions, "never:built", "runs elsewhere")


def test_it_says_what_a_cluster_is_asked_for(recipe: Path, registry: Registry) -> None:
    registry.register("cloud", __name__, CloudPlugin)

    def line(*overrides: str) -> list[str]:
        console = Console(record=True, width=200, file=io.StringIO())
        console.print(planned(recipe, registry, *overrides))
        return [line.strip() for line in console.export_text().splitlines() if line.startswith("cluster:")]

    several = "8 jobs, 2 at once, each"
    assert line("executor={use: cloud, gpus: 4}") == [
        f"cluster: a cloud\\x1b[31m: {several} 4 GPUs, 2 cores, 8.0 GB, at most 1 h 30 min (48 GPU hours if all of "
        "them take so long)"
    ]
    assert line("executor=cloud", "k=[4]", "seeds=[0]", "methods.lwd=null") == [
        "cluster: a cloud\\x1b[31m: 1 job, each 2 cores, 8.0 GB, at most 1 h 30 min (3 core hours if all of them take "
        "so long)"
    ]
    part = "cluster: a cloud: 8 jobs, as many at once as it has room for, each 0.5 GPU, 1 core"
    assert line("executor={use: cloud, gpus: 0.5}") == [part]
    assert line() == []

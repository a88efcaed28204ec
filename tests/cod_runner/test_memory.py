"""What a plan says of a cell's memory: of what it is made, what changes it, and who is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cod_runner import running
from cod_runner.api import BuildContext, Component, Input, Mixture, Options, hookimpl
from cod_runner.context import RunSettings
from cod_runner.memory import BESIDES, CellMemory, cell_memory, longest_input
from cod_runner.plan import plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import tiny_bert
from codrun_transformers.lengths import ADDED

REGISTRY = Registry.discover()
TEXTS = [f"film number {number} was {'good' if number % 2 else 'bad'}" for number in range(40)]
LAYERS, WIDTH, TOKENS = 3, 64, 32
RECIPE = f"""
recipe: 1
name: small
dataset: {{use: csv, path: data.csv, labels: [no, yes]}}
k: [4, 16]
seeds: [0]
teacher: {{use: transformers, model: ./teacher, max_length: {TOKENS}}}
student: {{use: transformers, model: ./student, max_length: {TOKENS}}}
methods: {{kd: [hard, kd], lwd: [hard, {{use: lwd, layers: [[1, 2], [3, 4]]}}]}}
arms: [plain]
train: {{steps: 1, batch_size: 4}}
"""
MOONS = """
recipe: 1
name: moons
dataset: {use: moons}
k: [8]
seeds: [0]
teacher: {use: mlp, hidden: [16], finetune: {rows: 50, steps: 5}}
student: {use: mlp, hidden: [8]}
methods: {hard: [hard]}
arms: [plain]
train: {steps: 1}
executor: told
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    tiny_bert(folder / "teacher", TEXTS, num_hidden_layers=4, hidden_size=128)
    tiny_bert(folder / "student", TEXTS, num_hidden_layers=LAYERS, hidden_size=WIDTH)
    (folder / "data.csv").write_text("text,label\n")
    (folder / "small.yaml").write_text(RECIPE)
    return folder


def memory(folder: Path, *overrides: str) -> CellMemory:
    found = cell_memory(load_recipe(folder / "small.yaml", REGISTRY, overrides=overrides).recipe, REGISTRY)
    assert found is not None
    return found


def test_it_is_the_sum_of_what_is_held_at_once(folder: Path) -> None:
    found = memory(folder)
    size = (folder / "student" / "model.safetensors").stat().st_size
    assert found.weights == pytest.approx(size, rel=0.05)
    assert found.bytes == BESIDES + found.weights + max(found.optimiser + found.activations, found.evaluation)
    a_block = 44 * WIDTH + 6 * 1 * TOKENS
    two_layers = 2 * 128 * 5
    assert found.activations == 5 * 4 * TOKENS * (LAYERS * a_block + two_layers)  # 1.25 x 4 bytes
    assert found.evaluation == 5 * 32 * TOKENS * a_block // 2


def test_what_each_setting_changes(folder: Path) -> None:
    found = memory(folder)
    assert memory(folder, "train.batch_size=8").activations == 2 * found.activations
    assert memory(folder, "train.batch_size=64", "k=[4]").activations == found.activations, "there are no more rows"
    assert memory(folder, "methods.lwd=null").activations < found.activations
    assert memory(folder, "train.gradient_checkpointing=true").activations < found.activations
    every_row = memory(folder, "train.compact_vocabulary=false")
    assert every_row.optimiser == 3 * (found.weights + 4 * 2 * WIDTH * 128)
    assert memory(folder, "train.optimiser=adam", "train.weight_decay=0.1") == every_row
    kept = memory(folder, "evaluate.select=best_dev")
    assert kept.optimiser == found.optimiser + found.weights
    assert kept.evaluation == found.evaluation + found.weights
    assert found.building == 0
    cut = memory(folder, "student={use: transformers, layers_from_teacher: [1]}", "methods.lwd=null")
    assert cut.building == pytest.approx((folder / "teacher" / "model.safetensors").stat().st_size, rel=0.05)


def test_texts_that_are_there_count_as_long_as_the_longest_of_them(folder: Path) -> None:
    recipe = load_recipe(folder / "small.yaml", REGISTRY).recipe
    most, short = cell_memory(recipe, REGISTRY), cell_memory(recipe, REGISTRY, longest=7)
    assert most is not None and short is not None
    a_block = 44 * WIDTH + 6 * 1 * 16
    assert short.activations == 5 * 4 * 16 * (LAYERS * a_block + 2 * 128 * 5), "padded to 16 positions"
    assert short.evaluation == 5 * 32 * 16 * a_block // 2
    assert (short.weights, short.optimiser) == (most.weights, most.optimiser), "its few words are all in use either way"
    assert cell_memory(recipe, REGISTRY, longest=17) == cell_memory(recipe, REGISTRY, longest=500) == most


def test_the_longest_input_is_what_the_student_would_read(folder: Path) -> None:
    def longest(*overrides: str, inputs: Sequence[Input] = TEXTS, teacher: int = 9) -> int | None:
        recipe = load_recipe(folder / "small.yaml", REGISTRY, overrides=overrides).recipe
        return longest_input(recipe, REGISTRY, inputs, teacher)

    built = REGISTRY.build("student", "transformers", {"model": str(folder / "student")}, BuildContext(labels=("a",)))
    tokens = max(len(each.ids) for each in built.encode(TEXTS))
    assert longest() == tokens + ADDED
    strange = [*TEXTS, "half a pair \ud83d", "good " * 900, ""]
    assert longest(inputs=strange) == 900 + 2 + ADDED, "nothing is truncated"
    assert longest(inputs=[Mixture(TEXTS[0], "good " * 40, 0.5)]) == 40 + 2 + ADDED
    assert longest(inputs=[(0.5, 1.0)]) is None
    assert longest("student={use: transformers, model: nobody/never-fetched}") is None
    cut = "student={use: transformers, layers_from_teacher: [1]}"
    assert longest(cut, "methods.lwd=null") == 9
    assert longest(cut, "methods.lwd=null", teacher=TOKENS) is None, "the teacher may have truncated it"


@pytest.mark.parametrize(
    "unknown",
    [
        "student={use: transformers, model: nobody/never-fetched}",
        "teacher={use: transformers, model: nobody/never-fetched}",
    ],
)
def test_what_is_unknown_is_not_guessed(folder: Path, unknown: str) -> None:
    loaded = load_recipe(folder / "small.yaml", REGISTRY, overrides=[unknown])
    assert cell_memory(loaded.recipe, REGISTRY) is None
    assert plan_of(loaded, REGISTRY, None).memory is None


def test_an_unknown_teacher_whose_logits_alone_are_read_does_not_matter(folder: Path) -> None:
    logits = memory(folder, "methods.lwd=null")
    unknown = "teacher={use: transformers, model: nobody/never-fetched}"
    assert memory(folder, "methods.lwd=null", unknown) == logits


def test_a_plan_says_it_in_words_and_as_data(folder: Path) -> None:
    plan = plan_of(load_recipe(folder / "small.yaml", REGISTRY), REGISTRY, None)
    assert str(plan.memory).startswith("about 38.3 MB for each cell that trains at once, at most (student 387.2 kB,")
    assert str(plan.memory).endswith("a batch 6.6 MB; or, later, evaluation 7.7 MB)")
    assert plan.memory is not None and plan.as_json()["memory"]["bytes"] == plan.memory.bytes


class Told:
    """Kind ``executor``: notes what it is told, and trains here."""

    SEEN: ClassVar[list[int | None]] = []

    def __init__(self, options: Options, context: BuildContext) -> None:
        self.SEEN.append(context.cell_bytes)

    def map(self, work: Any, tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        yield from map(work, tasks)


class OwnPlugin:
    @staticmethod
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield Component("executor", "told", Options, f"{__name__}:Told", "notes what it is told")


def test_an_executor_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setattr(Told, "SEEN", [])
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    (tmp_path / "moons.yaml").write_text(MOONS)
    loaded = load_recipe(tmp_path / "moons.yaml", registry)
    estimated = cell_memory(loaded.recipe, registry)
    assert estimated is not None
    running.run(loaded, registry, RunSettings(out=tmp_path / "run"), Progress(quiet=True))
    assert {estimated.bytes} == set(Told.SEEN)


def test_an_executor_is_told_of_the_texts_that_are_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    monkeypatch.setattr(Told, "SEEN", [])
    registry = Registry.discover()
    registry.register("own", __name__, OwnPlugin)
    rows = [f"{text},{'yes' if 'good' in text else 'no'}" for text in TEXTS]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    recipe = RECIPE.replace("./teacher", str(folder / "teacher")).replace("./student", str(folder / "student"))
    (tmp_path / "small.yaml").write_text(recipe.replace("{TOKENS}", "32") + "executor: told\n")
    overrides = ["k=[4]", "methods={kd: [hard, kd]}", "teacher.finetune={rows: 8, steps: 1}"]
    loaded = load_recipe(tmp_path / "small.yaml", registry, overrides=overrides)
    running.run(loaded, registry, RunSettings(out=tmp_path / "run", jobs=1), Progress(quiet=True))
    at_most, of_these = (cell_memory(loaded.recipe, registry, longest) for longest in (None, 7 + ADDED))
    assert at_most is not None and of_these is not None and of_these.bytes < at_most.bytes
    assert [at_most.bytes, of_these.bytes] == Told.SEEN


@pytest.mark.slow  # two processes that import torch
def test_the_benchmark_measures_a_cell(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "memory.py"
    command = [sys.executable, str(script), "--quick", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())["tiny"]
    assert "| tiny | 16 | 8 x 12 |" in done.stdout
    assert 0 < found["own"] < 2 * found["estimated"], "a tiny cell is what every cell holds besides"

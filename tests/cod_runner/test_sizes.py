"""What a plan says of the disk, against what a run leaves on it, and where nothing can be said."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cod_runner import running
from cod_runner.context import RunSettings
from cod_runner.disk import free_bytes, told_size, warning_of_a_full_disk
from cod_runner.plan import Plan, plan_of
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.identity import finetuned_key
from cod_runner.sizes import students_size
from cod_runner.store import Store
from cod_runner.testing.tiny_models import (
    tiny_bert,
    tiny_deberta,
    tiny_distilbert,
    tiny_electra,
    tiny_qwen2,
    tiny_roberta,
)

REGISTRY = Registry.discover()
RECIPE = """\
recipe: 1
name: small
dataset: {use: csv, path: data.csv, labels: [no, yes]}
k: [4]
seeds: [0]
teacher: {use: transformers, model: ./tiny, max_length: 32, finetune: {rows: 8, steps: 1}}
student: {use: transformers, model: ./tiny, layers: [1, 3]}
methods: {kd: [hard, kd], hard: [hard]}
arms: [plain]
train: {steps: 1}
"""
TEXTS = [f"the film number {number} was {'good' if number % 2 else 'bad'} and it was long" for number in range(40)]
WIDE = {"num_hidden_layers": 4, "hidden_size": 128}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    rows = [f"{text},{'yes' if 'good' in text else 'no'}" for text in TEXTS]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def planned(recipe: Path, *overrides: str) -> Plan:
    return plan_of(load_recipe(recipe, REGISTRY, overrides=overrides), REGISTRY, recipe.parent / "run")


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "teacher.json")


@pytest.mark.parametrize(
    "cut", [(), ("student.model=null", "student.layers=null", "student.layers_from_teacher=[1, 3]")]
)
def test_a_run_leaves_what_its_plan_said(recipe: Path, cut: tuple[str, ...]) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    before = planned(recipe, *cut)
    (teacher,) = before.stored
    assert not teacher.there and before.students.there == 0 and before.students.kept == 2
    assert teacher.bytes is not None and before.students.bytes is not None
    loaded = load_recipe(recipe, REGISTRY, overrides=cut)
    running.run(loaded, REGISTRY, RunSettings(out=recipe.parent / "run", jobs=1), Progress(quiet=True))
    assert before.students.bytes == pytest.approx(taken(recipe.parent / "run" / "students"), rel=0.02)
    assert teacher.bytes == pytest.approx(taken(Store().teachers), rel=0.02)
    after = planned(recipe, *cut)
    assert str(after.stored[0]) == "the fine-tuned teacher is there"
    assert str(after.students).endswith("/run/students (2 there already)")
    assert after.as_json()["students"]["each"] == before.students.each


@pytest.mark.parametrize("tiny", [tiny_deberta, tiny_distilbert, tiny_electra, tiny_roberta, tiny_qwen2])
def test_the_blocks_of_any_architecture_are_counted(recipe: Path, tiny: Any) -> None:
    """Without its blocks a model is smaller by theirs, whatever their names are."""
    tiny(recipe.parent / "tiny", TEXTS, num_hidden_layers=4)
    sizes = [planned(recipe, f"student.layers={layers}").students.each or 0 for layers in (1, 2, 3, 4)]
    steps = {later - earlier for earlier, later in pairwise(sizes)}
    assert len(steps) == 1 and min(steps) > 4 * 4 * 32 * 32


def test_a_checkpoint_in_several_files_counts_as_in_one_and_a_damaged_one_by_its_configuration(recipe: Path) -> None:
    tiny = tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    whole = planned(recipe).students.each
    assert whole is not None
    (tiny / "model.safetensors").rename(tiny / "model-1.safetensors")
    (tiny / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "model-1.safetensors"}}))
    assert planned(recipe).students.each == whole
    for damaged in (b"", b"\xff" * 40, b"\x08\0\0\0\0\0\0\0[1, 2, 3", b"\x02\0\0\0\0\0\0\0{}"):
        (tiny / "model-1.safetensors").write_bytes(damaged)
        assert planned(recipe).students.each == pytest.approx(whole, rel=0.1)
    for index in ("[", "[1]", '{"weight_map": 3}', '{"weight_map": {"x": "../../secret"}}'):
        (tiny / "model.safetensors.index.json").write_text(index)
        assert planned(recipe).students.each == pytest.approx(whole, rel=0.1)


def test_what_is_unknown_is_said_to_be_and_never_nothing(recipe: Path) -> None:
    hub = "{use: transformers, model: nobody/never-fetched, finetune: {rows: 8}}"
    plan = planned(recipe, f"teacher={hub}", "student={use: transformers, model: nobody/never-fetched}")
    folder = recipe.parent / "run" / "students"
    assert str(plan.students) == f"2 in {folder}, size unknown until one is trained"
    assert [str(each) for each in plan.stored] == ["the fine-tuned teacher, size unknown until it is made"]
    assert plan.students.bytes is None and not [each for each in plan.warnings if "disk" in each]


def test_a_teacher_that_is_not_fine_tuned_is_not_stored(recipe: Path) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, ["no", "yes"])
    assert planned(recipe, "teacher.finetune=null").stored == []


def test_the_best_alone_stays_and_others_lie_beside_it_for_a_while(recipe: Path) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    plan = planned(recipe, "students=best", "k=[8, 16]", "seeds=[0, 1]")
    each, folder = plan.students.each or 0, recipe.parent / "run" / "students"
    assert str(plan.students) == (
        f"at most 3 at a time of about {told_size(each)} each, 1 of which stays: about {told_size(3 * each)} in "
        f"{folder}, then {told_size(each)}"
    )


def test_fewer_students_may_be_kept(recipe: Path) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    loaded = load_recipe(recipe, REGISTRY)
    cells = cells_of(loaded.recipe, REGISTRY)
    one = students_size(loaded.recipe, REGISTRY, RunFolder(recipe.parent / "run"), cells, kept=1)
    assert str(one) == f"1, about {told_size(one.each or 0)} in {recipe.parent / 'run' / 'students'}"
    assert students_size(loaded.recipe, REGISTRY, RunFolder(recipe.parent / "run"), cells, kept=0).bytes == 0


def test_a_disk_that_is_too_small_is_warned_of(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    assert planned(recipe).warnings == [planned(recipe).warnings[0]]  # too few steps, and nothing else
    usage = shutil.disk_usage(".")._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    each = planned(recipe).students.each
    assert each is not None
    assert planned(recipe).warnings[1:2] == [
        f"2 students of {told_size(each)} each will not fit on the disk of {recipe.parent / 'run'}, which has 100.0 kB "
        "free: the run would end when it is full, and go on when there is room; --out names a folder on another disk"
    ]


def test_a_teacher_that_will_not_fit_in_the_store_is_warned_of_and_one_that_is_begun_is_said(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_bert(recipe.parent / "tiny", TEXTS, **WIDE)
    (teacher,) = planned(recipe).stored
    assert teacher.bytes is not None and teacher.besides == 6 * teacher.bytes
    usage = shutil.disk_usage(".")._replace(free=5 * teacher.bytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert planned(recipe).warnings[-1] == (
        f"the fine-tuned teacher takes about {told_size(7 * teacher.bytes)} in the store {Store().root} while it is "
        f"made, whose disk has {told_size(5 * teacher.bytes)} free; set CODRUN_HOME to a folder on another one"
    )
    loaded = load_recipe(recipe, REGISTRY).recipe
    key = finetuned_key(loaded, REGISTRY, "bf16", "cpu")
    (Store().teachers / f"{key}.checkpoint.safetensors").write_text("")
    assert str(planned(recipe).stored[0]).endswith("of checkpoints while it is made (begun: a checkpoint is there)")
    (Store().teachers / key).mkdir()
    assert planned(recipe).stored[0].there and "fine-tuned" not in planned(recipe).warnings[-1]


def test_a_folder_that_is_not_there_yet_lies_on_the_disk_of_the_one_around_it(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert warning_of_a_full_disk(1, 10**18, tmp_path / "not" / "there") is not None
    assert warning_of_a_full_disk(1, 1, tmp_path / "not" / "there") is None


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0.0 kB"), (153_600, "153.6 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB"), (70_281_706, "70.3 MB"),
     (1_123_456_789, "1.1 GB"), (2_345_600_000_000, "2,345.6 GB")],
)  # fmt: skip
def test_sizes_in_words(number: int, told: str) -> None:
    assert told_size(number) == told

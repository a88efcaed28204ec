"""What the engine promises of a GPU; `python benchmarks/gpu.py` runs these tests and measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cod_runner
from cod_runner.api import BuildContext, Classifier, Example, TrainSettings
from cod_runner.engine.inference import predict
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore, TeacherSignals
from cod_runner.engine.training import TrainingResult, train_student
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import SENTENCES, tiny_deberta
from codrun_transformers.vocabulary_cut import EmbeddingCut

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
REGISTRY = Registry.discover()
EXAMPLES = [Example(str(row), text, row % 2) for row, text in enumerate(SENTENCES)]
STEPS = 6
LAYERS = (1, 2, 3, 4)


def model(kind: Any, folder: Path) -> Classifier:
    context = BuildContext(labels=("negative", "positive"), device=DEVICE, seed=3)
    built: Classifier = REGISTRY.build(kind, "transformers", {"model": str(folder), "new_head": True}, context)
    return built.to(DEVICE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
    return (
        tiny_deberta(folder / "teacher", num_hidden_layers=4, hidden_size=48, **without_dropout),
        tiny_deberta(folder / "student", **without_dropout),
    )


@pytest.fixture(scope="module")
def signals(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> TeacherSignals:
    teacher, store = model("teacher", folders[0]), SignalStore(tmp_path_factory.mktemp("signals"))
    store.add(teacher, SENTENCES, LAYERS, device=DEVICE)
    return store.reader(teacher.fingerprint, DEVICE)


def train(
    student: Classifier, signals: TeacherSignals, device: str, precision: str = "fp32", **settings: Any
) -> TrainingResult:
    terms = []
    for use, options, weight in (("hard", {}, 1.0), ("kd", {"temperature": 2}, 5.0), ("lwd", {}, 1.0)):
        loss = REGISTRY.build("loss", use, options, BuildContext(device=device))
        needs = REGISTRY.options("loss", use, options).needs
        terms.append(WeightedTerm(use, loss, weight, needs))
    chosen = TrainSettings(steps=STEPS, batch_size=4, lr=1e-3, precision=precision, **settings)
    return train_student(student.to(device), EXAMPLES, terms, signals, chosen, seed=0, device=device)


def furthest(first: nn.Module, second: nn.Module) -> float:
    ours, theirs = first.state_dict(), second.state_dict()
    return max(float((value.cpu() - theirs[name].cpu()).abs().max()) for name, value in ours.items())


def test_signals_are_those_of_a_cpu_and_do_not_depend_on_their_batch(
    folders: tuple[Path, Path], signals: TeacherSignals, tmp_path: Path
) -> None:
    teacher, one_by_one = model("teacher", folders[0]), SignalStore(tmp_path / "gpu")
    for text in reversed(SENTENCES):
        one_by_one.add(teacher, [text], device=DEVICE)
    again = one_by_one.reader(teacher.fingerprint, DEVICE)
    assert torch.equal(again.logits(SENTENCES), signals.logits(SENTENCES))
    teacher.to("cpu")
    on_cpu = SignalStore(tmp_path / "cpu")
    on_cpu.add(teacher, SENTENCES, LAYERS, device="cpu")
    reader = on_cpu.reader(teacher.fingerprint, "cpu")
    assert torch.allclose(reader.logits(SENTENCES), signals.logits(SENTENCES), atol=1e-3)
    for ours, theirs in zip(signals.rows(SENTENCES, LAYERS), reader.rows(SENTENCES, LAYERS), strict=True):
        assert all(torch.allclose(ours.hidden[layer], theirs.hidden[layer], atol=1e-3) for layer in LAYERS)


def test_training_ends_near_a_cpu_in_fp32(folders: tuple[Path, Path], signals: TeacherSignals) -> None:
    here, there = model("student", folders[1]), model("student", folders[1])
    found = train(here, signals, DEVICE)
    expected = train(there, signals, "cpu")
    assert found.losses == pytest.approx(expected.losses, rel=1e-2)
    assert furthest(here, there) < 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains_and_weights_stay_float32(
    folders: tuple[Path, Path], signals: TeacherSignals, precision: str
) -> None:
    student = model("student", folders[1])
    result = train(student, signals, DEVICE, precision)
    assert result.precision == precision
    assert all(torch.isfinite(torch.tensor(value)) for value in result.losses.values())
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}


def test_the_vocabulary_cut_ends_where_the_whole_vocabulary_does(
    folders: tuple[Path, Path], signals: TeacherSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, whole = model("student", folders[1]), model("student", folders[1])
    entered: list[EmbeddingCut] = []
    enter = EmbeddingCut.__enter__
    monkeypatch.setattr(EmbeddingCut, "__enter__", lambda self: (entered.append(self), enter(self))[1])
    train(cut, signals, DEVICE, weight_decay=0.1)
    assert entered
    monkeypatch.setattr(type(whole), "compact", lambda self, examples: None)
    train(whole, signals, DEVICE, weight_decay=0.1)
    assert furthest(cut, whole) < 1e-4


def test_evaluation_is_that_of_a_cpu(folders: tuple[Path, Path]) -> None:
    student = model("student", folders[1])
    found = predict(student, SENTENCES, device=DEVICE, precision="fp32")
    assert torch.allclose(found, predict(student.to("cpu"), SENTENCES, device="cpu", precision="fp32"), atol=1e-3)


RECIPE = """
recipe: 1
name: on_a_gpu
dataset: {use: moons, n: 200, validation: 50}
k: [8]
seeds: [0, 1]
teacher: {use: mlp, hidden: [8], finetune: {rows: 64, steps: 20, lr: 0.05, batch_size: 32, precision: fp32}}
student: {use: mlp, hidden: [8]}
counterfactuals: {generators: [gradient], max_edits: 1000}
methods: {kd: [hard, {use: kd, weight: 2}]}
train: {steps: 20, lr: 0.01, precision: fp32}
"""


@pytest.mark.slow
def test_several_cells_at_once_on_a_gpu_are_those_of_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    alone, together = (
        cod_runner.run(tmp_path / "recipe.yaml", out=tmp_path / str(jobs), jobs=jobs, device=DEVICE) for jobs in (1, 2)
    )
    assert {row.device for row in together.rows} == {torch.device(DEVICE).type}
    expected = {row.key: row.losses for row in alone.rows}
    assert {row.key: pytest.approx(row.losses, rel=1e-3) for row in together.rows} == expected

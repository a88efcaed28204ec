"""A teacher fine-tuned with low-rank adapters, which are merged when it is saved."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cod_runner.api import BuildContext, CodrunError
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions, TeacherOptions

pytest.importorskip("peft")

LABELS = ("negative", "positive")
GOLD = torch.tensor([1, 0, 0, 1, 1, 1])
Build = Callable[..., TextClassifier]


@pytest.fixture(params=["bert", "deberta", "qwen2"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    torch.set_num_threads(1)
    folder = TINY_MODELS[request.param](tmp_path / "checkpoint", initializer_range=0.2)

    def teacher(seed: int = 0, **lora: Any) -> TextClassifier:
        options = TeacherOptions.model_validate({"model": str(folder), "lora": {"dropout": 0.0, "alpha": 32, **lora}})
        return build_teacher(options, BuildContext(labels=LABELS, seed=seed))

    return teacher


def train(model: TextClassifier, steps: int = 30) -> None:
    model.train()
    batch = model.collate(model.encode(SENTENCES))
    optimiser = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(batch).logits, GOLD).backward()
        optimiser.step()
    model.eval()


def test_adapters_and_head_train_and_nothing_else(build: Build) -> None:
    model = build()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("lora_A" in name for name in trained) and any(
        "classifier" in name or "score" in name for name in trained
    )
    assert all("lora_" in name or any(part in name for part in ("classifier", "score", "pooler")) for name in trained)
    assert model.compact(model.encode(SENTENCES)) is None
    before = {name: value.clone() for name, value in model.named_parameters()}
    train(model)
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    # the pooler or head may have a bias without a gradient, but the frozen backbone must not change at all
    assert moved <= trained and any("lora_B" in name for name in moved)


def test_saving_merges_the_adapters_and_preserves_the_logits(build: Build, tmp_path: Path) -> None:
    model = build()
    train(model)
    batch = model.collate(model.encode(SENTENCES))
    with torch.no_grad():
        adapted = model(batch).logits
    model.save(tmp_path / "saved")
    assert not any("lora" in name for name, _ in model.named_parameters())
    with torch.no_grad():
        torch.testing.assert_close(model(batch).logits, adapted, atol=1e-4, rtol=1e-4)
    plain = build_teacher(TeacherOptions(model=str(tmp_path / "saved")), BuildContext(labels=LABELS))
    again = build(seed=3)
    again.load(tmp_path / "saved")
    assert plain.fingerprint == again.fingerprint == model.fingerprint
    assert not again.untrained_head


def test_a_student_is_cut_from_the_merged_weights(build: Build) -> None:
    model = build()
    train(model)
    context = BuildContext(labels=LABELS, teacher=lambda: model)
    student = build_student(StudentOptions(layers_from_teacher=[1]), context)
    assert any("lora" in name for name, _ in model.named_parameters())
    assert not any("lora" in name for name, _ in student.named_parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    batch = model.collate(model.encode(SENTENCES))
    with torch.no_grad():
        inside = model(batch, hidden=[1]).hidden[1]
        student_states = student(batch, hidden=[0, 1]).hidden
    if student.model.config.model_type != "qwen2":  # its last hidden state follows the final norm
        torch.testing.assert_close(student_states[1], inside, atol=1e-4, rtol=1e-4)


def test_adapters_come_from_the_seed(build: Build) -> None:
    state = torch.get_rng_state()
    first = build(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(44)
    assert build(seed=1).fingerprint == first.fingerprint != build(seed=2).fingerprint


def test_unknown_targets_are_refused(build: Build) -> None:
    with pytest.raises(CodrunError, match=r"name its linear layers in `lora\.targets`"):
        build(targets=["no_such_layer"])


def test_without_peft_the_extra_is_named(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CodrunError, match=r'pip install "codrun\[peft\]"'):
        build()

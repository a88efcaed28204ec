"""TED inside the real training loop, signals, shuffling and cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cod_runner.api import BuildContext, CodrunError, Example, TrainSettings
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.testing.classifiers import TextClassifier
from codrun_ted.loss import TED
from codrun_ted.plugin import TEDOptions

torch.set_num_threads(1)

TEXTS = ["a fine film", "a dull film indeed", "fine work", "dull", "a fine long story", "a dull long story about it"]
EXAMPLES = [Example(str(row), text, int("fine" in text)) for row, text in enumerate(TEXTS)]


def distilled(
    folder: Path, seed: int = 0, teacher_words: list[str] | None = None, keep: bool = True, **options: object
) -> tuple[TextClassifier, Mapping[str, float]]:
    teacher = TextClassifier(texts=teacher_words or TEXTS, width=12, layers=4, seed=7)
    teacher.eval()
    store = SignalStore(folder / "signals")
    store.add(teacher, TEXTS, [2, 4], device="cpu")
    student = TextClassifier(texts=TEXTS, width=8, layers=2, dropout=0.1, seed=seed)
    chosen = TEDOptions(**{"filter_epochs": 3, "filter_lr": 0.01, **options})
    result = train_student(
        student,
        EXAMPLES,
        [WeightedTerm("ted", TED(chosen, BuildContext()), 1.0, chosen.needs)],
        store.reader(teacher.fingerprint),
        TrainSettings(steps=30, batch_size=4, lr=0.01, precision="fp32"),
        seed=seed,
        device="cpu",
        cache_folder=folder / "cache" / f"s{seed}" if keep else None,
    )
    assert all(not name.startswith("student_filters") for name in student.state_dict())
    return student, dict(result.curve[-1][1])


def weights(student: TextClassifier) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in student.state_dict().items()}


def test_a_cell_repeats_bit_for_bit_with_and_without_its_kept_filters(tmp_path: Path) -> None:
    first, values = distilled(tmp_path)
    found_again, _ = distilled(tmp_path)
    anew, _ = distilled(tmp_path, keep=False)
    for name, value in weights(first).items():
        assert torch.equal(value, weights(found_again)[name])
        assert torch.equal(value, weights(anew)[name])
    assert values["ted"] > 0


def test_training_longer_brings_the_filtered_states_together(tmp_path: Path) -> None:
    teacher = TextClassifier(texts=TEXTS, width=12, layers=4, seed=7)
    store = SignalStore(tmp_path / "signals")
    store.add(teacher.eval(), TEXTS, [2, 4], device="cpu")
    seen: list[float] = []
    options = TEDOptions(filter_epochs=3, filter_lr=0.01)
    train_student(
        TextClassifier(texts=TEXTS, width=8, layers=2, seed=0),
        EXAMPLES,
        [WeightedTerm("ted", TED(options, BuildContext()), 1.0, options.needs)],
        store.reader(teacher.fingerprint),
        TrainSettings(steps=100, batch_size=4, lr=0.01, precision="fp32"),
        seed=0,
        device="cpu",
        on_step=lambda step, losses: seen.append(losses["ted"]),
    )
    assert seen[-1] < 0.3 * seen[0]


def test_each_seed_has_filters_of_its_own(tmp_path: Path) -> None:
    distilled(tmp_path, seed=0)
    distilled(tmp_path, seed=1)
    zero, one = (load_file(tmp_path / "cache" / f"s{seed}" / "ted" / "filters.safetensors") for seed in (0, 1))
    assert zero.keys() == one.keys()
    assert not any(torch.equal(zero[name], one[name]) for name in zero)


def test_unlike_tokens_are_refused_and_pooled_ones_are_not(tmp_path: Path) -> None:
    words = ["film a dull fine"]
    with pytest.raises(CodrunError, match="; give it `pool: mean` or `pool: cls`, which compare one vector per text"):
        distilled(tmp_path, teacher_words=words)
    distilled(tmp_path, teacher_words=words, pool="mean", keep=False)
    distilled(tmp_path, teacher_words=words, pool="cls", filter="nonlinear", keep=False)

"""`positions: used`: DeBERTa without padding and unused relative positions computes the same, but for rounding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cod_runner.api import BuildContext, SettingError
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert, tiny_deberta
from codrun_transformers.build import build_student, reopen_student
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions, TeacherOptions
from codrun_transformers.used_positions import Layout, UsedEncoder

LABELS = ("negative", "positive")
CONTEXT = BuildContext(labels=LABELS, seed=0)
BUCKETS = 16
LONG = " ".join([SENTENCES[0]] * 3)
TEXTS = {
    "short": ["a warm film", "a dull film, badly acted", "good"],
    "equally long": ["a warm film"] * 2,
    "alone": ["a dull film"],
    "longer than the table": [LONG, "a dull film", SENTENCES[1]],
}
LAID_OUT = {
    "v3": {},
    "keys of their own": {"share_att_key": False},
    "no buckets": {"position_buckets": -1, "max_relative_positions": BUCKETS},
    "c2p alone": {"pos_att_type": ["c2p"]},
    "p2c alone": {"pos_att_type": ["p2c"]},
    "convolution": {"conv_kernel_size": 3},
    "no norm of the table": {"norm_rel_ebd": "none"},
}
ROUNDING = 3e-6
"""In fp32: norm of the difference over the norm."""


def deberta(folder: Path, **config: Any) -> Path:
    torch.set_num_threads(1)
    return tiny_deberta(folder, labels=LABELS, **{"position_buckets": BUCKETS, "initializer_range": 0.2, **config})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deberta(tmp_path_factory.mktemp("deberta"))


def student(folder: Path, **options: Any) -> TextClassifier:
    return build_student(StudentOptions(model=str(folder), **options), CONTEXT)


def passed(classifier: TextClassifier, texts: list[str], precision: str = "fp32") -> tuple[list[Tensor], Tensor]:
    """Logits and two hidden states of the real tokens in training, with dropout, and all gradients as one vector."""
    classifier.train()
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
        outputs = classifier(classifier.collate(classifier.encode(texts)), hidden=(1, 2))
    real = [outputs.logits, *(state[outputs.mask] for state in outputs.hidden.values())]
    sum(each.square().mean() for each in real).backward()
    found = [each.grad.flatten() for _, each in sorted(classifier.named_parameters()) if each.grad is not None]
    return [each.detach() for each in real], torch.cat(found)


def apart(classifier: TextClassifier, every: TextClassifier, texts: list[str], precision: str = "fp32") -> list[float]:
    """How far each output, and the gradient, is from those of ``every`` in fp32: norm of the difference over norm."""
    (said, gradient), (expected, wanted) = passed(classifier, texts, precision), passed(every, texts)
    pairs = zip([*said, gradient], [*expected, wanted], strict=True)
    return [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in pairs]


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_it_says_and_learns_what_transformers_does(folder: Path, texts: list[str]) -> None:
    assert max(apart(student(folder, positions="used"), student(folder), texts)) < ROUNDING


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_in_bf16_it_rounds_no_worse_than_transformers_does(folder: Path, texts: list[str]) -> None:
    few = apart(student(folder, positions="used"), student(folder), texts, "bf16")
    every = apart(student(folder), student(folder), texts, "bf16")
    assert all(ours < 3 * theirs for ours, theirs in zip(few, every, strict=True)), (few, every)


@pytest.mark.parametrize("config", LAID_OUT.values(), ids=LAID_OUT)
def test_each_layout_of_deberta_does(config: dict[str, Any], tmp_path: Path) -> None:
    folder = deberta(tmp_path, **config)
    few, every = student(folder, positions="used"), student(folder)
    assert max(apart(few, every, TEXTS["longer than the table"])) < ROUNDING
    few.eval()
    every.eval()
    batch = few.collate(few.encode(TEXTS["short"]), multiple_of=16)
    with torch.no_grad():
        torch.testing.assert_close(few(batch).logits, every(batch).logits, rtol=1e-5, atol=1e-6)


def test_recomputed_activations_are_the_same(folder: Path) -> None:
    few, every = student(folder, positions="used"), student(folder, positions="used")
    few.gradient_checkpointing_enable()
    (said, gradient), (expected, wanted) = passed(few, TEXTS["short"]), passed(every, TEXTS["short"])
    assert all(map(torch.equal, said, expected))
    assert torch.equal(gradient, wanted)


def test_no_other_position_is_computed(folder: Path) -> None:
    few = student(folder, positions="used")
    encoded = few.encode(TEXTS["short"])
    lengths = [len(each.ids) for each in encoded]
    assert max(lengths) < BUCKETS
    block = few.model.base_model.encoder.layer[0]
    rows: list[int] = []
    for module in (block.attention.self.key_proj, block.intermediate.dense):
        module.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    few(few.collate(encoded))
    assert rows == [sum(lengths), 2 * max(lengths), sum(lengths)]  # keys of tokens, of positions; feed-forward


@pytest.mark.parametrize(
    "wrong",
    [
        lambda layout: {"padding": torch.zeros_like(layout.padding)},
        lambda layout: {"apart": layout.apart.t()},
        lambda layout: {"apart": layout.apart - 1},
    ],
    ids=["padding is read", "queries for keys", "a row beside"],
)
def test_a_fault_in_the_layout_is_seen(
    wrong: Callable[[Layout], dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = UsedEncoder.get_attention_mask

    def planted(encoder: UsedEncoder, mask: Tensor) -> Layout:
        layout: Layout = right(encoder, mask)
        return replace(layout, **wrong(layout))

    monkeypatch.setattr(UsedEncoder, "get_attention_mask", planted)
    assert max(apart(student(folder, positions="used"), student(folder), TEXTS["short"])) > 100 * ROUNDING


def test_dropout_drawn_otherwise_is_seen(folder: Path) -> None:
    few, every = student(folder, positions="used", dropout=0.101), student(folder)
    assert max(apart(few, every, TEXTS["short"])) > 100 * ROUNDING


def test_a_saved_student_and_a_copy_answer_alike(folder: Path, tmp_path: Path) -> None:
    few = student(folder, positions="used")
    few.save(tmp_path)
    batch = few.collate(few.encode(TEXTS["short"]))
    with torch.no_grad():
        logits = few(batch).logits
        assert torch.equal(copy.deepcopy(few)(batch).logits, logits)
        torch.testing.assert_close(reopen_student(tmp_path, CONTEXT)(batch).logits, logits, rtol=1e-5, atol=1e-6)


def test_it_belongs_to_a_key_only_where_it_is_asked_for(folder: Path) -> None:
    assert "positions" not in StudentOptions(model=str(folder)).identity()
    assert StudentOptions(model=str(folder), positions="used").identity()["positions"] == "used, no padding"


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="`positions: used` is for DeBERTa-v2 and v3, and this model is a Bert"):
        student(tiny_bert(tmp_path, labels=LABELS), positions="used")


def test_a_deberta_that_goes_without_is_told_of_it(folder: Path, tmp_path: Path) -> None:
    """By its configuration, by the teacher it is cut from, or by its name where the hub's model was never fetched."""
    tip = StudentOptions(model=str(folder)).tip(None)
    assert tip == (
        "`student: {positions: used}` trains this DeBERTa about twice as fast where texts are of some 30 tokens, half "
        "as fast again at 100, no faster at 256; results differ in their last bits"
    )
    teacher = TeacherOptions(model=str(folder)).shape(None)
    assert StudentOptions(layers_from_teacher=[1]).tip(teacher) == tip
    assert StudentOptions(model="someone/deberta-v3-never-fetched").tip(None) == tip
    for silent in (
        StudentOptions(model=str(folder), positions="used"),
        StudentOptions(model=str(tiny_bert(tmp_path / "deberta-v3", labels=LABELS))),
        StudentOptions(model="someone/deberta-base-never-fetched"),
        StudentOptions(layers_from_teacher=[1]),
    ):
        assert silent.tip(None) == ""

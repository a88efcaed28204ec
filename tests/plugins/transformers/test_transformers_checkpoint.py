"""Faults of a checkpoint, each reported in one sentence, and an unreachable hub."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config

from cod_runner.api import BuildContext, CodrunError, SettingError
from cod_runner.testing.tiny_models import tiny_bert, tiny_qwen2
from codrun_transformers.build import build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import TeacherOptions

LABELS = ("negative", "positive")


def teacher(
    model: str | Path, *, offline: bool = False, said: list[str] | None = None, **options: Any
) -> TextClassifier:
    context = BuildContext(labels=LABELS, offline=offline, say=(said if said is not None else []).append)
    return build_teacher(TeacherOptions.model_validate({"model": str(model), **options}), context)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that refuses connections, with an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def in_cache(cache: Path, name: str, folder: Path) -> None:
    """Store a model the way the hub's client caches it."""
    place = cache / f"models--{name.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


def test_an_unreachable_hub_is_reported_in_one_sentence_within_seconds(no_hub: Path, slept: list[float]) -> None:
    with pytest.raises(CodrunError) as caught:
        teacher("someone/some-model")
    assert sum(slept) < 5
    message = str(caught.value)
    assert "`someone/some-model`" in message and "the hub cannot be reached" in message and "\n" not in message


def test_offline_does_not_contact_the_hub(no_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "get_session", ask)
    with pytest.raises(CodrunError, match="`someone/some-model` is not available: this run is offline"):
        teacher("someone/some-model", offline=True)


@pytest.mark.parametrize("offline", [True, False])
def test_a_model_in_the_hubs_cache_needs_no_hub(no_hub: Path, tmp_path: Path, offline: bool) -> None:
    folder = tiny_bert(tmp_path / "model", labels=LABELS)
    in_cache(no_hub, "someone/cached", folder)
    cached = teacher("someone/cached", offline=offline)
    assert cached.fingerprint == teacher(folder).fingerprint
    assert cached.model.config._name_or_path == "someone/cached"


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, labels=LABELS)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CodrunError, match=r"no safetensors weights \(only pytorch_model\.bin"):
        teacher(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(CodrunError, match=r"no safetensors weights \(neither `model\.safetensors` nor its index\)"):
        teacher(folder)


def test_configuration_and_weights_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, labels=LABELS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(CodrunError, match=r"lacks 32 weights of a BertForSequenceClassification"):
        teacher(folder)
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(CodrunError, match="do not belong together"):
        teacher(folder)


def test_a_tokenizer_with_more_ids_than_rows(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, labels=LABELS)
    weights = load_file(folder / "model.safetensors")
    table = "bert.embeddings.word_embeddings.weight"
    weights[table] = weights[table][:-1].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": config["vocab_size"] - 1}))
    with pytest.raises(CodrunError, match="its embedding table"):
        teacher(folder)


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_torn_file(tmp_path: Path, broken: str) -> None:
    folder = tiny_bert(tmp_path, labels=LABELS)
    (folder / broken).write_bytes((folder / broken).read_bytes()[:40])
    with pytest.raises(CodrunError, match="cannot be loaded") as caught:
        teacher(folder)
    assert "\n" not in str(caught.value)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    T5Config().save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CodrunError, match="encoder-decoder"):
        teacher(tmp_path)


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tiny_bert(tmp_path / "model")
    capfd.readouterr()
    teacher(folder).save(tmp_path / "saved")
    assert capfd.readouterr() == ("", "")


def test_numbered_classes_are_noted(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path, labels=("LABEL_0", "LABEL_1"))
    said: list[str] = []
    assert not teacher(folder, said=said).untrained_head
    assert any("taken in the order negative, positive" in sentence for sentence in said)


def test_device_map_goes_without_processes(tmp_path: Path) -> None:
    options = TeacherOptions(model=str(tmp_path), device_map="auto")
    with pytest.raises(SettingError, match="holds a whole one in each; drop one of them") as caught:
        build_teacher(options, BuildContext(labels=LABELS, processes=2))
    assert caught.value.setting == ("device_map",)


def test_device_map_without_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SettingError, match=r"`accelerate`, which is not installed; `pip install \"codrun\[accelerate\]\"`"
    ):
        build_teacher(TeacherOptions(model=str(tmp_path), device_map="auto"), BuildContext(labels=LABELS))


def test_device_map_spreads_a_teacher_and_it_stays_there(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = tiny_qwen2(tmp_path / "model", labels=LABELS, initializer_range=0.2)
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "disk"}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "score": "cpu"}
    plain, mapped = teacher(folder), teacher(folder, device_map=places)
    assert any(parameter.is_meta for parameter in mapped.parameters())
    batch = plain.collate(plain.encode(["a warm and funny film"]))
    with torch.no_grad():
        ours, theirs = mapped(batch, hidden=range(4)), plain(batch, hidden=range(4))
    assert torch.equal(ours.logits, theirs.logits)
    assert all(torch.equal(ours.hidden[layer], theirs.hidden[layer]) for layer in range(4))
    assert mapped.attribution(["a warm film"], [1]) == plain.attribution(["a warm film"], [1])
    assert mapped.to("meta") is mapped and not mapped.model.score.weight.is_meta
    assert mapped.fingerprint == teacher(folder, device_map=places).fingerprint
    other = tiny_qwen2(tmp_path / "other", labels=LABELS, initializer_range=0.2, seed=1)
    assert mapped.fingerprint != teacher(other, device_map=places).fingerprint
    with pytest.raises(CodrunError, match="cannot be trained"):
        mapped.train()

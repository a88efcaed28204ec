"""A checkpoint from a stranger, through every loader: no code of it runs, no pickle is opened, nobody is asked."""

from __future__ import annotations

import builtins
import json
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import torch
from transformers import BertForMaskedLM, BertTokenizer

from cod_runner.api import BuildContext, CodrunError, DataError
from cod_runner.testing.tiny_models import tiny_bert, tiny_qwen2
from codrun_data.hub import Hub
from codrun_data.hub_options import HubOptions
from codrun_masked_lm.infiller import Infiller
from codrun_masked_lm.plugin import MaskedLmOptions
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.measures import Fluency, Similarity
from codrun_transformers.options import MeasureOptions, StudentOptions, TeacherOptions

HEAD = "AutoModelForSequenceClassification"
LABELS = ("negative", "positive")
CONTEXT = BuildContext(labels=LABELS, offline=True)


def decoder(folder: Path) -> Path:
    return tiny_qwen2(folder, tie_word_embeddings=True)


def classifier(folder: Path) -> Path:
    return tiny_bert(folder, labels=LABELS)


def masked(folder: Path) -> Path:
    tiny_bert(folder)
    BertForMaskedLM(BertForMaskedLM.config_class.from_pretrained(folder)).save_pretrained(folder)
    return folder


LOADERS: dict[str, tuple[str, Callable[[Path], Path], Callable[[str], Any]]] = {
    "teacher": (HEAD, classifier, lambda name: build_teacher(TeacherOptions(model=name), CONTEXT)),
    "student": (HEAD, classifier, lambda name: build_student(StudentOptions(model=name), CONTEXT)),
    "similarity": ("AutoModel", tiny_bert, lambda name: Similarity(MeasureOptions(model=name), CONTEXT)),
    "fluency": ("AutoModelForCausalLM", decoder, lambda name: Fluency(MeasureOptions(model=name), CONTEXT)),
    "masked_lm": ("AutoModelForMaskedLM", masked, lambda name: Infiller(MaskedLmOptions(model=name), CONTEXT)),
}
"""By name: the class of transformers, a checkpoint for it, and who loads it."""


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question, an opened pickle or a call of the network fails the test."""

    def asked(question: str = "") -> str:
        raise AssertionError(f"was asked: {question}")

    def opened(*arguments: Any, **named: Any) -> None:
        raise AssertionError(f"opened a pickle: {arguments}")

    def connected(*arguments: Any, **named: Any) -> None:
        raise AssertionError(f"looked for a host: {arguments}")

    monkeypatch.setattr(builtins, "input", asked)
    monkeypatch.setattr(socket, "getaddrinfo", connected)
    monkeypatch.setattr(torch, "load", opened)


class Marks:
    """Unpickled, it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


def changed(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def with_code(folder: Path, marker: Path, auto_class: str) -> Path:
    """Names code in the configuration, and lays it beside it."""
    changed(folder / "config.json", auto_map={"AutoConfig": "evil.Own", auto_class: "evil.Own"})
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: ...\n")
    return folder


@pytest.mark.parametrize("loader", LOADERS)
def test_code_of_a_checkpoint_is_refused_without_a_question(loader: str, tmp_path: Path) -> None:
    auto_class, made, load = LOADERS[loader]
    folder = with_code(made(tmp_path / "model"), tmp_path / "ran", auto_class)
    changed(folder / "config.json", model_type="own")
    with pytest.raises(CodrunError) as caught:
        load(str(folder))
    assert str(caught.value) == (
        f"the model `{folder}` needs code of its own, which its config.json names (`auto_map`), and codrun runs no "
        "code from a model; choose a model whose class transformers has"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("loader", LOADERS)
def test_a_class_that_transformers_has_is_taken_instead_of_the_checkpoints_code(loader: str, tmp_path: Path) -> None:
    """Common on the hub: the configuration names code, and transformers has the architecture meanwhile."""
    auto_class, made, load = LOADERS[loader]
    folder = with_code(made(tmp_path / "model"), tmp_path / "ran", auto_class)
    changed(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Own", None]})
    load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_saved_model_names_no_code(tmp_path: Path) -> None:
    """A student goes on to others, who may trust it; the code that it named would be its checkpoint's author's."""
    folder = with_code(classifier(tmp_path / "model"), tmp_path / "ran", HEAD)
    changed(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "someone/else--evil.Own"]})
    student = LOADERS["student"][2](str(folder))
    before = student.fingerprint
    student.save(tmp_path / "saved")
    assert not [file for file in (tmp_path / "saved").iterdir() if b"evil" in file.read_bytes()]
    student.load(tmp_path / "saved")
    assert student.fingerprint == before, "keys of what was stored under it stay as they were"


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("auto_map", [["evil.Own", "evil.Own"], {"AutoTokenizer": [None, "someone/else--evil.Own"]}])
def test_code_of_a_tokenizer_is_not_run(loader: str, auto_map: Any, tmp_path: Path) -> None:
    auto_class, made, load = LOADERS[loader]
    folder = with_code(made(tmp_path / "model"), tmp_path / "ran", auto_class)
    changed(folder / "config.json", auto_map={})
    changed(folder / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="Own")
    load(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", [5, "evil.Own", {"AutoConfig": 7}, [[]], {"AutoConfig": ["evil.Own"]}])
def test_a_broken_auto_map_is_a_sentence_or_nothing(broken: Any, tmp_path: Path) -> None:
    folder = masked(tmp_path / "model")
    for file in ("config.json", "tokenizer_config.json"):
        before = (folder / file).read_text()
        changed(folder / file, auto_map=broken)
        try:
            LOADERS["masked_lm"][2](str(folder))
        except CodrunError as error:
            assert str(folder) in str(error) and "\n" not in str(error)
        (folder / file).write_text(before)


@pytest.mark.parametrize("limit", ["many", {}, -1, 0, float("nan")])
def test_a_limit_that_is_no_number_of_tokens(limit: Any, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model")
    changed(folder / "tokenizer_config.json", model_max_length=limit)
    with pytest.raises(CodrunError, match=r"tokenizer_config\.json of .* says `model_max_length: .*`; fetch or copy"):
        LOADERS["teacher"][2](str(folder))


def test_a_model_in_the_hubs_cache_is_treated_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "models--some--model"
    folder = with_code(masked(place / "snapshots" / ("0" * 40)), tmp_path / "ran", "AutoModelForMaskedLM")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    assert isinstance(LOADERS["masked_lm"][2]("some/model"), Infiller)
    changed(folder / "config.json", model_type="own")
    with pytest.raises(CodrunError, match=r"`some/model` needs code of its own, which its config\.json names"):
        LOADERS["masked_lm"][2]("some/model")
    assert not (tmp_path / "ran").exists()


def sharded(folder: Path, places: list[Any]) -> None:
    """Weights by an index that names ``places``; a safetensors file of another name lies beside it."""
    (folder / "model.safetensors").rename(folder / "x.safetensors")
    weights = {f"weight {number}": place for number, place in enumerate(places)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "place", ["evil.bin", "evil.bin.safetensors/../evil.bin", "sub/x.safetensors", "../x.safetensors"]
)
def test_an_index_names_safetensors_files_of_its_folder_or_nothing(loader: str, place: str, tmp_path: Path) -> None:
    _, made, load = LOADERS[loader]
    folder = made(tmp_path / "model")
    (folder / "sub").mkdir()
    for target in ("model/evil.bin", "model/sub/x.safetensors", "x.safetensors"):
        (tmp_path / target).write_bytes(pickle.dumps(Marks(tmp_path / "marker")))
    sharded(folder, ["x.safetensors", place])
    with pytest.raises(CodrunError) as caught:
        load(str(folder))
    assert f"names '{place}', which is not a safetensors file in its folder and could run code" in str(caught.value)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([], "does not say where its weights are"),
        ([5], "names '5', which is not a safetensors file"),
        (["..", "x.safetensors"], r"names '\.\.', which is not a safetensors file"),
        ([r"..\x.safetensors"], "which is not a safetensors file"),
        (
            ["x.safetensors", "gone.safetensors"],
            r"lacks 'gone\.safetensors', which its model\.safetensors\.index\.json",
        ),
    ],
)
def test_an_index_that_cannot_be_followed(places: list[Any], said: str, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model")
    sharded(folder, places)
    with pytest.raises(CodrunError, match=said):
        LOADERS["teacher"][2](str(folder))


def test_the_index_of_pickles_is_not_read(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model")
    sharded(folder, ["evil.bin"])
    (folder / "evil.bin").write_bytes(pickle.dumps(Marks(tmp_path / "marker")))
    (folder / "model.safetensors.index.json").rename(folder / "pytorch_model.bin.index.json")
    with pytest.raises(CodrunError, match=r"no safetensors weights \(only evil\.bin, which can run code\)"):
        LOADERS["teacher"][2](str(folder))
    (folder / "x.safetensors").rename(folder / "model.safetensors")
    LOADERS["teacher"][2](str(folder))
    assert not (tmp_path / "marker").exists()


def test_a_sharded_checkpoint_loads_and_a_link_is_followed(tmp_path: Path) -> None:
    """Links are how the hub's cache is laid out; what they lead to is read as safetensors, whatever it is."""
    folder = classifier(tmp_path / "model")
    whole = LOADERS["teacher"][2](str(folder))
    whole.model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    BertTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "shards")
    parts = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(parts) > 1
    parts[0].rename(tmp_path / "elsewhere")
    parts[0].symlink_to(tmp_path / "elsewhere")
    assert LOADERS["teacher"][2](str(tmp_path / "shards")).fingerprint == whole.fingerprint
    (tmp_path / "elsewhere").write_bytes(pickle.dumps(Marks(tmp_path / "marker")))
    with pytest.raises(CodrunError, match="cannot be loaded"):
        LOADERS["teacher"][2](str(tmp_path / "shards"))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"transformers_weights": "adapter_model.bin"},
            r"names its weights itself \(`transformers_weights: adapter_mod",
        ),
        ({"text_config": {"transformers_weights": "x.safetensors"}}, "names its weights itself"),
        ({"attn_implementation": "someone/kernel@main:run"}, r"names code on the hub \(`someone/kernel@main:run`\)"),
        ({"text_config": {"experts_implementation": {"": "a/b"}}}, r"names code on the hub \(`a/b`\)"),
    ],
)
def test_a_configuration_leads_to_no_other_weights_and_no_kernels(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "model")
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Marks(tmp_path / "marker")))
    changed(folder / "config.json", **settings)
    with pytest.raises(CodrunError, match=said):
        LOADERS["teacher"][2](str(folder))
    assert not (tmp_path / "marker").exists()


def test_adapters_are_refused(tmp_path: Path) -> None:
    """With peft installed, transformers would load them, from a pickle too; without it, it would ignore them."""
    folder = classifier(tmp_path / "model")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/else"}')
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Marks(tmp_path / "marker")))
    for loader in ("teacher", "masked_lm"):
        with pytest.raises(CodrunError, match="holds a peft adapter, which codrun does not load; merge it"):
            LOADERS[loader][2](str(folder))
    assert not (tmp_path / "marker").exists()


def test_a_library_of_data_sets_that_asks_is_told_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of ``datasets`` below 4 ask whether to run a data set's script."""
    told: list[Any] = []

    def load_dataset(path: str, trust_remote_code: bool | None = None, **named: Any) -> dict[str, Any]:
        told.append(trust_remote_code)
        raise ValueError("stop here")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="stop here"):
        Hub(HubOptions(path=str(tmp_path)), CONTEXT).load()
    assert told == [False]

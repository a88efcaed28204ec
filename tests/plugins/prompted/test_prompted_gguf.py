"""GGUF files: alone, beside others, and in the parts of packages; converted once, whole, and never run."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file
from tiny_prompts import SHOTS, TEXTS, WORDS, Make

from cod_runner.api import BuildContext, CodrunError, SettingError
from cod_runner.store import Store
from cod_runner.testing.tiny_models import tiny_language_model
from codrun_prompted import build, conversion
from codrun_prompted.build import build_teacher
from codrun_prompted.gguf_header import numbers_of
from codrun_prompted.options import PromptedOptions
from codrun_prompted.scorer import PromptedTeacher

BLOCK = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a GGUF file of a tiny Qwen2, the folder that it was made from)."""
    pytest.importorskip("accelerate", reason="the extra `llm` is not installed")
    gguf = pytest.importorskip("gguf", reason="the extra `llm` is not installed")
    root = tmp_path_factory.mktemp("gguf")
    folder = tiny_language_model(root / "folder", "qwen2", TEXTS)
    config = json.loads((folder / "config.json").read_text())
    told = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer = gguf.GGUFWriter(root / "tiny.gguf", "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    tokens = sorted(told["vocab"], key=told["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in told["merges"]])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    for name, values in load_file(folder / "model.safetensors").items():
        stem, _, kind = name.rpartition(".")
        if stem in OUTSIDE:
            named = OUTSIDE[stem]
        else:
            _, _, number, rest = stem.split(".", 3)
            named = f"blk.{number}.{BLOCK[rest]}"
        writer.add_tensor(f"{named}.{kind}", values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return root / "tiny.gguf", folder


@pytest.fixture
def package(file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the packages ``tiny_parts``, ``tiny_parts_part1`` to ``3``, which must not be imported."""
    content = file[0].read_bytes()
    third = len(content) // 3 + 1
    for number in range(4):
        folder = tmp_path / "site" / ("tiny_parts" if number == 0 else f"tiny_parts_part{number}")
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('a package of a recipe was imported')")
        if number:
            part = content[third * (number - 1) : third * number]
            (folder / "data" / f"tiny-q4.gguf.part0{number - 1}").write_bytes(part)
    sums = f"{hashlib.sha256(content).hexdigest()}  tiny-q4.gguf\n"
    (tmp_path / "site" / "tiny_parts" / "data" / "SHA256SUMS").write_text(sums)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def built(store: Path, said: list[str], **options: Any) -> PromptedTeacher:
    context = BuildContext(labels=WORDS, describe="Is the film good or bad?", shots=SHOTS, store=store, say=said.append)
    return build_teacher(PromptedOptions(**options), context)


def kept(store: Path) -> list[Path]:
    """What is in the store, but locks."""
    return [path for path in store.glob("models/**/*") if path.suffix != ".lock"]


def test_a_file_answers_as_the_folder_that_it_was_made_from(
    file: tuple[Path, Path], make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    teacher = built(tmp_path / "store", said, model=str(file[0]))
    assert torch.allclose(
        teacher.score(["a dull film", "good"]), make(file[1]).score(["a dull film", "good"]), atol=1e-5
    )
    (entry,) = Store(tmp_path / "store").entries()
    assert entry.name.startswith("models/")
    assert f"the store keeps the converted model, {entry.name}: 0.0 GB" in said
    assert {path.name for path in entry.files} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not [path for path in entry.files if path.suffix == ".gguf"]
    assert "Converting" not in capfd.readouterr().err, "a bar of transformers"
    Store(tmp_path / "store").prune(entry.name)
    assert not kept(tmp_path / "store")


def test_its_copy_is_estimated_from_the_beginning_of_the_file(
    file: tuple[Path, Path], package: Path, tmp_path: Path
) -> None:
    (estimated,) = PromptedOptions(model=str(file[0])).keeps()
    built(tmp_path / "store", [], model=str(file[0]))
    (entry,) = Store(tmp_path / "store").entries()
    weights = next(path for path in entry.files if path.suffix == ".safetensors").stat().st_size
    assert estimated.place == entry.name and estimated.bytes is not None
    assert 0 <= weights - estimated.bytes < 4_000  # the header
    (in_parts,) = PromptedOptions(model="package:tiny_parts").keeps()
    assert (in_parts.place, in_parts.bytes) == (estimated.place, estimated.bytes)
    assert PromptedOptions(model=str(file[1])).keeps() == []
    (on_the_hub,) = PromptedOptions(model="nobody/never-fetched", gguf="x.gguf").keeps()
    assert (on_the_hub.place, on_the_hub.bytes) == (None, None)


@pytest.mark.parametrize("kept_bytes", [0, 3, 20, 500])
def test_a_file_that_is_cut_off_has_no_known_size(file: tuple[Path, Path], tmp_path: Path, kept_bytes: int) -> None:
    (tmp_path / "x.gguf").write_bytes(file[0].read_bytes()[:kept_bytes])
    assert numbers_of(tmp_path / "x.gguf") is None
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 60)
    assert numbers_of(tmp_path / "x.gguf") is None


def test_lists_within_lists_without_end_have_no_known_size(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", 9, 1) * 5_000
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9)
    (tmp_path / "deep.gguf").write_bytes(header + nested)
    assert numbers_of(tmp_path / "deep.gguf") is None


def test_a_file_is_converted_once(file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(tmp_path / "store", [], model=str(file[0]))
    monkeypatch.setattr(conversion, "_convert", None)
    monkeypatch.setattr(conversion.importlib.util, "find_spec", lambda name: None)
    said: list[str] = []
    again = built(tmp_path / "store", said, model=str(file[0].parent), gguf="tiny.gguf")
    assert said == [] and again.fingerprint == first.fingerprint


def test_its_beginning_is_read_once(file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gguf

    opened: list[str] = []
    real, begin = gguf.GGUFReader, gguf.GGUFReader.__init__

    def counted(reader: Any, path: Any, *more: Any) -> None:
        opened.append(str(path))
        begin(reader, path, *more)
        assert type(reader.data) is numpy.ndarray, "slices of a memory map are slow"

    monkeypatch.setattr(real, "__init__", counted)
    built(tmp_path / "store", [], model=str(file[0]))
    assert len(opened) == 1
    assert gguf.GGUFReader is real


def test_two_runs_convert_it_once_between_them(
    file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    convert = conversion._convert

    def counted(source: Any, folder: Path) -> None:
        made.append(folder)
        convert(source, folder)

    monkeypatch.setattr(conversion, "_convert", counted)
    runs = [
        threading.Thread(target=built, args=(tmp_path / "store", []), kwargs={"model": str(file[0])}) for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(made) == 1


def test_a_conversion_that_is_cut_off_leaves_nothing(
    file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(source: Any, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(conversion, "_convert", cut_off)
        with pytest.raises(KeyboardInterrupt):
            built(tmp_path / "store", [], model=str(file[0]))
    assert not kept(tmp_path / "store")
    assert built(tmp_path / "store", [], model=str(file[0])).score(["a film"]).shape == (1, 2)


def test_a_package_in_parts_is_joined_and_not_imported(package: Path, file: tuple[Path, Path], tmp_path: Path) -> None:
    options = PromptedOptions(model="package:tiny_parts")
    assert options.identity()["model"] == {"gguf": hashlib.sha256(file[0].read_bytes()).hexdigest()}
    assert options.shape(None) is None and options.destinations() == []
    teacher = built(tmp_path / "store", [], model="package:tiny_parts")
    assert teacher.fingerprint == built(tmp_path / "store", [], model=str(file[0])).fingerprint


@pytest.mark.parametrize("damage", ["a part is gone", "a part is cut"])
def test_parts_that_are_not_the_file_are_refused(package: Path, tmp_path: Path, damage: str) -> None:
    (part,) = (package / "tiny_parts_part3" / "data").iterdir()
    if damage == "a part is gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CodrunError, match=r"installed parts of `package:tiny_parts` are not the file.*--force-reinst"):
        built(tmp_path / "store", [], model="package:tiny_parts")
    assert not kept(tmp_path / "store")


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"`no_such_gguf` .* not installed; try `pip install no-such-gguf`"):
        PromptedOptions(model="package:no_such_gguf").identity()
    folder = tmp_path / "lone_gguf" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "lone_gguf" / "__init__.py").touch()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  lone.gguf\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=r"lone_gguf_part1, .* not installed; `pip install .*lone-gguf`"):
        PromptedOptions(model="package:lone_gguf").identity()
    (folder / "SHA256SUMS").write_text("nothing of the kind")
    with pytest.raises(SettingError, match=r"does not name one \.gguf file"):
        PromptedOptions(model="package:lone_gguf").identity()


def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "right.gguf").touch()
    with pytest.raises(SettingError, match=r"there is no file .*wrong\.gguf; there are right\.gguf") as error:
        PromptedOptions(model=str(tmp_path), gguf="wrong.gguf").identity()
    assert error.value.setting == ("gguf",)
    with pytest.raises(SettingError, match=r"there is no file .*wrong\.gguf") as error:
        PromptedOptions(model=str(tmp_path / "wrong.gguf")).identity()
    assert error.value.setting == ("model",)


def test_a_folder_of_gguf_files_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "right.gguf").touch()
    with pytest.raises(SettingError, match=r"holds GGUF files; say which one, as in `gguf: right\.gguf`"):
        PromptedOptions(model=str(tmp_path)).identity()
    monkeypatch.setattr(build, "fetched_checkpoint", lambda *given, **named: tmp_path)
    with pytest.raises(SettingError, match=r"`somebody/tiny-GGUF` has no config\.json; .* name one with `gguf:`"):
        built(tmp_path / "store", [], model="somebody/tiny-GGUF")


def test_a_relative_file_is_beside_the_recipe(tmp_path: Path) -> None:
    options = PromptedOptions.model_validate({"model": "tiny.gguf"}, context={"folder": tmp_path})
    assert options.model == str(tmp_path / "tiny.gguf")


def test_the_libraries_that_read_the_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conversion.LIBRARIES == ("gguf", "accelerate")
    missing = "no_such_library"
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(conversion, "LIBRARIES", ("json", missing))
    with pytest.raises(SettingError, match=rf'`{missing}`, which is not installed; `pip install "codrun\[llm\]"`'):
        built(tmp_path / "store", [], model=str(tmp_path / "tiny.gguf"))


def test_a_file_that_is_damaged_is_refused_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64)
    with pytest.raises(CodrunError, match=r"tiny\.gguf` cannot be loaded"):
        built(tmp_path / "store", [], model=str(tmp_path / "tiny.gguf"))
    assert not kept(tmp_path / "store")


def test_a_file_on_the_hub_is_fetched_alone(
    file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def fetched(name: str, revision: str | None, *, offline: bool, say: Any, files: list[str]) -> Path:
        asked.append(files)
        return file[0].parent

    monkeypatch.setattr(build, "fetched_checkpoint", fetched)
    teacher = built(tmp_path / "store", [], model="somebody/tiny-GGUF", gguf="tiny.gguf")
    assert asked == [["tiny.gguf"]]
    assert teacher.fingerprint == built(tmp_path / "store", [], model=str(file[0])).fingerprint
    with pytest.raises(SettingError, match=r"the hub's `somebody/tiny-GGUF` has no file `huge.gguf`"):
        built(tmp_path / "store", [], model="somebody/tiny-GGUF", gguf="huge.gguf")


def test_a_package_that_names_two_files_is_refused(package: Path, tmp_path: Path) -> None:
    sums = package / "tiny_parts" / "data" / "SHA256SUMS"
    sums.write_text(sums.read_text() + f"{'0' * 64}  another.gguf\n")
    with pytest.raises(SettingError, match=r"does not name one \.gguf file") as caught:
        built(tmp_path / "store", [], model="package:tiny_parts")
    assert caught.value.setting == ("model",)

"""The teacher's options, its identity, what it says of itself, and one sentence for each thing that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny_prompts import SHOTS, TEXTS, WORDS, Make

from cod_runner.api import (
    BuildContext,
    CodrunError,
    HiddenStateScorer,
    LabelScorer,
    ModelShape,
    ProviderError,
    SettingError,
)
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import SENTENCES, tiny_bert, tiny_language_model, tiny_qwen2
from codrun_prompted import build, scorer
from codrun_prompted.options import PromptedOptions


def test_it_is_a_scorer_with_hidden_states(make: Make) -> None:
    teacher = make("qwen2")
    assert isinstance(teacher, LabelScorer) and isinstance(teacher, HiddenStateScorer)
    assert teacher.shape == ModelShape(layers=3, width=32, classes=2)
    assert teacher.score(SENTENCES).exp().sum(1).tolist() == pytest.approx([1.0] * len(SENTENCES))
    assert teacher.score([]).shape == (0, 2)
    assert teacher.price(["a film"]) == 0.0


def test_progress_counts_texts(make: Make) -> None:
    seen: list[tuple[int, int]] = []
    make("qwen2", labels=("bad film", "never seen", "it")).score(
        [*SENTENCES] * 4, lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (24, 24) and len(seen) > 1
    assert seen == sorted(seen)


def test_the_fingerprint_follows_whatever_decides_an_answer(make: Make, tmp_path: Path) -> None:
    other = tiny_language_model(tmp_path / "other", "qwen2", TEXTS, seed=1)
    teachers = [
        make("qwen2"),
        make(other),
        make("llama"),
        make("qwen2", shots=SHOTS[:2]),
        make("qwen2", shots=SHOTS[::-1]),
        make("qwen2", labels=WORDS[::-1]),
        make("qwen2", words={"bad": "dull"}),
        make("qwen2", text_name="Film"),
        make("qwen2", dtype="bfloat16"),
        make("qwen2", max_length=8),
    ]
    assert len({each.fingerprint for each in teachers}) == len(teachers)
    assert make("qwen2", coverage_floor=0.1, dtype="float32").fingerprint == teachers[0].fingerprint


def test_identity_and_shape_are_told_without_loading_anything(models: dict[str, Path]) -> None:
    code = f"""
import sys
from codrun_prompted.options import PromptedOptions
from codrun_prompted import plugin
options = PromptedOptions(model={str(models["gemma3"])!r}, max_length=100)
print(options.identity()["model"]["files"]["model.safetensors"][:1] != "", options.shape(None), options.answering())
assert not {{"torch", "transformers", "numpy"}} & set(sys.modules), sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ModelShape(layers=3, width=32, classes=0), longest=100" in done.stdout
    assert "shots=8" in done.stdout and "hidden_states=True, leave_one_out=True" in done.stdout


def test_identity_leaves_out_what_cannot_change_an_answer(models: dict[str, Path]) -> None:
    model = str(models["qwen2"])
    first = PromptedOptions(model=model).identity()
    assert json.loads(json.dumps(first)) == first and str(models["qwen2"]) not in json.dumps(first)
    assert PromptedOptions(model=model, coverage_floor=0.5).identity() == first
    for changed in ({"shots": 4}, {"dtype": "bfloat16"}, {"form": "chat"}, {"quantise": "8bit"}, {"revision": "x"}):
        assert PromptedOptions(model=model, **changed).identity() != first


def test_a_hub_model_says_where_its_files_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    options = PromptedOptions(model="nobody/there", revision="abc")
    assert [each.component for each in options.destinations()] == ["nobody/there"]
    assert options.identity()["model"] == {"hub": "nobody/there"}
    with pytest.raises(CodrunError, match=r"`nobody/there` is not available: this run is offline"):
        build.build_teacher(options, BuildContext(labels=WORDS, offline=True))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "x/y", "gguf": "model.bin"}, "must be the name of a .gguf file"),
        ({"model": "x/y", "gguf": "../model.gguf"}, "must be the name of a .gguf file"),
        ({"model": "./a.gguf", "gguf": "b.gguf"}, "not in both"),
        ({"model": "x/y", "shots": -1}, "greater than or equal to 0"),
        ({"model": "x/y", "coverage_floor": 1.5}, "less than or equal to 1"),
        ({"model": "x/y", "temperature": 1}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        PromptedOptions(**options)


# --- what is wrong with a model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_other", [tiny_bert, lambda folder: tiny_qwen2(folder, labels=WORDS), tiny_qwen2])
def test_what_is_no_causal_language_model_is_refused(make: Make, tmp_path: Path, make_other: Any) -> None:
    with pytest.raises(SettingError, match=r"not a causal language model; name one") as error:
        make(make_other(tmp_path / "other"))
    assert error.value.setting == ("model",)


def test_a_model_without_an_output_layer_is_refused_when_it_is_loaded(make: Make, tmp_path: Path) -> None:
    folder = tiny_qwen2(tmp_path / "bare", TEXTS, tie_word_embeddings=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen2ForCausalLM"]}))
    with pytest.raises(CodrunError, match=r"lacks 1 weights of a Qwen2ForCausalLM, the first is `lm_head.weight`"):
        make(folder, shots=()).score(["a film"])


def test_a_folder_without_a_tokenizer_is_refused(make: Make, tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "bare", "qwen2", TEXTS)
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(CodrunError, match=r"no tokenizer that reads text|cannot be loaded"):
        make(folder)


def test_a_tokenizer_without_a_padding_token_does(make: Make) -> None:
    teacher = make("llama")
    assert teacher._checkpoint.tokenizer.pad_token_id is None
    assert teacher.score(SENTENCES).isfinite().all()


def test_a_prompt_longer_than_the_model_reads_is_refused_with_the_numbers(make: Make, tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "short", "gpt2", TEXTS, max_position_embeddings=140)
    teacher = make(folder, shots=SHOTS[:1])
    length = len(teacher._rendering.rows([""])[0][0].ids)
    fitting = "good " * (140 - length)
    assert teacher.score([fitting]).shape == (1, 2), "its batch is padded past the last position"
    with pytest.raises(SettingError, match=r"with 1 shot takes \d+ tokens with a text of .* reads at most 140") as one:
        teacher.score([fitting + "good good"])
    assert one.value.setting == ("shots",)
    with pytest.raises(SettingError, match=r"without a text.*reads at most 140; give fewer `shots`"):
        make(folder, shots=SHOTS * 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_auto_is_float32_on_a_cpu(make: Make) -> None:
    assert make("qwen2")._checkpoint.precision == "float32"


@pytest.mark.parametrize("missing", ["bitsandbytes", "accelerate"])
def test_what_quantising_needs_is_named(make: Make, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(SettingError, match=rf"needs the package `{missing}`.*`pip install {missing}`") as error:
        make("qwen2", quantise="4bit")
    assert error.value.setting == ("quantise",)


def test_quantising_is_asked_of_transformers(models: dict[str, Path]) -> None:
    options = PromptedOptions(model=str(models["qwen2"]), quantise="4bit")
    given = build._quantised(options, "bfloat16", "cuda")
    assert given["device_map"] == {"": "cuda"}
    assert given["quantization_config"].load_in_4bit
    assert given["quantization_config"].bnb_4bit_compute_dtype == torch.bfloat16


# --- coverage -------------------------------------------------------------------------------------------------------

MANY = [f"{text} {number}" for number in range(4) for text in SENTENCES]


def covered(teacher: Any, texts: list[str]) -> float:
    """The mean probability of the label words."""
    rows = [of_text[0] for of_text in teacher._rendering.rows(texts)]
    tokens = [answer[0] for answer in teacher._rendering.answers]
    return float(torch.stack([read.logprobs[0] for read in teacher._model.read(rows, tokens, 1)]).exp().sum(1).mean())


def test_coverage_is_said_once_with_its_number_and_cures(make: Make) -> None:
    said: list[str] = []
    teacher = make("qwen2", said=said)
    teacher.score(MANY[:2])
    assert said == [], "two texts say nothing about a run"
    teacher.score(MANY)
    teacher.score(MANY[:20])
    assert len(said) == 1
    mean = covered(teacher, MANY[:2] + MANY)
    assert mean < scorer.LOW
    assert f"gives the label words {mean:.2f} of the probability, on average over {len(MANY) + 2} texts" in said[0]
    assert "choose `words` that it would say, the other `form`, or more `shots`" in said[0]


def test_high_coverage_is_said_without_cures(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "LOW", 0.0)
    said: list[str] = []
    make("qwen2", said=said).score(MANY)
    assert len(said) == 1 and "(a continued text, float32)" in said[0] and "choose" not in said[0]


def test_coverage_below_the_floor_ends_the_run(make: Make) -> None:
    teacher = make("qwen2", coverage_floor=0.9)
    with pytest.raises(ProviderError, match=r"which is below `coverage_floor: 0.9`; choose `words`"):
        teacher.score(MANY)
    assert make("qwen2", coverage_floor=1e-9).score(MANY).shape == (len(MANY), 2)


def test_the_registry_builds_it(models: dict[str, Path], tmp_path: Path) -> None:
    context = BuildContext(labels=WORDS, shots=SHOTS, store=tmp_path)
    teacher = Registry.discover().build("teacher", "prompted", {"model": str(models["llama"])}, context)
    assert isinstance(teacher, HiddenStateScorer)

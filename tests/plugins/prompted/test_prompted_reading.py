"""What the model says behind a cached prompt it says of the whole one, and of a text what it says of it alone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_prompts import SHOTS, WORDS, Make
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from cod_runner.api import LabelPrompt
from cod_runner.testing.tiny_models import LANGUAGE_MODELS, SENTENCES
from codrun_prompted import reading
from codrun_prompted.options import PromptedOptions

READ = [*SENTENCES, "a", "", "it is " * 12, "good " * 19 + "film"]
"""Of several lengths, so that they are read in several batches."""


@functools.cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def plainly(folder: Path, text: str, labels: tuple[str, ...], layers: tuple[int, ...] = ()) -> tuple[Tensor, Any]:
    """Without cache, batch or padding: the whole prompt and each answer, read once by the model as it is."""
    model, tokenizer = _loaded(folder)
    options = PromptedOptions(model=str(folder))
    prompt = LabelPrompt.of(options, labels, "Is the film good or bad?", [(s.input, s.hard_label) for s in SHOTS])
    asked = tokenizer(prompt.completion(text))["input_ids"]
    scores, hidden = [], None
    for label in labels:
        whole = tokenizer(f"{prompt.completion(text)} {label}")["input_ids"]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([whole]), output_hidden_states=True)
        said = out.logits[0].log_softmax(-1)
        scores.append(sum(said[place - 1, whole[place]] for place in range(len(asked), len(whole))))
        hidden = [out.hidden_states[layer][0, len(asked) - 1] for layer in layers]
    return torch.stack(scores).log_softmax(-1), hidden


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
@pytest.mark.parametrize("labels", [WORDS, ("bad film", "never seen", "it")], ids=["one token", "several tokens"])
def test_the_answers_are_those_of_the_whole_prompt(
    kind: str, labels: tuple[str, ...], make: Make, models: dict[str, Path]
) -> None:
    teacher = make(kind, labels=labels)
    said = teacher.score(READ)
    assert teacher._model._prefix, "the prompt is not read again for each text"
    wanted = torch.stack([plainly(models[kind], text, labels)[0] for text in READ])
    assert said.dtype == torch.float32
    assert torch.allclose(said, wanted, atol=1e-4)
    assert wanted.std(0).max() > 0.01, "the texts differ, or nothing was tested"


@pytest.mark.parametrize(("kind", "dtype"), [*((kind, "float32") for kind in LANGUAGE_MODELS), ("gemma3", "bfloat16")])
def test_an_answer_does_not_depend_on_the_texts_beside_it(kind: str, dtype: str, make: Make) -> None:
    texts = [*READ, *(f"{text} {number}" for number in range(3) for text in SENTENCES)]
    together, alone = make(kind, dtype=dtype), make(kind, dtype=dtype)
    said, hidden = together.states(texts, (0, 3))
    for place in (0, 3, 6, 7, 9, 20):
        mine, own = alone.states([texts[place]], (0, 3))
        assert torch.equal(mine[0], said[place])
        assert all(torch.equal(own[layer][0], hidden[layer][place]) for layer in (0, 3))
    backwards = together.score(texts[::-1])
    assert torch.equal(backwards.flip(0), said)


def test_an_answer_does_not_depend_on_how_many_cores_there_are(make: Make) -> None:
    teacher, other = make("gemma3"), make("gemma3")
    said = teacher.score(READ)
    other._model._at_once = 1
    torch.set_num_threads(2)
    try:
        assert torch.equal(other.score(READ), said)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_hidden_states_are_those_of_the_position_that_gives_the_answer(
    kind: str, make: Make, models: dict[str, Path]
) -> None:
    said, hidden = make(kind).states(READ[:3], (3, 0, 1))
    assert torch.equal(said, make(kind).score(READ[:3]))
    for place, text in enumerate(READ[:3]):
        _, wanted = plainly(models[kind], text, WORDS, (3, 0, 1))
        for layer, states in zip((3, 0, 1), wanted, strict=True):
            assert torch.allclose(hidden[layer][place], states, atol=1e-4)
    assert hidden[3].shape == (3, 32)


def test_the_last_hidden_state_comes_after_the_final_norm(make: Make) -> None:
    teacher = make("qwen2")
    _, hidden = teacher.states(READ[:1], (3,))
    logits = teacher._model._model.lm_head(hidden[3][0])
    good, bad = (teacher._rendering.answers[label][0] for label in (1, 0))
    said = teacher.score(READ[:1])[0]
    assert float(logits[good] - logits[bad]) == pytest.approx(float(said[1] - said[0]), abs=1e-4)


def test_a_text_that_is_tied_to_the_prompt_is_read_with_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a tokenizer joins a text's first character to the space before it."""
    teacher = make("qwen2")
    said = teacher.score(READ)
    other = make("qwen2")
    longer = (*other._rendering.shared, other._rendering.rows(["a film"])[0][0].ids[len(other._rendering.shared)])
    other._rendering.shared = longer
    mixed = other.score(READ)
    behind = [longer == row[0].ids[: len(longer)] for row in other._rendering.rows(READ)]
    assert True in behind and False in behind
    assert torch.allclose(mixed, said, atol=1e-5)


def test_a_model_without_such_a_cache_reads_the_prompt_each_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    said = make("llama").score(READ)
    monkeypatch.setattr(reading.Reader, "_cached", lambda self, prefix: None)
    teacher = make("llama")
    assert torch.allclose(teacher.score(READ), said, atol=1e-5)
    assert teacher._model._prefix == ()
    assert torch.equal(teacher.score([READ[4]])[0], teacher.score(READ)[4])


def test_only_the_wanted_positions_pass_the_output_layer(make: Make) -> None:
    teacher = make("gemma3")
    seen: list[tuple[int, ...]] = []
    head = teacher._model._model.get_output_embeddings()
    head.register_forward_hook(lambda module, arguments, output: seen.append(tuple(output.shape[:2])))
    teacher.score(READ[:4])
    assert seen and set(seen) == {(16, 1)}


def test_log_odds_in_bfloat16_have_no_steps(make: Make) -> None:
    teacher = make("qwen2", dtype="bfloat16")
    said = teacher.score(READ)
    model = teacher._model._model
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert model.lm_head.weight.dtype == torch.float32
    assert torch.allclose(said, make("qwen2").score(READ), atol=0.5)
    odds = (said[:, 1] - said[:, 0]).tolist()
    assert any(value != pytest.approx(round(value * 128) / 128, abs=1e-6) for value in odds)


def test_too_little_memory_is_said_with_its_cures(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = make("qwen2")

    def full(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    reader = teacher._model
    monkeypatch.setattr(reader, "_model", full)
    with pytest.raises(reading.CodrunError, match=r"memory does not suffice for .*smaller model"):
        teacher.score(["a film"])


def test_another_fault_of_the_model_is_none_of_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = make("qwen2")

    def broken(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(teacher._model, "_model", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        teacher.score(["a film"])

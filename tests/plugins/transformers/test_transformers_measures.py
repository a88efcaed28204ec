"""Similarity and fluency of counterfactuals, by tiny random models."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM, Qwen2Config, Qwen2ForCausalLM

from cod_runner.api import BuildContext, CodrunError
from cod_runner.counterfactuals.measures import build_measures
from cod_runner.errors import PluginError, RecipeError
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import tiny_bert, tiny_qwen2
from codrun_transformers.measures import Fluency, Similarity
from codrun_transformers.options import MeasureOptions

OLD, NEW, OTHER = "a warm and funny film", "a dull and funny film", "there is nothing here that you haven't seen before"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model that has learned the sentence OLD by heart."""
    folder = tiny_qwen2(tmp_path_factory.mktemp("decoder"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = tokenizer([OLD], return_tensors="pt")["input_ids"]
    for _ in range(30):
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    return folder


def options(folder: Path, **changes: object) -> MeasureOptions:
    return MeasureOptions.model_validate({"model": str(folder), **changes})


def test_similarity_is_the_cosine_of_mean_pooled_states_whatever_the_company(encoder: Path) -> None:
    similarity = Similarity(options(encoder), BuildContext())
    pairs = [(OLD, NEW), (OLD, OTHER), (OLD, OLD), ((0.5,), (0.7,))]
    values = similarity(pairs)
    assert values[2:] == [pytest.approx(1.0), None]
    assert values[0] is not None and values[1] is not None
    assert values[1] < values[0] < 1
    assert similarity([(NEW, OLD)]) == [pytest.approx(values[0], abs=1e-5)]
    many = [(f"{OLD} {number}", OTHER) for number in range(40)]
    assert similarity([*many, *pairs])[40:42] == [pytest.approx(each, abs=1e-5) for each in values[:2]]


def test_fluency_is_the_ratio_of_perplexities(decoder: Path) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(decoder), AutoModelForCausalLM.from_pretrained(decoder)

    def perplexity(text: str) -> float:
        ids = tokenizer([text], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return math.exp(model(input_ids=ids, labels=ids).loss.item())

    fluency = Fluency(options(decoder), BuildContext())
    values = fluency([(OLD, NEW), (NEW, OLD), (OLD, OLD), (OLD, OTHER), (OLD, ""), ((0.5,), (0.7,))])
    assert values[:4] == [
        pytest.approx(perplexity(NEW) / perplexity(OLD), rel=1e-3),
        pytest.approx(perplexity(OLD) / perplexity(NEW), rel=1e-3),
        1.0,
        pytest.approx(perplexity(OTHER) / perplexity(OLD), rel=1e-3),
    ]
    assert values[0] is not None and values[0] > 2, "the model knows OLD by heart"
    assert values[4:] == [None, None]


def test_a_long_text_is_cut_to_what_the_model_reads(encoder: Path, decoder: Path) -> None:
    long = " ".join([OTHER] * 200)
    assert Similarity(options(encoder), BuildContext())([(long, long)]) == [pytest.approx(1.0)]
    assert Fluency(options(decoder, max_length=16), BuildContext())([(long, f"{long} and more")]) == [
        pytest.approx(1.0)
    ]


def test_a_model_that_looks_ahead_or_lacks_its_head_is_no_language_model(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match="lacks 6 weights of a BertLMHeadModel"):
        Fluency(options(encoder), BuildContext())
    tiny_bert(tmp_path)
    BertForMaskedLM(BertConfig.from_pretrained(tmp_path)).save_pretrained(tmp_path)
    with pytest.raises(
        CodrunError, match="is not a causal language model: what it says of a token depends on later ones"
    ):
        Fluency(options(tmp_path), BuildContext())


def test_the_command_line_names_a_measure_and_its_model(encoder: Path) -> None:
    registry = Registry.discover()
    built = build_measures(
        [f"similarity={encoder}", f"similarity={{model: {encoder}, max_length: 8}}"], registry, BuildContext()
    )
    assert [measure.title for measure in built] == ["similarity (cosine of embeddings)"] * 2
    assert built[0]([(OLD, NEW)]) != [None]
    for wrong, fault, sentence in (
        ("similarty=x", PluginError, "no cfe_measure is named `similarty`; did you mean `similarity`?"),
        ("similarity", RecipeError, "--measure similarity: `model`: Field required; its options are model, revision"),
        ("similarity={model: x, length: 3}", RecipeError, "`length`: Extra inputs are not permitted; its options are"),
        ("similarity={model: [", RecipeError, "what follows `=` is not YAML"),
        ("fluency=./nowhere", CodrunError, "there is no model folder"),
    ):
        with pytest.raises(fault) as caught:
            build_measures([wrong], registry, BuildContext(offline=True))
        assert sentence in str(caught.value)

"""Embeddings of texts: what they are, that they depend on no company, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, T5Config, T5Model

from cod_runner.api import CodrunError, TextEncoder
from cod_runner.store import Store
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS, tiny_bert

TEXTS = [*SENTENCES, *(f"{text} {other}" for text in SENTENCES for other in SENTENCES)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize("architecture", sorted(TINY_MODELS))
def test_a_vector_is_the_mean_of_the_last_states_alone_or_in_company(architecture: str, tmp_path: Path) -> None:
    folder = TINY_MODELS[architecture](tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoder = TextEncoder(str(folder))
    vectors = encoder.embed(TEXTS)
    assert vectors.dtype == torch.float32
    for place in (0, 3, 20):
        ids = tokenizer(TEXTS[place], return_tensors="pt", truncation=True, max_length=62)["input_ids"]
        with torch.no_grad():
            wanted = model(input_ids=ids).last_hidden_state[0].mean(0)
        torch.testing.assert_close(vectors[place], wanted, atol=1e-5, rtol=1e-4)
        assert torch.equal(TextEncoder(str(folder)).embed([TEXTS[place]])[0], vectors[place])
    assert torch.equal(encoder.embed([TEXTS[20], TEXTS[0], TEXTS[20]]), vectors[[20, 0, 20]])


def test_threads_are_as_many_as_before(encoder: Path) -> None:
    before = torch.get_num_threads()
    TextEncoder(str(encoder)).embed(TEXTS[:3])
    assert torch.get_num_threads() == before


def test_nothing_to_embed_needs_no_model(encoder: Path) -> None:
    assert len(TextEncoder(str(encoder)).embed([])) == 0


def test_vectors_are_kept_by_encoder_and_text(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    first, second = TextEncoder(str(encoder), store=store), TextEncoder(str(encoder), store=store)
    vectors = first.embed(TEXTS[:20])
    assert torch.equal(second.embed(TEXTS[10:30])[:10], vectors[10:])
    first.embed(TEXTS[30:])
    (path,) = (store / "embeddings").iterdir()
    assert [entry.name for entry in Store(store).entries()] == ["embeddings"]

    def unloaded(*args: object, **settings: object) -> None:
        raise AssertionError("the store has them")

    with monkeypatch.context() as patched:
        patched.setattr("cod_runner.text_encoder.pretrained", unloaded)
        backwards = TextEncoder(str(encoder), store=store).embed(TEXTS[::-1])
        assert torch.equal(backwards.flip(0)[:20], vectors), "what either of the two wrote"
    TextEncoder(str(encoder), store=store, max_length=8).embed(TEXTS)
    TextEncoder(str(tiny_bert(tmp_path / "other", seed=1)), store=store).embed(TEXTS)
    assert len(list((store / "embeddings").iterdir())) == 3
    assert path.exists()


@pytest.mark.parametrize("damage", [b"", b"nothing of the kind", None])
def test_damaged_vectors_are_said_to_be_and_computed_again(encoder: Path, tmp_path: Path, damage: bytes | None) -> None:
    vectors = TextEncoder(str(encoder), store=tmp_path).embed(TEXTS[:4])
    (path,) = (tmp_path / "embeddings").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    said: list[str] = []
    assert torch.equal(TextEncoder(str(encoder), store=tmp_path, say=said.append).embed(TEXTS[:4]), vectors)
    assert len(said) == 1 and "cannot be used" in said[0] and said[0].endswith("they are computed again")
    assert path.read_bytes() == whole


def test_a_model_that_encodes_nothing_by_itself_is_refused(tmp_path: Path, encoder: Path) -> None:
    config = T5Config(vocab_size=50, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(tmp_path)
    with pytest.raises(CodrunError, match="is an encoder-decoder; name an encoder or a decoder"):
        TextEncoder(str(tmp_path)).embed(["a text"])
    with pytest.raises(CodrunError, match="there is no model folder"):
        TextEncoder(str(tmp_path / "nowhere"))

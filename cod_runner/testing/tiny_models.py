"""Tiny random models with tokenizers of their own, for tests: the real classes of each architecture, built from a
configuration in milliseconds, saved as a folder that ``transformers`` loads.

Each function takes the folder to write, texts to train the tokenizer on, and the names of the classes: with names
the folder holds a classifier, without them a bare backbone, as a pretrained checkpoint does. ``config`` overrides
the architecture's own configuration (``num_hidden_layers``, ``vocab_size`` as a bound on the tokenizer, ...).
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    DistilBertConfig,
    ElectraConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    LlamaTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2Tokenizer,
    RobertaConfig,
    RobertaTokenizer,
)

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
END_OF_TEXT = "<|endoftext|>"
SENTENCES = (
    "a warm and funny film that never loses its way",
    "a dull film, badly acted and far too long",
    "the actors are good but the story isn't",
    "one of the best things I have seen this year",
    "there is nothing here that you haven't seen before",
    "it's a great, great movie",
)
"""Enough text for a tokenizer where a test has no opinion."""


def tiny_bert(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """BERT: WordPiece, token types, post-norm, pooler. Returns ``folder``."""
    tokenizer = _wordpiece(texts, config.pop("vocab_size", 400))
    settings = {**_sizes("intermediate_size"), "max_position_embeddings": 64, **config}
    return _save(BertConfig(vocab_size=len(tokenizer), **settings), tokenizer, folder, labels, seed)


def tiny_electra(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """ELECTRA: embeddings narrower than the blocks, a projection between them. Returns ``folder``."""
    tokenizer = _wordpiece(texts, config.pop("vocab_size", 400))
    settings = {**_sizes("intermediate_size"), "embedding_size": 16, "max_position_embeddings": 64, **config}
    return _save(ElectraConfig(vocab_size=len(tokenizer), **settings), tokenizer, folder, labels, seed)


def tiny_distilbert(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """DistilBERT: no token types, no pooler, a configuration with names of its own. Returns ``folder``."""
    tokenizer = _wordpiece(texts, config.pop("vocab_size", 400))
    settings = {**_sizes("hidden_dim"), "max_position_embeddings": 64, **config}
    return _save(DistilBertConfig(vocab_size=len(tokenizer), **settings), tokenizer, folder, labels, seed)


def tiny_roberta(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """RoBERTa: byte-level BPE, positions that start behind the padding id. Returns ``folder``."""
    vocabulary, merges = _byte_level_bpe(texts, config.pop("vocab_size", 400), ROBERTA_SPECIAL)
    tokenizer = RobertaTokenizer(vocab=vocabulary, merges=merges)
    settings = {**_sizes("intermediate_size"), "max_position_embeddings": 66, "type_vocab_size": 1, **config}
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    return _save(RobertaConfig(vocab_size=len(tokenizer), **ids, **settings), tokenizer, folder, labels, seed)


def tiny_deberta(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """DeBERTa-v2, laid out as v3 is: disentangled attention over position buckets, Unigram. Returns ``folder``."""
    tokenizer = _unigram(texts, config.pop("vocab_size", 400))
    settings = {
        **_sizes("intermediate_size"),
        "max_position_embeddings": 64,
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "pad_token_id": 0,
        **config,
    }
    return _save(DebertaV2Config(vocab_size=len(tokenizer), **settings), tokenizer, folder, labels, seed)


def tiny_qwen2(
    folder: Path,
    texts: Iterable[str] = SENTENCES,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    **config: Any,
) -> Path:
    """Qwen2: a decoder with rotary positions, grouped keys and a final norm; byte-level BPE, for ``AutoTokenizer``
    ignores any other kind in a Qwen2 folder; no padding id in its configuration. Returns ``folder``."""
    vocabulary, merges = _byte_level_bpe(texts, config.pop("vocab_size", 400), (END_OF_TEXT, "<|im_end|>"))
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, eos_token="<|im_end|>", pad_token=END_OF_TEXT)
    settings = {
        **_sizes("intermediate_size"),
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": None,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        **config,
    }
    return _save(Qwen2Config(vocab_size=len(tokenizer), **settings), tokenizer, folder, labels, seed)


LANGUAGE_MODELS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "qwen2": (Qwen2Config, {"num_key_value_heads": 2, "tie_word_embeddings": False}),
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    "gemma3": (
        Gemma3TextConfig,
        {
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "final_logit_softcapping": 30.0,
        },
    ),
    "gpt2": (GPT2Config, {}),
}
"""Architectures of :func:`tiny_language_model`: rotary positions; the same with sentencepiece; a sliding window shorter
than any prompt, and capped logits; learnt absolute positions."""


def tiny_language_model(
    folder: Path,
    kind: str = "qwen2",
    texts: Iterable[str] = SENTENCES,
    *,
    chat_template: str | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A causal language model with its output layer, one of :data:`LANGUAGE_MODELS`; its logits are far enough apart
    for its answers to differ. Returns ``folder``."""
    size = config.pop("vocab_size", 600)
    if kind == "llama":
        tokenizer: PreTrainedTokenizerBase = _sentencepiece(texts, size)
    else:
        vocabulary, merges = _byte_level_bpe(texts, size, (END_OF_TEXT, "<|im_end|>", "<|im_start|>"))
        tokenizer = Qwen2Tokenizer(
            vocab=vocabulary,
            merges=merges,
            eos_token="<|im_end|>",
            pad_token=END_OF_TEXT,
            additional_special_tokens=["<|im_start|>"],
        )
    tokenizer.chat_template = chat_template
    made, own = LANGUAGE_MODELS[kind]
    sizes = {**_sizes("n_inner" if kind == "gpt2" else "intermediate_size"), "initializer_range": 0.2}
    ids = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": None}
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, **ids, **sizes, **own, **config}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(made(**settings)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TINY_MODELS = {
    "bert": tiny_bert,
    "deberta": tiny_deberta,
    "qwen2": tiny_qwen2,
    "roberta": tiny_roberta,
    "electra": tiny_electra,
    "distilbert": tiny_distilbert,
}
"""Every architecture by its short name, for parametrised tests."""


def _sizes(inner: str) -> dict[str, Any]:
    return {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, inner: 64}


def _save(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    labels: Sequence[str] | None,
    seed: int,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if labels is None:
            model = AutoModel.from_config(config)
        else:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: index for index, label in enumerate(labels)}
            model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _wordpiece(texts: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """Every printable ASCII character, then the most frequent words. The trainers of ``tokenizers`` for WordPiece
    and Unigram give another vocabulary from call to call, and two models of one test must read alike."""
    characters = _characters(string.ascii_lowercase)
    pieces = [*BERT_SPECIAL, *characters, *(f"##{character}" for character in characters)]
    pieces += _frequent_words([text.lower() for text in texts], size - len(pieces))
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})


def _unigram(texts: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """As :func:`_wordpiece`: whole words score far above what their characters add up to."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    characters = ["▁", *_characters(string.ascii_letters)]
    words = _frequent_words(texts, size - len(special) - len(characters))
    scored = [(piece, 0.0) for piece in special] + [(character, -10.0) for character in characters]
    return DebertaV2Tokenizer(vocab=scored + [(f"▁{word}", -5.0) for word in words])


def _characters(letters: str) -> list[str]:
    return sorted(letters + string.digits + string.punctuation)


def _frequent_words(texts: Iterable[str], most: int) -> list[str]:
    counts = Counter(word for text in texts for word in re.findall(r"\w+", text) if len(word) > 1)
    return sorted(counts, key=lambda word: (-counts[word], word))[: max(most, 0)]


def _byte_level_bpe(
    texts: Iterable[str], size: int, special: Sequence[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    return _by_id(trained.get_vocab()), [(left, right) for left, right in merges]


def _sentencepiece(texts: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """As Llama 2 has it: spaces as ``▁``, also before the first word, unknown characters as bytes, and a token for the
    beginning."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    alphabet = ["▁", *_characters(string.ascii_letters)]
    trainer = BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    merges = json.loads(trained.to_str())["model"]["merges"]
    return LlamaTokenizer(vocab=_by_id(trained.get_vocab()), merges=[(left, right) for left, right in merges])


def _by_id(vocabulary: dict[str, int]) -> dict[str, int]:
    return dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))

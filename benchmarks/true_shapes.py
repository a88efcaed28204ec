"""The paper's pairs of teacher and student with their true shapes and random weights, as folders that recipes name.

The tokenizer is trained on the texts that are given, so it knows fewer words than the true one; the table of
embeddings has the true number of rows all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig

from cod_runner.testing.tiny_models import tiny_deberta, tiny_qwen2


@dataclass(frozen=True)
class Pair:
    """A teacher and its student."""

    name: str
    architecture: str
    """``deberta`` or ``qwen2``."""
    vocabulary: int
    teacher: Mapping[str, Any]
    """Of its configuration."""
    student: Mapping[str, Any]


def _deberta(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 512,
        "position_buckets": 256,
        "pooler_hidden_size": width,
        "layer_norm_eps": 1e-7,
    }


def _qwen2(layers: int, width: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "intermediate_size": inner,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
    }


PAIRS = {
    pair.name: pair
    for pair in (
        Pair("deberta", "deberta", 128_100, teacher=_deberta(12, 768, 12), student=_deberta(6, 768, 12)),
        Pair("xsmall", "deberta", 128_100, teacher=_deberta(12, 768, 12), student=_deberta(12, 384, 6)),
        Pair("qwen", "qwen2", 151_936, teacher=_qwen2(28, 1536, 12, 8960), student=_qwen2(24, 896, 14, 4864)),
        Pair("tiny", "deberta", 2_000, teacher=_deberta(4, 64, 4), student=_deberta(2, 32, 4)),
        Pair("qwen-part", "qwen2", 151_936, teacher=_qwen2(8, 1536, 12, 8960), student=_qwen2(4, 896, 14, 4864)),
    )
}
"""DeBERTa-v3-base to -small and to -xsmall, Qwen2.5-1.5B to -0.5B, one to try a script on, and some
of the blocks of the Qwens."""
MAKERS = {"deberta": tiny_deberta, "qwen2": tiny_qwen2}


def write_pair(pair: Pair, texts: Iterable[str], folder: Path) -> tuple[Path, Path]:
    """The folders of a teacher and a student without a classification head, as pretrained checkpoints are."""
    known = list(texts)
    return (
        _write(pair, pair.teacher, known, folder / "teacher", seed=1),
        _write(pair, pair.student, known, folder / "student", seed=2),
    )


def _write(pair: Pair, shape: Mapping[str, Any], texts: list[str], folder: Path, seed: int) -> Path:
    """The tokenizer of a small model of the architecture, under a model of the true size."""
    MAKERS[pair.architecture](folder, texts, vocab_size=min(pair.vocabulary, 8_000), num_hidden_layers=1)
    small: PreTrainedConfig = AutoConfig.from_pretrained(folder)
    config = type(small)(**{**small.to_dict(), **shape, "vocab_size": pair.vocabulary, "layer_types": None})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)  # raises here rather than in a run
    return folder

"""How long texts are for a checkpoint, by its ``tokenizer.json`` alone: the model stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cod_runner.api import checkpoint_folder

FILE = "tokenizer.json"
ADDED = 8
"""Special tokens that a tokenizer's class may add beside those that its file says."""


def longest_of(model: str, revision: str | None, texts: Sequence[str]) -> int | None:
    """Tokens of the longest text, at most, special ones included; None where there is no such file on this machine, or
    it cannot be read."""
    file = _tokenizer_file(model, revision)
    if file is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001 - it raises no other; whoever builds the student says what is wrong
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    whole = (text.encode("utf-8", "replace").decode() for text in dict.fromkeys(texts))  # no half surrogate pairs
    return ADDED + max((len(tokenizer.encode(text).ids) for text in whole), default=0)


def _tokenizer_file(model: str, revision: str | None) -> Path | None:
    folder = checkpoint_folder(model)
    if folder is None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, FILE, revision=revision)
        return Path(found) if isinstance(found, str) else None
    return folder / FILE if (folder / FILE).is_file() else None

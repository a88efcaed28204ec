"""Texts to tensors by the ``tokenizers`` library alone, as the student does it with transformers.

``tokenizer.json`` holds all of it: truncation at the student's length, padding, special tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from cod_runner.api import CodrunError, Encoded, Input

TOKENIZER = "tokenizer.json"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a tokenizer can give a model."""
FOR_A_BLANK = " ."
"""Read in place of a text in which there is no token but padding, as decoders' heads need one."""


class TextReader:
    """Encodes and pads; ``names`` are the model's inputs, some of :data:`INPUTS`."""

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        """``tokenizer`` is a ``tokenizers.Tokenizer`` with its padding set, which is taken from it."""
        padding = tokenizer.padding
        if padding is None:
            raise CodrunError(f"{TOKENIZER} does not say how texts are padded; export the student again")
        self.names = tuple(names)
        self._left = padding["direction"] == "left"
        self._filling = {
            "input_ids": int(padding["pad_id"]),
            "attention_mask": 0,
            "token_type_ids": int(padding["pad_type_id"]),
        }
        self._tokenizer = tokenizer
        tokenizer.no_padding()

    @classmethod
    def of_folder(cls, folder: Path, names: Sequence[str]) -> TextReader:
        """By the folder's ``tokenizer.json``; raises :class:`CodrunError` that names it."""
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CodrunError(f"{path} cannot be read ({error.strerror}); export the student again") from error
        except Exception as error:  # the library, written in Rust, raises nothing narrower
            raise CodrunError(f"{path} holds no tokenizer ({error}); export the student again") from error
        return cls(tokenizer, names)

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Tokenise and truncate; every encoding has at least one token. Raises :class:`CodrunError` for a vector."""
        return [self._encoded(_encodable(_text(value))) for value in inputs]

    def _encoded(self, text: str) -> Encoded:
        found = self._tokenizer.encode(text)  # one by one: a batch would be spread over threads
        if all(each == self._filling["input_ids"] for each in found.ids):
            found = self._tokenizer.encode(FOR_A_BLANK)
        return Encoded(tuple(found.ids), {"token_type_ids": tuple(found.type_ids)})

    def collate(self, encoded: Sequence[Encoded]) -> dict[str, numpy.ndarray]:
        """The model's inputs, padded to one length: ``[batch, tokens]``, int64."""
        length = max(len(each.ids) for each in encoded)
        batch = {
            name: numpy.full((len(encoded), length), self._filling[name], dtype=numpy.int64) for name in self.names
        }
        for row, each in enumerate(encoded):
            there = slice(length - len(each.ids), None) if self._left else slice(0, len(each.ids))
            columns = {"input_ids": each.ids, "attention_mask": 1, **each.fields}
            for name in self.names:
                batch[name][row, there] = columns[name]
        return batch


def _text(value: Input) -> str:
    if isinstance(value, str):
        return value
    raise CodrunError("an ONNX student reads texts, one at a time; this is a vector, or a mixture of two")


def _encodable(text: str) -> str:
    """``text`` with each lone surrogate, which no tokenizer accepts, replaced by ``?``."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

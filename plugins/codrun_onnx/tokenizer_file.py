"""Writes a student's ``tokenizer.json`` so that it alone does what the student's own ``encode`` and ``collate`` do.

The student is asked rather than believed: what it truncates to and pads with is read from what it makes of probes, and
strange texts must come out the same on both sides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from cod_runner.api import Classifier, CodrunError, Encoded
from codrun_onnx.reading import INPUTS, TOKENIZER, TextReader
from codrun_onnx.sentences import SENTENCES

MANY_WORDS = 150_000
"""More tokens than any student reads; one that reads so many is not truncated."""
STRANGE_TEXTS = (
    "",
    " ",
    "\n\t \r\n",
    "\u00a0\u3000\u2003",
    ".",
    "a",
    "A film. Two sentences?!  And   blanks\nand\ta tab.",
    "naïve café, Straße, ΣΊΣΥΦΟΣ, ﬁne, e\u0301",
    "良い映画です。 좋은 영화 Хороший фильм فيلم جيد",
    "👍🏽 👩‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 😀😀😀",
    "half a pair \ud83d and its other half \ude00",
    "zero\x00byte \x1b[31m bell\x07 \u200b\u202e\ufeff\ufffd",
    "[CLS] [SEP] [PAD] [MASK] [UNK] <s> </s> <pad> <mask> <unk> <|endoftext|> <|im_start|> <|im_end|>",
    "[PAD]",
    "<pad>",
    "<|endoftext|>",
    "<|endoftext|><|endoftext|>",
    "it's they're can't 3.14 1,000,000 http://a.b/c?d=e#f user@example.org",
    "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch" * 20,
    "word " * 3000,
)
"""Blank, broken, long, invisible, in other scripts, and with the names of special tokens in them."""


def write_tokenizer(student: Classifier, folder: Path, texts: Sequence[str]) -> TextReader:
    """Write ``tokenizer.json`` into ``folder``, and return the reader by it, which reads ``texts`` and
    :data:`STRANGE_TEXTS` as the student does.

    Raises :class:`CodrunError` for a student without such a file, and for one that reads differently.
    """
    short, long = _encoded_probes(student)
    batch = {name: numpy.asarray(value) for name, value in student.collate([short, long]).items()}
    if not set(batch) <= set(INPUTS) or "input_ids" not in batch:
        raise CodrunError(
            f"this student reads {_listed(batch)}, and an ONNX export has what a tokenizer gives: {_listed(INPUTS)}"
        )
    tokenizer = _saved_tokenizer(student)
    longest = len(_of_many_words(student).ids)
    if longest < MANY_WORDS:
        tokenizer.enable_truncation(longest)
    _take_padding(tokenizer, short, batch)
    tokenizer.save(str(folder / TOKENIZER), pretty=False)
    reader = TextReader.of_folder(folder, list(batch))
    _compare(student, reader, (*STRANGE_TEXTS, *texts))
    return reader


def longest_encoding(student: Classifier) -> Encoded:
    """As many tokens as the student reads, at most a few thousand, of real words."""
    return student.encode([" ".join(SENTENCES * 40)])[0]


def _encoded_probes(student: Classifier) -> tuple[Encoded, Encoded]:
    try:
        short, long = student.encode(["a", "a b c d e f g h"])
    except CodrunError as error:
        raise CodrunError(f"only a student that reads texts is exported to ONNX: {error}") from error
    return short, long


def _of_many_words(student: Classifier) -> Encoded:
    return student.encode(["a " * MANY_WORDS])[0]


def _saved_tokenizer(student: Classifier) -> Any:
    """The tokenizer as the student saves it, without truncation and padding."""
    from tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as temporary:
        student.save(Path(temporary))
        found = [Path(temporary, TOKENIZER), *sorted(Path(temporary).rglob(TOKENIZER))]
        path = next((each for each in found if each.is_file()), None)
        if path is None:
            raise CodrunError(f"this student has no {TOKENIZER}, without which an ONNX file cannot read texts")
        tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _take_padding(tokenizer: Any, short: Encoded, batch: dict[str, numpy.ndarray]) -> None:
    """Set side and fillings as in the padded row of ``short``."""
    row, width = batch["input_ids"][0].tolist(), len(short.ids)
    right = tuple(row[:width]) == short.ids
    place = -1 if right else 0
    padding = int(row[place])
    types = batch.get("token_type_ids")
    tokenizer.enable_padding(
        direction="right" if right else "left",
        pad_id=padding,
        pad_type_id=0 if types is None else int(types[0][place]),
        pad_token=tokenizer.id_to_token(padding) or "",
    )


def _compare(student: Classifier, reader: TextReader, texts: Sequence[str]) -> None:
    for text in texts:
        own, read = student.collate(student.encode([text])), reader.collate(reader.encode([text]))
        if any(not numpy.array_equal(numpy.asarray(own[name]), read[name]) for name in own):
            raise CodrunError(
                f"the student's {TOKENIZER} alone reads {text[:40]!r} otherwise than the student does, so the export "
                "would answer differently; nothing was written"
            )
    some = [text for text in texts if len(text) < 200]
    own, read = student.collate(student.encode(some)), reader.collate(reader.encode(some))
    if any(not numpy.array_equal(numpy.asarray(own[name]), read[name]) for name in own):
        raise CodrunError(f"the student's {TOKENIZER} alone pads otherwise than the student does; nothing was written")


def _listed(names: Sequence[str] | dict[str, numpy.ndarray]) -> str:
    return ", ".join(f"`{name}`" for name in names)

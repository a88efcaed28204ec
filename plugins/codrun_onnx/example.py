"""Classify texts with this folder's student, by onnxruntime and tokenizers: python example.py "a text" "another"."""

import json
import sys
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

folder = Path(__file__).parent
labels = json.loads((folder / "student.json").read_text(encoding="utf-8"))["labels"]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))  # it truncates and pads as the student does
session = onnxruntime.InferenceSession(next(folder.glob("model*.onnx")), providers=["CPUExecutionProvider"])

texts = [text.encode("utf-8", "replace").decode() for text in sys.argv[1:] or ["A fine film."]]
padding = tokenizer.padding["pad_id"]  # a text of nothing else, as decoders see a blank one, is read as " ."
read = tokenizer.encode_batch([text if {*tokenizer.encode(text).ids} - {padding} else " ." for text in texts])
columns = {
    "input_ids": [each.ids for each in read],
    "attention_mask": [each.attention_mask for each in read],
    "token_type_ids": [each.type_ids for each in read],
}
inputs = {each.name: numpy.array(columns[each.name], dtype=numpy.int64) for each in session.get_inputs()}
(logits,) = session.run(["logits"], inputs)  # [texts, labels], already divided by the student's temperature
odds = numpy.exp(logits - logits.max(axis=1, keepdims=True))
for text, row in zip(texts, odds / odds.sum(axis=1, keepdims=True), strict=True):
    print(f"{labels[row.argmax()]}\t{row.max():.4f}\t{text}")

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
for text in texts:  # one by one: in int8 an answer depends a little on the other texts of its batch
    read = tokenizer.encode(text if {*tokenizer.encode(text).ids} - {padding} else " .")
    columns = {"input_ids": read.ids, "attention_mask": read.attention_mask, "token_type_ids": read.type_ids}
    inputs = {each.name: numpy.array([columns[each.name]], dtype=numpy.int64) for each in session.get_inputs()}
    logits = session.run(["logits"], inputs)[0][0]  # [labels], already divided by the student's temperature
    odds = numpy.exp(logits - logits.max())
    print(f"{labels[odds.argmax()]}\t{odds.max() / odds.sum():.4f}\t{text}")

"""The libraries that open a student's folder beside codrun, and the code that does it, as a card shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Library = Literal["transformers", "sentence-transformers", "codrun"]
TRANSFORMERS: Library = "transformers"
SENTENCE_TRANSFORMERS: Library = "sentence-transformers"
CODRUN: Library = "codrun"

PLACE = "FOLDER-OR-REPOSITORY"
"""Stands in the code for where the student lies, which a card cannot know."""
PIPELINE = f"""\
from transformers import pipeline

classify = pipeline("text-classification", model="{PLACE}", truncation=True, top_k=None)
print(classify("a text to classify"))"""
CALIBRATED = f"""\
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{PLACE}")
model = AutoModelForSequenceClassification.from_pretrained("{PLACE}").eval()
with torch.inference_mode():
    encoded = tokenizer(["a text to classify"], truncation=True, padding=True, return_tensors="pt")
    probabilities = (model(**encoded).logits / TEMPERATURE).softmax(dim=-1)
print(model.config.id2label, probabilities)"""
SENTENCES = f"""\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{PLACE}")
logits = model.encode(["a text to classify"], convert_to_tensor=True)
print((logits / TEMPERATURE).softmax(dim=-1))  # in the order of the labels below"""
VECTORS = """\
from pathlib import Path

from cod_runner.deployment.opened import open_student
from cod_runner.registry import Registry

student = open_student(Path("FOLDER"), Registry.discover())
print(student.answerer.labels, student.answerer.logits(student.answerer.encode([(0.0, 0.0)])))"""


def library_of(folder: Path) -> Library:
    """What opens a student's folder beside codrun: told by its files, of which none is imported."""
    if (folder / "modules.json").is_file():
        return SENTENCE_TRANSFORMERS
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return CODRUN
    classes = config.get("architectures") if isinstance(config, Mapping) else None
    named = classes if isinstance(classes, Sequence) else ()
    return TRANSFORMERS if any(str(each).endswith("ForSequenceClassification") for each in named) else CODRUN

"""The section of a card that says how to use a student, as code that runs."""

from __future__ import annotations

from cod_runner.report.card.subject import Subject
from cod_runner.report.text import markdown_line

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
HEADING = "## How to use it"


def usage(subject: Subject) -> list[str]:
    """Code for the library that opens the folder, then codrun's own command, then the labels."""
    temperature = subject.student.temperature
    divided = "" if temperature is None else f"{temperature:.4f}"
    lines = [HEADING, ""]
    if subject.library == "transformers":
        lines += _python(PIPELINE if temperature is None else CALIBRATED.replace("TEMPERATURE", divided))
    elif subject.library == "sentence-transformers":
        code = SENTENCES.replace(" / TEMPERATURE", f" / {divided}" if divided else "")
        lines += [*_python(code), "", "`encode` gives a logit for each label, not an embedding."]
    if subject.reads_vectors:
        lines += ["It reads vectors of numbers, as long as those of its data set:", "", *_python(VECTORS)]
    else:
        lines += ["With codrun:"] if subject.library == "codrun" else ["", "Or with codrun:"]
        lines += ["", "```sh", f'codrun predict {PLACE} "a text to classify"', "```"]
    return [*lines, "", "Its labels, in the order of its logits:", "", *labels(subject)]


def labels(subject: Subject) -> list[str]:
    """One line for each."""
    return [f"{number}. {markdown_line(label)}" for number, label in enumerate(subject.student.labels)]


def _python(code: str) -> list[str]:
    return ["```python", *code.splitlines(), "```"]

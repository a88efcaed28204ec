"""The section of a card that says how to use a student, as code that runs."""

from __future__ import annotations

from cod_runner.report.card.libraries import (
    CALIBRATED,
    CODRUN,
    PIPELINE,
    PLACE,
    SENTENCE_TRANSFORMERS,
    SENTENCES,
    TRANSFORMERS,
    VECTORS,
)
from cod_runner.report.card.subject import Subject
from cod_runner.report.text import markdown_line

HEADING = "## How to use it"


def usage(subject: Subject) -> list[str]:
    """Code for the library that opens the folder, then codrun's own command, then the labels."""
    temperature = subject.student.temperature
    divided = "" if temperature is None else f"{temperature:.4f}"
    lines = [HEADING, ""]
    if subject.library == TRANSFORMERS:
        lines += _python(PIPELINE if temperature is None else CALIBRATED.replace("TEMPERATURE", divided))
    elif subject.library == SENTENCE_TRANSFORMERS:
        code = SENTENCES.replace(" / TEMPERATURE", f" / {divided}" if divided else "")
        lines += [*_python(code), "", "`encode` gives a logit for each label, not an embedding."]
    if subject.reads_vectors:
        lines += ["It reads vectors of numbers, as long as those of its data set:", "", *_python(VECTORS)]
    else:
        lines += ["With codrun:"] if subject.library == CODRUN else ["", "Or with codrun:"]
        lines += ["", "```sh", f'codrun predict {PLACE} "a text to classify"', "```"]
    return [*lines, "", "Its labels, in the order of its logits:", "", *labels(subject)]


def labels(subject: Subject) -> list[str]:
    """One line for each."""
    return [f"{number}. {markdown_line(label)}" for number, label in enumerate(subject.student.labels)]


def _python(code: str) -> list[str]:
    return ["```python", *code.splitlines(), "```"]

"""The stranger's teacher, which only answers, and a student that reads texts."""

import json
from pathlib import Path

import torch

from cod_runner.testing.classifiers import TextClassifier


class Lists:
    at_once = 16

    def __init__(self, options, context):
        self.labels = context.labels
        self.words = [options.words[label] for label in self.labels]
        self.shown = [[shot.input, shot.label] for shot in context.shots]

    @property
    def fingerprint(self):
        return json.dumps(["lists", self.words, self.shown])

    def score(self, inputs, progress=lambda done, total: None):
        with Path("asked.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in inputs)
        counts = [[1.0 + sum(text.count(word) for word in words) for words in self.words] for text in inputs]
        return torch.log_softmax(torch.tensor(counts), 1)

    def price(self, inputs):
        return 0.0


class Letters(TextClassifier):
    def __init__(self, options, context):
        super().__init__(context.labels, texts=["a b c d e f g h"], width=8, layers=1, seed=context.seed)

"""The weights of the best pass, where a recipe selects one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from cod_runner.api import Classifier, VocabularyCut


class BestPass:
    """Scores the student after each pass and holds the weights of the best one, the first among equals."""

    def __init__(self, student: Classifier, evaluate: Callable[[], float] | None, cut: VocabularyCut | None) -> None:
        self.number: int | None = None
        self._student, self._evaluate, self._cut = student, evaluate, cut
        self._score = float("-inf")
        self._weights: dict[str, Tensor] = {}

    def look(self, number: int) -> None:
        """Score the student after pass ``number``, the whole vocabulary in place."""
        if self._evaluate is None:
            return
        with self._cut.whole() if self._cut is not None else nullcontext(), torch.random.fork_rng():
            score = self._evaluate()
            if self.number is None or score > self._score:
                self._score, self.number = score, number
                self._weights = {name: each.detach().clone() for name, each in self._student.named_parameters()}
        self._student.train()

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back, once the cut is closed."""
        if self._weights:
            for name, parameter in self._student.named_parameters():
                parameter.copy_(self._weights[name])

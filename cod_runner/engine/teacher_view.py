"""The teacher as generators see it: batched, and answered from the store the second time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cod_runner.api import (
    Attribution,
    EmbeddingStep,
    Input,
    LabelScorer,
    Request,
    Teacher,
    WordVectors,
    text_distance,
)
from cod_runner.engine.device import threads
from cod_runner.engine.leave_one_out import left_out, texts_less_a_word
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_signals import input_key
from cod_runner.errors import CodrunError


class CachedTeacher:
    """Implements :class:`cod_runner.api.TeacherView` over a teacher and the store of its signals."""

    def __init__(self, teacher: Teacher, store: SignalStore, device: str) -> None:
        self.labels = teacher.labels
        self._teacher, self._store, self._device = teacher, store, device
        self._memory: dict[bytes, tuple[float, ...]] = {}
        self._attributions: dict[tuple[bytes, int], list[Attribution]] = {}

    @property
    def fingerprint(self) -> str:
        """The teacher's."""
        return self._teacher.fingerprint

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """Probabilities ``[inputs][classes]``, from logits that do not depend on the batch."""
        new = {key: value for value in inputs if (key := input_key(value)) not in self._memory}
        if new:
            self._store.add(self._teacher, new.values(), device=self._device)
            for key, logits in self._store.logits(self._teacher, list(new.values()), self._device).items():
                self._memory[key] = tuple(torch.softmax(logits.double(), 0).tolist())
        return [self._memory[input_key(value)] for value in inputs]

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :meth:`Classifier.attribution`, each question computed once; by leaving words out where the teacher only
        answers."""
        keys = [(input_key(value), target) for value, target in zip(inputs, targets, strict=True)]
        new = {key: value for key, value in zip(keys, inputs, strict=True) if key not in self._attributions}
        if new:
            values, wanted = list(new.values()), [target for _, target in new]
            if isinstance(self._teacher, LabelScorer):
                answers = left_out(self.score, values, wanted)
            else:
                with threads(1):
                    answers = self._teacher.attribution(values, wanted)
            self._attributions.update(zip(new, answers, strict=True))
        return [self._attributions[key] for key in keys]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """As :meth:`Classifier.distance`; in words where the teacher only answers."""
        if not isinstance(self._teacher, LabelScorer):
            return self._teacher.distance(original, changed)
        if not isinstance(original, str) or not isinstance(changed, str):
            raise CodrunError("the distance of inputs that are not texts needs a teacher that is a network")
        return text_distance(original, changed)

    def asked_for_attribution(self, value: Input) -> list[Input] | None:
        """The texts that :meth:`attribution` asks the teacher about; None where it takes a gradient instead."""
        if not isinstance(self._teacher, LabelScorer):
            return None
        return [text for _, _, text in texts_less_a_word(str(value))]

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The teacher's embedding of each word, unit length; () where it has none."""
        if isinstance(self._teacher, WordVectors):
            return self._teacher.word_vectors(words)
        return [() for _ in words]

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :meth:`EmbeddingStep.projected_step`; raises :class:`CodrunError` where the teacher does not offer it."""
        if not isinstance(self._teacher, EmbeddingStep):
            raise CodrunError(
                "a generator of this recipe takes steps along the teacher's gradient, which this teacher does not "
                "offer; name another generator, or a teacher with gradients, such as a fine-tuned encoder"
            )
        with threads(1):
            return self._teacher.projected_step(inputs, labels, targets, size)

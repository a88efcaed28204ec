"""The teacher as generators see it: batched, and answered from the store the second time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cod_runner.api import Attribution, Classifier, EmbeddingStep, Input, Request, WordVectors
from cod_runner.engine.device import threads
from cod_runner.engine.signals import SignalStore, input_key
from cod_runner.errors import CodrunError


class CachedTeacher:
    """Implements :class:`cod_runner.api.TeacherView` over a classifier and the store of its signals."""

    def __init__(self, classifier: Classifier, store: SignalStore, device: str) -> None:
        self.labels = classifier.labels
        self._classifier, self._store, self._device = classifier, store, device
        self._memory: dict[bytes, tuple[float, ...]] = {}
        self._attributions: dict[tuple[bytes, int], list[Attribution]] = {}

    @property
    def fingerprint(self) -> str:
        """The classifier's."""
        return self._classifier.fingerprint

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """Probabilities ``[inputs][classes]``, from logits that do not depend on the batch."""
        new = {key: value for value in inputs if (key := input_key(value)) not in self._memory}
        if new:
            self._store.add(self._classifier, new.values(), device=self._device)
            for key, logits in self._store.logits(self._classifier, list(new.values()), self._device).items():
                self._memory[key] = tuple(torch.softmax(logits.double(), 0).tolist())
        return [self._memory[input_key(value)] for value in inputs]

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :meth:`Classifier.attribution`, each question computed once."""
        keys = [(input_key(value), target) for value, target in zip(inputs, targets, strict=True)]
        new = {key: value for key, value in zip(keys, inputs, strict=True) if key not in self._attributions}
        if new:
            with threads(1):
                answers = self._classifier.attribution(list(new.values()), [target for _, target in new])
            self._attributions.update(zip(new, answers, strict=True))
        return [self._attributions[key] for key in keys]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """As :meth:`Classifier.distance`."""
        return self._classifier.distance(original, changed)

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The teacher's embedding of each word, unit length; () where it has none."""
        if isinstance(self._classifier, WordVectors):
            return self._classifier.word_vectors(words)
        return [() for _ in words]

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :meth:`EmbeddingStep.projected_step`; raises :class:`CodrunError` where the teacher does not offer it."""
        if not isinstance(self._classifier, EmbeddingStep):
            raise CodrunError(
                "a generator of this recipe takes steps along the teacher's gradient, which this teacher does not "
                "offer; name another generator, or a teacher with gradients, such as a fine-tuned encoder"
            )
        with threads(1):
            return self._classifier.projected_step(inputs, labels, targets, size)

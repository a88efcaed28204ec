"""Training batches: a pair's halves share a batch, and each pass shuffles from a stream of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from cod_runner.api import Batch, Classifier, Encoded, Example
from cod_runner.engine.seeds import derived_seed


class TrainingBatches:
    """Every batch of a training set, encoded once for the classifier that trains."""

    def __init__(self, classifier: Classifier, examples: Sequence[Example], batch_size: int, device: str) -> None:
        self.examples = list(examples)
        self.batch_size, self.device = batch_size, device
        self._classifier = classifier
        self.encoded: list[Encoded] = classifier.encode([example.input for example in self.examples])
        self._units = _units(self.examples)

    def __len__(self) -> int:
        """Batches in one pass."""
        return len(self._grouped(self._units))

    def of_pass(self, number: int, seed: int, *purpose: str) -> Iterator[Batch]:
        """Pass ``number``, in the order that the stream ``(seed, *purpose, number)`` shuffles."""
        units = list(self._units)
        random.Random(derived_seed(seed, *purpose, number)).shuffle(units)
        for rows in self._grouped(units):
            yield self._batch(rows)

    def inputs_of(self, batch: Batch) -> list[Example]:
        """The examples of a batch, in its order."""
        if not hasattr(self, "_by_id"):
            self._by_id = {example.id: example for example in self.examples}
        return [self._by_id[one] for one in batch.ids]

    def _grouped(self, units: Sequence[tuple[int, ...]]) -> list[list[int]]:
        """Whole units into batches; a unit that would not fit any more opens the next one."""
        batches: list[list[int]] = [[]]
        for unit in units:
            if batches[-1] and len(batches[-1]) + len(unit) > self.batch_size:
                batches.append([])
            batches[-1].extend(unit)
        return batches

    def _batch(self, rows: Sequence[int]) -> Batch:
        examples = [self.examples[row] for row in rows]
        place = {example.id: position for position, example in enumerate(examples)}
        inputs = self._classifier.collate([self.encoded[row] for row in rows])
        return Batch(
            ids=tuple(place),
            labels=torch.tensor([example.label for example in examples], device=self.device),
            partner=torch.tensor([place.get(example.partner or "", -1) for example in examples], device=self.device),
            is_counterfactual=torch.tensor([example.is_counterfactual for example in examples], device=self.device),
            inputs={name: value.to(self.device, non_blocking=True) for name, value in inputs.items()},
        )


def _units(examples: Sequence[Example]) -> list[tuple[int, ...]]:
    """Row numbers that belong in one batch: a pair, or a single example."""
    row_of = {example.id: row for row, example in enumerate(examples)}
    units: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for row, example in enumerate(examples):
        if row in taken:
            continue
        partner = row_of.get(example.partner or "")
        unit = (row,) if partner is None or partner == row else (row, partner)
        taken.update(unit)
        units.append(unit)
    return units

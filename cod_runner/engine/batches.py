"""Training batches: a pair's halves share a batch, and each pass shuffles from a stream of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from cod_runner.api import Batch, Classifier, CodrunError, Encoded, Example
from cod_runner.engine.device import sent
from cod_runner.engine.seeds import derived_seed


class TrainingBatches:
    """Every batch of a training set, encoded once for the classifier that trains.

    Raises :class:`CodrunError` for an empty set, an id that occurs twice, and a batch size that pairs do not fill.
    """

    def __init__(self, classifier: Classifier, examples: Sequence[Example], batch_size: int, device: str) -> None:
        self.examples = list(examples)
        self.batch_size, self.device = batch_size, device
        if not self.examples:
            raise CodrunError("there is no example to train on")
        self._row_of = {example.id: row for row, example in enumerate(self.examples)}
        if len(self._row_of) < len(self.examples):
            raise CodrunError("two training examples have one id, so the halves of a pair cannot be told apart")
        self._units = _units(self.examples, self._row_of)
        if batch_size % 2 and any(len(unit) > 1 for unit in self._units):
            raise CodrunError(f"`train.batch_size: {batch_size}` would leave a pair no place; set a multiple of 2")
        self._classifier = classifier
        self.encoded: list[Encoded] = classifier.encode([example.input for example in self.examples])

    def of_pass(self, number: int, seed: int, *purpose: str) -> list[list[int]]:
        """Pass ``number`` as row numbers, batch by batch, in the order that ``(seed, *purpose, number)`` shuffles.

        Every example occurs once and the last batch may be short. With pairs and singles and an even batch size
        there are always ceil(examples / batch size) batches, whatever the order.
        """
        waiting = list(self._units)
        random.Random(derived_seed(seed, *purpose, number)).shuffle(waiting)
        batches = []
        while waiting:
            rows: list[int] = []
            left = []
            for unit in waiting:
                # A unit that does not fit waits for the next batch, and a smaller one may take the gap.
                if not rows or len(rows) + len(unit) <= self.batch_size:
                    rows.extend(unit)
                else:
                    left.append(unit)
            batches.append(rows)
            waiting = left
        return batches

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows as one batch on the device."""
        examples = [self.examples[row] for row in rows]
        place = {example.id: position for position, example in enumerate(examples)}
        inputs = self._classifier.collate([self.encoded[row] for row in rows])
        return Batch(
            ids=tuple(place),
            labels=sent(torch.tensor([example.label for example in examples]), self.device),
            partner=sent(torch.tensor([_place(example, place) for example in examples]), self.device),
            is_counterfactual=sent(torch.tensor([example.is_counterfactual for example in examples]), self.device),
            inputs={name: sent(value, self.device) for name, value in inputs.items()},
        )

    def shuffled(self, number: int, seed: int, *purpose: str) -> Iterator[Batch]:
        """The batches of one pass, as :meth:`of_pass` orders them."""
        return (self.batch(rows) for rows in self.of_pass(number, seed, *purpose))

    def examples_of(self, batch: Batch) -> list[Example]:
        """The examples of a batch, in its order."""
        return [self.examples[self._row_of[each]] for each in batch.ids]


def _place(example: Example, place: dict[str, int]) -> int:
    return -1 if example.partner is None else place.get(example.partner, -1)


def _units(examples: Sequence[Example], row_of: dict[str, int]) -> list[tuple[int, ...]]:
    """Row numbers that belong in one batch: an example with all its partners, or one without any."""
    unit_of: dict[int, list[int]] = {row: [row] for row in range(len(examples))}
    for row, example in enumerate(examples):
        partner = None if example.partner is None else row_of.get(example.partner)
        if partner is not None and unit_of[partner] is not unit_of[row]:
            unit_of[partner].extend(unit_of[row])
            for member in unit_of[row]:
                unit_of[member] = unit_of[partner]
    return [tuple(sorted(unit)) for row, unit in unit_of.items() if row == min(unit)]

"""Training batches: a pair's halves share a batch, and each pass is shuffled from a stream of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch

from cod_runner.api import Batch, Classifier, CodrunError, Encoded, Example
from cod_runner.engine.device import sent
from cod_runner.engine.labels import labels_of
from cod_runner.engine.outputs import checked_encodings
from cod_runner.engine.seeds import derived_seed


class TrainingBatches:
    """Every batch of a training set, encoded once for the classifier that trains.

    Raises :class:`CodrunError` for an empty set, an id that occurs twice, and a batch size that pairs do not fill.
    """

    def __init__(self, classifier: Classifier, examples: Sequence[Example], batch_size: int, device: str) -> None:
        self.examples = list(examples)
        self.batch_size, self.device = batch_size, device
        if not self.examples:
            raise CodrunError("there are no examples to train on")
        self._row_of = {example.id: row for row, example in enumerate(self.examples)}
        if len(self._row_of) < len(self.examples):
            raise CodrunError("two training examples have one id, so the halves of a pair cannot be told apart")
        self._partner = [_partner_row(example, self._row_of) for example in self.examples]
        self._units = _units(self._partner)
        if batch_size % 2 and any(len(unit) > 1 for unit in self._units):
            raise CodrunError(
                f"`train.batch_size: {batch_size}` cannot be filled with whole pairs; set a multiple of 2"
            )
        self._classifier = classifier
        encoded = classifier.encode([example.input for example in self.examples])
        self.encoded: Sequence[Encoded] = checked_encodings(encoded, classifier, len(self.examples))
        # What a row says in every batch is on the device once; a batch picks it out there.
        self._labels = labels_of(self.examples, device)
        self._is_counterfactual = sent(torch.tensor([each.is_counterfactual for each in self.examples]), device)

    def of_pass(self, number: int, seed: int, *purpose: str) -> list[list[int]]:
        """Pass ``number`` as row numbers, batch by batch, in the order that ``(seed, *purpose, number)`` shuffles.

        Every example occurs once and the last batch may be short. There are ceil(examples / batch size) batches,
        whatever the order, unless an original has several counterfactuals: then there may be more or fewer.
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
        place = {row: position for position, row in enumerate(rows)}
        partner = [place.get(self._partner[row], -1) for row in rows]
        inputs = self._classifier.collate([self.encoded[row] for row in rows])
        chosen = sent(torch.tensor(rows), self.device)
        all_labelled = isinstance(self._labels, torch.Tensor)
        labels = self._labels[chosen] if all_labelled else labels_of(examples, self.device)
        return Batch(
            ids=tuple(example.id for example in examples),
            labels=labels,  # type: ignore[arg-type]  # guarded where some row has none
            partner=sent(torch.tensor(partner), self.device),
            is_counterfactual=self._is_counterfactual[chosen],
            inputs={name: sent(value, self.device) for name, value in inputs.items()},
        )

    def shuffled(self, number: int, seed: int, *purpose: str, labelled: bool = False) -> Iterator[Batch]:
        """The batches of one pass, as :meth:`of_pass` orders them; with ``labelled``, without the rows that have no
        label."""
        for rows in self.of_pass(number, seed, *purpose):
            wanted = [row for row in rows if not labelled or self.examples[row].label is not None]
            if wanted:
                yield self.batch(wanted)

    def labelled(self, rows: Sequence[int]) -> int:
        """How many of these rows have a label."""
        return sum(self.examples[row].label is not None for row in rows)

    def rows_of(self, batch: Batch) -> list[int]:
        """The row numbers of a batch, in its order."""
        return [self._row_of[each] for each in batch.ids]


def _partner_row(example: Example, row_of: dict[str, int]) -> int:
    """The row of the example's partner; -1 where it has none, or none that is trained on."""
    return -1 if example.partner is None else row_of.get(example.partner, -1)


def _units(partners: Sequence[int]) -> list[tuple[int, ...]]:
    """Row numbers that belong in one batch: an example with all its partners, or one without any."""
    unit_of: dict[int, list[int]] = {row: [row] for row in range(len(partners))}
    for row, partner in enumerate(partners):
        if partner >= 0 and unit_of[partner] is not unit_of[row]:
            unit_of[partner].extend(unit_of[row])
            for member in unit_of[row]:
                unit_of[member] = unit_of[partner]
    return [tuple(sorted(unit)) for row, unit in unit_of.items() if row == min(unit)]

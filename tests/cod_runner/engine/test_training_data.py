"""What lies ready for all rows gives a batch the same numbers as what is put together for it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cod_runner.api import Example
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.labels import SomeLabels
from cod_runner.engine.losses import TrainingData
from cod_runner.engine.outputs import padded
from cod_runner.engine.signals import SignalStore
from cod_runner.testing.classifiers import TextClassifier

WORDS = [f"w{number}" for number in range(12)]
TEXTS = [" ".join(WORDS[: 2 + row]) for row in range(6)]


@pytest.mark.parametrize("rows", [[0, 1], [4, 2, 0], [5], [3, 1, 5, 0, 2, 4]])
@pytest.mark.parametrize("layers", [(), (1, 2)])
def test_a_batch_of_signals(tmp_path: Path, rows: list[int], layers: tuple[int, ...]) -> None:
    torch.set_num_threads(1)
    teacher, student = TextClassifier(texts=WORDS, layers=3, seed=1), TextClassifier(texts=WORDS, seed=2)
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS, (1, 2), device="cpu")
    signals = store.reader(teacher.fingerprint)
    examples = [Example(str(row), text, row % 2) for row, text in enumerate(TEXTS)]
    data = TrainingData(student, TrainingBatches(student, examples, 4, "cpu"), signals, layers, "fp32")
    said = data.signals(rows, layers)
    alone = padded(signals.rows([TEXTS[row] for row in rows], layers), layers)
    assert torch.equal(said.logits, alone.logits)
    assert said.mask is not None and alone.mask is not None and torch.equal(said.mask, alone.mask)
    assert said.pooled_at is not None and alone.pooled_at is not None
    assert torch.equal(said.pooled_at, alone.pooled_at)
    assert said.hidden.keys() == set(layers)
    assert all(torch.equal(said.hidden[layer], alone.hidden[layer]) for layer in layers)


def test_a_batch_of_labels() -> None:
    student = TextClassifier(texts=WORDS)
    labelled = [Example(str(row), text, row % 3, is_counterfactual=row == 4) for row, text in enumerate(TEXTS)]
    batch = TrainingBatches(student, labelled, 4, "cpu").batch([5, 0, 4])
    assert batch.ids == ("5", "0", "4")
    assert batch.labels.tolist() == [2, 0, 1]
    assert batch.is_counterfactual.tolist() == [False, False, True]
    some = TrainingBatches(student, [*labelled[:5], Example("5", TEXTS[5], None)], 4, "cpu")
    assert some.batch([1, 2]).labels.tolist() == [1, 2]
    guarded = some.batch([1, 5]).labels
    assert isinstance(guarded, SomeLabels) and guarded.labelled_rows == [0] and guarded.of_labelled_rows.tolist() == [1]

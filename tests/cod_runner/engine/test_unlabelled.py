"""Rows without a label: what reads labels is computed over the others, and nothing learns from what is not there."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cod_runner.api import Batch, Binding, CodrunError, Example, Outputs, TrainSettings
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.finetune import GoldLabels
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.training import TrainingResult, train_student
from cod_runner.testing.classifiers import TextClassifier

WORDS = [f"w{number}" for number in range(30)]
STEADY = 1.0
"""An epsilon under which Adam's step grows with the gradient, so that its scale shows."""


def texts(number: int) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=2 + number % 6))


PAIRS = [
    row
    for number in range(4)
    for row in (
        Example(f"{number}", texts(number), number % 2, partner=f"{number}~cf"),
        Example(f"{number}~cf", texts(number + 20), 1 - number % 2, partner=f"{number}", is_counterfactual=True),
    )
]
MORE = [Example(f"{number}~asked", texts(number)) for number in range(40, 46)]
MIXED = [*PAIRS, *MORE]
"""Eight rows with a label and six without."""


class NeedsLabels(GoldLabels):
    needs_labels = True


class Divergence(nn.Module):
    """KL(teacher || student)."""

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        ours, theirs = student.logits.log_softmax(-1), teacher.logits.log_softmax(-1)
        return (theirs.exp() * (theirs - ours)).sum(-1)


HARD, KD = ("hard", NeedsLabels, 1.0), ("kd", Divergence, 5.0)


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> TeacherSignals:
    teacher = TextClassifier(texts=WORDS, width=16, layers=2, seed=1)
    store = SignalStore(tmp_path_factory.mktemp("signals"))
    store.add(teacher, [example.input for example in MIXED], (), device="cpu")
    return store.reader(teacher.fingerprint)


def a_student() -> TextClassifier:
    return TextClassifier(texts=WORDS, seed=2, width=12, dropout=0.0)


def train(
    signals: TeacherSignals | None,
    terms: Sequence[tuple[str, Callable[[], Any], float]] = (HARD, KD),
    examples: Sequence[Example] = MIXED,
    **settings: Any,
) -> tuple[TextClassifier, TrainingResult]:
    student = a_student()
    torch.set_num_threads(1)
    made = [WeightedTerm(name, loss(), weight) for name, loss, weight in terms]
    given = {"precision": "fp32", "batch_size": 4, "lr": 3e-3, "epochs": 2, **settings}
    return student, train_student(student, examples, made, signals, TrainSettings(**given), seed=0, device="cpu")


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def close(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def straight(signals: TeacherSignals, weight: float) -> tuple[TextClassifier, float, float]:
    """One step on all of MIXED: the hard term over the labelled rows, the other over all of them."""
    student = a_student()
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.1, weight_decay=0.0, eps=STEADY, fused=False)
    logits = student(student.collate(student.encode([row.input for row in MIXED]))).logits
    gold = torch.tensor([row.label for row in PAIRS])
    hard = functional.cross_entropy(logits[: len(PAIRS)], gold)
    theirs = signals.logits([row.input for row in MIXED]).softmax(-1)
    kd = functional.kl_div(logits.log_softmax(-1), theirs, reduction="batchmean")
    (hard + weight * kd).backward()
    optimiser.step()
    return student, hard.item(), kd.item()


@pytest.mark.parametrize(("batch_size", "accumulation"), [(14, 1), (4, 4), (2, 7)])
def test_the_hard_term_is_averaged_over_labelled_rows_and_the_others_over_all(
    signals: TeacherSignals, batch_size: int, accumulation: int
) -> None:
    """Also over the batches of one step, some of which have no labelled row at all."""
    one_step: dict[str, Any] = {"epochs": 1, "eps": STEADY, "lr": 0.1, "schedule": "constant"}
    student, result = train(signals, batch_size=batch_size, accumulation=accumulation, **one_step)
    wanted, hard, kd = straight(signals, 5.0)
    assert result.steps == 1
    assert result.losses == pytest.approx({"hard": hard, "kd": kd}, rel=1e-4)
    close(wanted, student)


def test_a_step_without_any_labelled_row_is_one_of_the_other_terms(signals: TeacherSignals) -> None:
    _, result = train(signals, examples=MORE, epochs=3, batch_size=6)
    assert [losses["hard"] for _, losses in result.curve] == [0.0] * 3
    alone, _ = train(signals, (KD,), examples=MORE, epochs=3, batch_size=6)
    beside, _ = train(signals, (HARD, KD), examples=MORE, epochs=3, batch_size=6)
    close(alone, beside)


def test_labels_alone_leave_unlabelled_rows_out_to_the_bit(signals: TeacherSignals) -> None:
    without, few = train(None, (HARD,), examples=PAIRS)
    beside, many = train(None, (HARD,), examples=MIXED)
    assert same(without, beside)
    assert few == many
    logged, watched = train(signals, (HARD, ("kd", Divergence, 0.0)), examples=MIXED)
    assert same(without, logged), "a term of weight 0 changes no bit, here either"
    assert watched.steps == few.steps


def test_a_hard_term_of_weight_0_leaves_the_unlabelled_rows_in(signals: TeacherSignals) -> None:
    alone, _ = train(signals, (KD,))
    logged, result = train(signals, (("hard", NeedsLabels, 0.0), KD))
    assert same(alone, logged)
    assert result.mean_losses["hard-unweighted"] > 0


def test_where_every_row_has_a_label_it_makes_no_difference_what_a_loss_needs(signals: TeacherSignals) -> None:
    needing, one = train(signals, (HARD, KD), examples=PAIRS, epochs=4)
    plain, other = train(signals, (("hard", GoldLabels, 1.0), KD), examples=PAIRS, epochs=4)
    assert same(needing, plain) and one == other


def test_a_loss_that_needs_labels_sees_the_labelled_rows_and_what_models_said_of_them(
    signals: TeacherSignals,
) -> None:
    seen: list[tuple[str, ...]] = []
    gold = {row.id: row for row in PAIRS}

    class Watches(NeedsLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            seen.append(batch.ids)
            assert batch.labels.tolist() == [gold[each].label for each in batch.ids]
            assert batch.is_counterfactual.tolist() == [gold[each].is_counterfactual for each in batch.ids]
            partners = [batch.ids[place] for place in batch.partner.tolist()]
            assert partners == [gold[each].partner for each in batch.ids], "a pair is whole, at its new places"
            inputs = [gold[each].input for each in batch.ids]
            assert torch.equal(teacher.logits, signals.logits(inputs))
            assert len(student.logits) == len(batch.ids) == len(next(iter(batch.inputs.values())))
            return super().forward(student, teacher, batch)

    train(signals, (("hard", Watches, 1.0), KD), batch_size=6, epochs=2)
    assert sorted(name for batch in seen for name in batch) == sorted([*gold] * 2)


SENTENCE = r"a loss reads the labels of a batch in which some rows have none; its class must say `needs_labels = True`"
READERS: dict[str, Callable[[Any, Tensor], object]] = {
    "cross-entropy": lambda labels, logits: functional.cross_entropy(logits, labels, reduction="none"),
    "an index": lambda labels, logits: labels[0],
    "an attribute": lambda labels, logits: labels.shape,
    "a method": lambda labels, logits: labels.long(),
    "a comparison": lambda labels, logits: labels == 1,
    "a comparison with a tensor": lambda labels, logits: torch.zeros(len(logits)) != labels,
    "an order": lambda labels, logits: labels > 0,
    "a sum": lambda labels, logits: labels + 1,
    "a difference from the right": lambda labels, logits: 1 - labels,
    "a length": lambda labels, logits: len(labels),
    "a loop": lambda labels, logits: [*labels],
    "a truth": lambda labels, logits: bool(labels),
    "a membership": lambda labels, logits: 1 in labels,
    "as an index": lambda labels, logits: logits[torch.arange(len(logits)), labels],
    "torch.eq": lambda labels, logits: torch.eq(labels, 1),
}


@pytest.mark.parametrize("how", READERS)
def test_a_loss_that_reads_labels_and_does_not_say_so_ends_in_a_sentence(signals: TeacherSignals, how: str) -> None:
    class Reads(Divergence):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            READERS[how](batch.labels, student.logits)
            return super().forward(student, teacher, batch)

    with pytest.raises(CodrunError, match=SENTENCE):
        train(signals, (("reads", Reads, 1.0), HARD), batch_size=14)


def test_a_training_without_a_teacher_can_have_them_too() -> None:
    class Norm(Divergence):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            return student.logits.square().sum(-1)

    _, result = train(None, (HARD, ("norm", Norm, 1.0)))
    assert result.steps == 2 * 4
    with pytest.raises(CodrunError, match="no teacher"):
        train(None, (HARD, KD))


def test_batches_count_and_yield_labelled_rows() -> None:
    batches = TrainingBatches(a_student(), MIXED, 4, "cpu")
    assert batches.labelled(range(len(MIXED))) == len(PAIRS)
    assert batches.labelled([0, 8, 9]) == 1
    labelled = [name for batch in batches.shuffled(1, 0, "pass", labelled=True) for name in batch.ids]
    assert sorted(labelled) == sorted(row.id for row in PAIRS)
    assert sorted(name for batch in batches.shuffled(1, 0, "pass") for name in batch.ids) == sorted(
        row.id for row in MIXED
    )


def test_fitting_may_ask_for_labelled_rows_alone(signals: TeacherSignals) -> None:
    seen: list[str] = []

    class Fits(Divergence):
        def bind(self, binding: Binding) -> None:
            weight = nn.Parameter(torch.zeros(1))

            def objective(batch: Batch) -> Tensor:
                seen.extend(batch.ids)
                return (batch.labels.float() - weight).square().mean()

            binding.fit([weight], objective, epochs=1, lr=0.1, labelled=True)

    train(signals, (("fits", Fits, 1.0),), epochs=1)
    assert sorted(seen) == sorted(row.id for row in PAIRS)


def test_groups_of_three_share_their_batches(signals: TeacherSignals) -> None:
    threes = []
    for number in range(4):
        threes.append(Example(f"{number}", texts(number), 0, partner=f"{number}~cf"))
        threes += [Example(f"{number}~cf{n}", "", 1, f"{number}", True) for n in ("", 2)]
    threes = [replace(row, input=MIXED[place].input) for place, row in enumerate(threes)]
    batches = TrainingBatches(a_student(), threes, 6, "cpu")
    for number in range(1, 6):
        for rows in batches.of_pass(number, 0, "order"):
            ids = {threes[row].id.split("~")[0] for row in rows}
            assert len(rows) == 3 * len(ids) == 6
    partners = batches.batch([3, 4, 5]).partner.tolist()
    assert partners == [1, 0, 0], "an original names the first, each names the original"

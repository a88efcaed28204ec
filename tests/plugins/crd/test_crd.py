"""The loss `crd` against its definition in float64, the contract, and the training loop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from cod_runner.api import BuildContext, CodrunError, Example, ModelShape, Outputs, TrainSettings
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.registry import Registry
from cod_runner.testing.checks import check_loss
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.testing.losses import PAIRED, loss_case
from codrun_crd.loss import CRD
from codrun_crd.plugin import CRDOptions

TEXTS = [str(example.input) for example in PAIRED]
REGISTRY = Registry.discover()


def loss_of(**options: object) -> tuple[CRD, CRDOptions]:
    chosen = CRDOptions(**{"dimensions": 6, **options})  # type: ignore[arg-type]
    return CRD(chosen, BuildContext()), chosen


@pytest.mark.parametrize("negatives", ["other_class", "all"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_it_keeps_the_contract(pool: str, negatives: str) -> None:
    """Negatives come from the training set, not from the batch: a text's value is the same alone and in company."""
    options = {"dimensions": 6, "pool": pool, "negatives": negatives, "temperature": 0.5}
    check_loss(REGISTRY.find("loss", "crd"), options)


def test_its_projections_have_the_learning_rate_that_is_asked_for() -> None:
    assert loss_of(learning_rate=0.02)[0].learning_rate == 0.02
    assert loss_of()[0].learning_rate is None, "the student's"


def split_by_class(teacher: TextClassifier) -> list[int]:
    with torch.no_grad():
        classes: list[int] = teacher(teacher.collate(teacher.encode(TEXTS))).logits.argmax(-1).tolist()
    return classes


@pytest.mark.parametrize("negatives", ["other_class", "all"])
def test_it_tells_the_own_vector_from_those_of_the_negatives(negatives: str) -> None:
    loss, options = loss_of(negatives=negatives, layers=(1, 3), temperature=0.3)
    teacher = TextClassifier(texts=TEXTS, width=12, layers=4, seed=1)
    classes = split_by_class(teacher)
    assert 1 < classes.count(0) < 4, "a case where both rules differ"
    case = loss_case(loss, options, teacher=teacher)

    def embedded(outputs: Outputs, layer: int, linear: torch.nn.Linear) -> list[Tensor]:
        rows = outputs.hidden[layer][:, 0].double()
        mapped = rows @ linear.weight.detach().double().T + linear.bias.detach().double()
        return [row / row.norm() for row in mapped]

    ours, theirs = embedded(case.student, 1, loss.student_map), embedded(case.teacher, 3, loss.teacher_map)
    for row, value in enumerate(case.values().tolist()):
        against = [other for other in range(5) if other == row or negatives == "all" or classes[other] != classes[row]]
        weights = [math.exp(float(ours[row] @ theirs[other]) / 0.3) for other in against]
        assert value == pytest.approx(math.log(sum(weights)) - float(ours[row] @ theirs[row]) / 0.3, rel=1e-4)


def test_no_label_is_read() -> None:
    """The classes are the teacher's, so that a row without a label takes part."""
    loss, options = loss_of()
    values = loss_case(loss, options).values()
    turned = [Example(each.id, each.input, 1 - each.hard_label, each.partner) for each in PAIRED]
    again, _ = loss_of()
    assert torch.equal(loss_case(again, options, examples=turned).values(), values)
    assert not getattr(loss, "needs_labels", False)


def test_the_projections_come_from_the_seed_and_are_not_the_students() -> None:
    def weights(seed: int) -> Tensor:
        loss, options = loss_of()
        loss_case(loss, options, seed=seed)
        assert {name for name, _ in loss.named_parameters()} == {
            f"{side}_map.{part}" for side in ("student", "teacher") for part in ("weight", "bias")
        }
        return loss.student_map.weight.detach()

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_a_layer_that_is_not_there_is_named() -> None:
    teacher, student = ModelShape(4, 12, 2), ModelShape(2, 8, 2)
    needs = CRDOptions().needs(teacher, student)
    assert (needs.teacher, needs.student) == ((4,), (2,))
    with pytest.raises(CodrunError, match=r"crd's `layers` names the pair \[3, 4\].*student has layers 0 to 2"):
        CRDOptions(layers=(3, 4)).needs(teacher, student)


def test_a_step_needs_no_value() -> None:
    """On a GPU a question for one would wait for all that was queued."""
    loss, options = loss_of()
    case = loss_case(loss, options)
    with FakeTensorMode(allow_non_fake_inputs=True):
        hidden = {2: torch.randn(5, 3, 8, requires_grad=True)}
        student = Outputs(torch.zeros(5, 2), hidden, None, torch.zeros(5, dtype=torch.long))
        loss(student, case.teacher, case.batch).sum().backward()


def distilled(folder: Path, steps: int = 150) -> tuple[CRD, TextClassifier, TextClassifier, list[float]]:
    teacher = TextClassifier(texts=TEXTS, width=12, layers=4, seed=7).eval()
    store = SignalStore(folder)
    store.add(teacher, TEXTS, [4], device="cpu")
    student = TextClassifier(texts=TEXTS, width=8, layers=2, dropout=0.1, seed=0)
    loss, options = loss_of(negatives="all")
    result = train_student(
        student,
        [Example(str(row), text, row % 2) for row, text in enumerate(TEXTS)],
        [WeightedTerm("crd", loss, 1.0, options.needs)],
        store.reader(teacher.fingerprint),
        TrainSettings(steps=steps, batch_size=4, lr=0.01, precision="fp32"),
        seed=0,
        device="cpu",
    )
    return loss, student, teacher, [losses["crd"] for _, losses in result.curve]


def test_training_finds_each_texts_own_vector_and_repeats_bit_for_bit(tmp_path: Path) -> None:
    loss, student, teacher, curve = distilled(tmp_path)
    assert sum(curve[-4:]) < 0.4 * sum(curve[:4])
    with torch.no_grad():
        ours, theirs = (
            model(model.collate(model.encode(TEXTS)), hidden=[layer]).hidden[layer][:, 0]
            for model, layer in ((student, 2), (teacher, 4))
        )
        alike = functional.normalize(loss.student_map(ours)) @ functional.normalize(loss.teacher_map(theirs)).T
    assert alike.argmax(1).tolist() == list(range(5))
    assert not any("map" in name for name in student.state_dict())
    assert distilled(tmp_path)[3] == curve


def test_the_teachers_vectors_are_read_whatever_batch_they_came_in(tmp_path: Path) -> None:
    """`bind` sees the set in batches of four in a shuffled order; a case of all rows at once sees the same."""
    loss, _, teacher, _ = distilled(tmp_path, steps=1)
    with torch.no_grad():
        theirs = teacher(teacher.collate(teacher.encode(TEXTS)), hidden=[4]).hidden[4][:, 0]
    rows = [loss._row_of[str(row)] for row in range(5)]
    assert sorted(rows) == list(range(5)) and rows != list(range(5))
    torch.testing.assert_close(loss.vectors[rows], theirs, atol=1e-5, rtol=1e-4)

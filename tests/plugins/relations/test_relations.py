"""The loss `relations` against its definition in float64, the contract, and the training loop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cod_runner.api import Batch, BuildContext, CodrunError, Example, ModelShape, Outputs, SettingError, TrainSettings
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.registry import Registry
from cod_runner.testing.checks import check_loss
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.testing.losses import PAIRED, loss_case
from codrun_relations.loss import Relations
from codrun_relations.plugin import RelationsOptions

TEACHER, STUDENT = ModelShape(layers=4, width=12, classes=2), ModelShape(layers=2, width=8, classes=2)
TEXTS = [str(example.input) for example in PAIRED]
REGISTRY = Registry.discover()


def loss_of(**options: object) -> tuple[Relations, RelationsOptions]:
    chosen = RelationsOptions(**{"heads": 4, **options})  # type: ignore[arg-type]
    return Relations(chosen, BuildContext()), chosen


@pytest.mark.parametrize("layers", ["last", "uniform", [(0, 1), (2, 4)]])
def test_it_keeps_the_contract(layers: object) -> None:
    check_loss(REGISTRY.find("loss", "relations"), {"heads": 4, "layers": layers})


def naive(ours: Tensor, theirs: Tensor, heads: int) -> float:
    """Of one text's states ``[tokens, width]``, one relation after the other."""
    total, tokens = 0.0, len(ours)
    for head in range(heads):
        for token in range(tokens):
            logs = []
            for states in (theirs, ours):
                part = states.double().chunk(heads, dim=1)[head]
                scores = [float(part[token] @ part[other]) / math.sqrt(part.shape[1]) for other in range(tokens)]
                norm = math.log(sum(math.exp(score - max(scores)) for score in scores)) + max(scores)
                logs.append([score - norm for score in scores])
            total += sum(math.exp(p) * (p - q) for p, q in zip(*logs, strict=True))
    return total / heads / tokens


def test_it_is_the_kl_of_relations_over_real_tokens_heads_and_layers() -> None:
    loss, options = loss_of(layers=[(1, 2), (2, 4)])
    case = loss_case(loss, options)
    for row, text in enumerate(TEXTS):
        tokens = len(text.split())
        by_layer = [
            naive(case.student.hidden[ours][row, :tokens], case.teacher.hidden[theirs][row, :tokens], 4)
            for ours, theirs in loss.mapping
        ]
        assert case.values()[row].item() == pytest.approx(sum(by_layer) / 2, rel=1e-4)


def test_no_difference_where_the_student_is_the_teacher_whichever_side_it_pads_on() -> None:
    teacher = TextClassifier(texts=TEXTS, width=8, seed=3)
    for side in ("right", "left"):
        loss, options = loss_of(layers="uniform")
        student = TextClassifier(texts=TEXTS, width=8, seed=3, padding=side)
        assert loss_case(loss, options, student=student, teacher=teacher).values().abs().max() < 1e-6
        other = TextClassifier(texts=TEXTS, width=8, seed=4, padding=side)
        assert loss_case(loss, options, student=other, teacher=teacher).values().min() > 1e-4


def test_states_of_a_scale_that_swamps_the_softmax_stay_finite() -> None:
    loss, options = loss_of()
    case = loss_case(loss, options)
    for outputs in (case.student, case.teacher):
        for states in outputs.hidden.values():
            states *= 300
    assert torch.isfinite(case.values()).all()


def test_layers_and_heads_that_do_not_fit_are_refused() -> None:
    assert RelationsOptions(heads=4).needs(TEACHER, STUDENT).teacher == (4,)
    assert RelationsOptions(heads=4, layers="uniform").mapping(TEACHER, STUDENT) == [(1, 2), (2, 4)]
    with pytest.raises(SettingError, match=r"teacher's 12 and the student's 8; take one of 1, 2, 4$"):
        RelationsOptions().needs(TEACHER, STUDENT)
    with pytest.raises(SettingError, match=r"relations' `layers` names the pair \[3, 4\]"):
        RelationsOptions(heads=4, layers=[(3, 4)]).needs(TEACHER, STUDENT)
    with pytest.raises(ValidationError):
        RelationsOptions(layers=[])


def test_a_step_needs_no_value() -> None:
    """On a GPU a question for one would wait for all that was queued."""
    loss, _ = loss_of()
    loss.mapping = [(2, 4)]
    with FakeTensorMode():
        mask = torch.arange(5) < torch.tensor([[5], [3]])
        ours, theirs = (
            Outputs(torch.zeros(2, 2), {layer: torch.randn(2, 5, width, requires_grad=True)}, mask)
            for layer, width in ((2, 8), (4, 12))
        )
        batch = Batch(("a", "b"), torch.tensor([0, 1]), torch.tensor([-1, -1]), torch.tensor([False, False]))
        loss(ours, theirs, batch).sum().backward()


def distilled(folder: Path, teacher_texts: list[str], steps: int = 60) -> list[float]:
    """The loss in each step of a training by it alone; one row has no label."""
    teacher = TextClassifier(texts=teacher_texts, width=12, layers=4, seed=7).eval()
    store = SignalStore(folder)
    store.add(teacher, TEXTS, [4], device="cpu")
    examples = [Example(str(row), text, row % 2) for row, text in enumerate(TEXTS)]
    loss, options = loss_of()
    result = train_student(
        TextClassifier(texts=TEXTS, width=8, layers=2, seed=0),
        examples,
        [WeightedTerm("relations", loss, 1.0, options.needs)],
        store.reader(teacher.fingerprint),
        TrainSettings(steps=steps, batch_size=4, lr=0.01, precision="fp32"),
        seed=0,
        device="cpu",
    )
    return [losses["relations"] for _, losses in result.curve]


def test_training_brings_the_relations_together(tmp_path: Path) -> None:
    curve = distilled(tmp_path, TEXTS)
    assert sum(curve[-4:]) < 0.3 * sum(curve[:4])


def test_unlike_tokenisers_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(CodrunError, match=r"`relations` compares positions.*one tokenizer, or `lwd` with `pool: mean`"):
        distilled(tmp_path, list(reversed(TEXTS)), steps=1)

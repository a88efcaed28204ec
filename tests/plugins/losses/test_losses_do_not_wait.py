"""No loss asks for a number in a step: on a GPU each such question waits until all that was queued has been computed.

Tensors without values find them: whatever needs a value (``item``, a test, picking the true entries) raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from cod_runner.api import Batch, Binding, BuildContext, Loss, ModelShape, Outputs
from cod_runner.engine.outputs import laid_out_as
from cod_runner.registry import Registry

TEACHER, STUDENT = ModelShape(layers=4, width=6, classes=3), ModelShape(layers=2, width=4, classes=3)
LOSSES = [
    ("hard", {"label_smoothing": 0.1}),
    *(("kd", {"divergence": divergence, "top_k": 2}) for divergence in ("forward", "reverse", "jsd")),
    ("soft", {}),
    ("random_soft", {}),
    ("pair", {}),
    ("pair", {"form": "published"}),
    *((use, {"pool": pool}) for use in ("lwd", "ted") for pool in ("none", "mean", "cls")),
]


class NoData:
    def batches(self) -> Iterator[Batch]:
        raise AssertionError("filters come from the cache here")

    signals = student_outputs = batches


def bound(use: str, options: dict[str, Any]) -> Any:
    loss: Any = Registry.discover().build("loss", use, options, BuildContext())

    def kept(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        parts = {"teacher": loss.teacher_filters, "student": loss.student_filters}
        return {f"{side}.{key}": value for side, part in parts.items() for key, value in part.state_dict().items()}

    data: Any = NoData()
    loss.bind(Binding(TEACHER, STUDENT, ("a", "b", "c"), data, 0, "cpu", kept, lambda *given, **how: None))
    return loss


def step(loss: Loss) -> Tensor:
    """One forward and backward on two texts, the student padding on the left."""

    def outputs(shape: ModelShape, mask: Tensor) -> Outputs:
        hidden = {layer: torch.randn(2, 5, shape.width, requires_grad=True) for layer in range(shape.layers + 1)}
        return Outputs(torch.randn(2, 3, requires_grad=True), hidden, mask, torch.zeros(2, dtype=torch.long))

    student = outputs(STUDENT, torch.arange(5) >= torch.tensor([[0], [2]]))
    teacher = outputs(TEACHER, torch.arange(5) < torch.tensor([[5], [3]]))
    assert student.mask is not None
    batch = Batch(("a", "b"), torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([False, True]))
    values = loss(student, laid_out_as(teacher, student.mask), batch)
    values.sum().backward()
    return values


@pytest.mark.parametrize(("use", "options"), LOSSES, ids=str)
def test_a_step_needs_no_value(use: str, options: dict[str, Any]) -> None:
    loss = bound(use, options)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert step(loss).shape == (2,)


@pytest.mark.parametrize("asks", [lambda values: float(values.sum()), lambda values: values[values > 0]])
def test_the_test_finds_what_waits(asks: Callable[[Tensor], Any]) -> None:
    with FakeTensorMode(), pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        asks(torch.randn(3))

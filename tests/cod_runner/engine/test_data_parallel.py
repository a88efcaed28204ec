"""Two processes train what one would: the same examples in each step, weights equal but for the order of sums."""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cod_runner.api import Example, FinetuneSettings
from cod_runner.engine import checkpoints
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.data_parallel import Alone, joined
from cod_runner.engine.device import threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.errors import CodrunError
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.worker_group import Place, Tell, places_for, worker_group

pytestmark = pytest.mark.slow

WORDS = ("good", "bad", "dull", "fine", "film", "plot", "long", "short", "odd", "sweet", "loud")
ROWS = [
    Example(id=str(row), input=" ".join(WORDS[(row * step) % 11] for step in range(1, 2 + row % 5)), label=row % 2)
    for row in range(23)
]
UNUSED = ("seldom", "never")
"""Words that no row has, so that the vocabulary is cut."""


class WithAnUnusedLayer(TextClassifier):
    """A layer that nothing reads, as the pooler of an encoder under a mean."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.pooler = nn.Linear(4, 4)
        nn.init.ones_(self.pooler.weight)
        nn.init.ones_(self.pooler.bias)


@dataclass(frozen=True)
class Case:
    """One training. Seven rows a batch leave two for the last one, one of which is a process's."""

    settings: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0
    kind: type[TextClassifier] = TextClassifier
    rows: int = 23
    stops_after: int | None = None
    """Steps, after which it is stopped and continued."""

    def model(self) -> TextClassifier:
        return self.kind(texts=[*WORDS, *UNUSED], dropout=self.dropout, seed=3)

    def trained(self, share: Any, resuming: Resumption | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        # A large `eps`, without which Adam makes a whole step of the rounding of a gradient that is 0, a key's bias's.
        given = {"steps": 12, "batch_size": 7, "lr": 0.1, "eps": 0.01, "precision": "fp32", "weight_decay": 0.1}
        given |= self.settings
        model = self.model()
        with threads(1):
            record = finetune_teacher(
                model, ROWS[: self.rows], FinetuneSettings(**given), device="cpu", resuming=resuming, share=share
            )
        return model.state_dict(), record


CASES = {
    "plainly": Case(),
    "with a clipped and accumulated gradient": Case({"accumulation": 2, "clip": 0.05, "schedule": "cosine"}),
    "with a batch of one": Case({"batch_size": 11}),
    "in bf16": Case({"precision": "bf16"}),
    "with a layer that nothing reads": Case(kind=WithAnUnusedLayer),
    "recomputed": Case({"gradient_checkpointing": True}),
}
DROPOUT, CONTINUED = Case(dropout=0.5), Case(dropout=0.5, stops_after=5)


class Stopped(Exception):
    pass


@dataclass(frozen=True)
class AllCases:
    """What a process does: everything in one meeting, since each process loads torch."""

    folder: Path

    def __call__(self, place: Place, tell: Tell) -> dict[str, Any]:
        until = time.monotonic() + 240
        while _thread._count() == 0:  # the one that watches the parent, and may be about to begin
            assert time.monotonic() < until, "nothing watches the parent"
            time.sleep(0.01)
        found: dict[str, Any] = {}
        with joined(place.number, place.of, self.folder / "meeting", "cpu") as share:
            for name, case in CASES.items():
                found[name] = case.trained(share)
            found["dropout"] = DROPOUT.trained(share)
            found["draws"] = [_draw(share, step) for step in (1, 2, 1)]
            found["continued"] = self._continued(share, place)
            found["at different steps"] = self._at_different_steps(share, place)
        return found

    def _continued(self, share: Any, place: Place) -> Any:
        resuming = Resumption(self.folder / "a.checkpoint", "same", writes=place.number == 0)
        real = Resumption.steps

        def stopped(this: Resumption, groups: Any, state: Any, total: int) -> Iterator[Any]:
            for done, group in enumerate(real(this, groups, state, total)):
                yield group
                if done + 1 == CONTINUED.stops_after:
                    this._write(state, done + 1, total)
                    raise Stopped

        checkpoints.Resumption.steps = stopped  # type: ignore[assignment, method-assign]
        with pytest.raises(Stopped):
            CONTINUED.trained(share, resuming)
        checkpoints.Resumption.steps = real  # type: ignore[method-assign]
        torch.distributed.barrier()
        share._agreed = False
        return CONTINUED.trained(share, resuming)

    def _at_different_steps(self, share: Any, place: Place) -> str:
        share._agreed = False
        with pytest.raises(CodrunError) as caught:
            share.begin(5 + place.number, 0)
        return str(caught.value)


def _draw(share: Any, step: int) -> float:
    share.begin(step, 0)
    return float(torch.rand(1))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    pytest.importorskip("accelerate")
    folder, found = tmp_path_factory.mktemp("together"), {}
    with worker_group(AllCases(folder), places_for(2, None), "that train", "run it again") as group:
        for told in group.told():
            found[told.number] = told.content
    return [found[0], found[1]]


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", CASES)
def test_weights_are_those_of_one_process_but_for_the_order_of_sums(
    together: Sequence[dict[str, Any]], name: str
) -> None:
    alone, record = CASES[name].trained(Alone())
    before = CASES[name].model().state_dict()
    (weights, told), (others, _) = together[0][name], together[1][name]
    assert same_bits(weights, others)
    moved = max(float((alone[each] - before[each]).abs().max()) for each in alone)
    apart = max(float((alone[each] - weights[each]).abs().max()) for each in alone)
    assert moved > 0.05
    assert apart < (0.02 if name == "in bf16" else 2e-5) * moved
    tolerance = 1e-2 if name == "in bf16" else 1e-4
    assert told["loss"] == pytest.approx(record["loss"], rel=tolerance)
    assert told["mean_loss"] == pytest.approx(record["mean_loss"], rel=tolerance)
    assert {key: told[key] for key in ("rows", "steps", "precision", "trained_parameters")} == {
        key: record[key] for key in ("rows", "steps", "precision", "trained_parameters")
    }


def test_each_process_has_dropout_of_its_own_and_a_continued_training_the_same(
    together: Sequence[dict[str, Any]],
) -> None:
    first, second = (found["draws"] for found in together)
    assert first[0] == first[2] and second[0] == second[2] and len({*first, *second}) == 4
    (weights, _), (others, _) = together[0]["dropout"], together[1]["dropout"]
    assert same_bits(weights, others)
    assert not same_bits(weights, DROPOUT.trained(Alone())[0])
    continued, record = together[0]["continued"]
    assert same_bits(continued, weights) and record == together[0]["dropout"][1]


def test_processes_at_different_steps_do_not_go_on(together: Sequence[dict[str, Any]]) -> None:
    for found in together:
        assert "continue at different steps ([5, 6])" in found["at different steps"]


def test_one_process_is_handed_everything_as_it_is() -> None:
    share, rows, values = Alone(), [3, 1, 2], torch.ones(2)
    model: Callable[..., Any] = TextClassifier(texts=WORDS)
    assert share.forward_of(model) is model and share.summed(values) is values  # type: ignore[arg-type]
    with share.part_of(rows, last=False) as part:
        assert part is rows

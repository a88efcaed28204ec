"""TED against a straight re-implementation of its paper's equations, and the promises of its two stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, ModelShape, Outputs
from cod_runner.engine.outputs import laid_out_as
from codrun_ted.filters import Filters, TaskHeads
from codrun_ted.loss import TED
from codrun_ted.plugin import TEDOptions

torch.set_num_threads(1)

TEACHER = ModelShape(layers=4, width=6, classes=3)
STUDENT = ModelShape(layers=2, width=4, classes=3)
LENGTHS = [3, 5, 2, 4]
LABELS = [0, 2, 1, 2]


class Source:
    """Four texts of random hidden states, in two batches whose order changes from pass to pass."""

    def __init__(self, seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        self.of: dict[str, tuple[dict[int, Tensor], dict[int, Tensor]]] = {}
        for row, length in enumerate(LENGTHS):
            theirs = {layer: torch.randn(length, 6, generator=random) for layer in range(5)}
            ours = {layer: torch.randn(length, 4, generator=random) for layer in range(3)}
            self.of[str(row)] = (theirs, ours)
        self.passes = 0

    def batches(self) -> Iterator[Batch]:
        self.passes += 1
        for rows in ([[0, 1], [2, 3]], [[3, 0], [1, 2]])[self.passes % 2]:
            yield batch_of(rows)

    def signals(self, batch: Batch) -> Outputs:
        return padded([self.of[name][0] for name in batch.ids])

    def student_outputs(self, batch: Batch) -> Outputs:
        return padded([self.of[name][1] for name in batch.ids])


def batch_of(rows: list[int]) -> Batch:
    return Batch(
        ids=tuple(map(str, rows)),
        labels=torch.tensor([LABELS[row] for row in rows]),
        partner=torch.full((len(rows),), -1),
        is_counterfactual=torch.zeros(len(rows), dtype=torch.bool),
    )


def padded(texts: list[dict[int, Tensor]], longest: int = 0, side: str = "right", junk: float = 0.0) -> Outputs:
    longest = longest or max(len(text[0]) for text in texts)
    hidden = {}
    mask = torch.zeros(len(texts), longest, dtype=torch.bool)
    pooled_at = torch.zeros(len(texts), dtype=torch.long)
    for layer in texts[0]:
        hidden[layer] = torch.full((len(texts), longest, texts[0][0].shape[1]), junk)
        for row, text in enumerate(texts):
            start = 0 if side == "right" else longest - len(text[layer])
            hidden[layer][row, start : start + len(text[layer])] = text[layer]
            mask[row, start : start + len(text[layer])] = True
            pooled_at[row] = start
    return Outputs(torch.zeros(len(texts), 3), hidden, mask, pooled_at)


def adam(source: Source, parameters: Iterable[nn.Parameter], objective: Callable[[Batch], Tensor], **how: Any) -> None:
    trained = list(parameters)
    optimiser = torch.optim.AdamW(trained, lr=how["lr"], weight_decay=0.0)
    for _ in range(how["epochs"]):
        for batch in source.batches():
            optimiser.zero_grad()
            objective(batch).backward()
            optimiser.step()


def binding(source: Source, kept: dict[str, dict[str, Tensor]] | None = None) -> Binding:
    cache = {} if kept is None else kept

    def remembered(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        if name not in cache:
            cache[name] = make()
        return cache[name]

    def fit(parameters: Iterable[nn.Parameter], objective: Callable[[Batch], Tensor], **how: Any) -> None:
        adam(source, parameters, objective, **how)

    return Binding(TEACHER, STUDENT, ("a", "b", "c"), source, 0, "cpu", remembered, fit)


def bound(source: Source, seed: int = 0, kept: dict[str, dict[str, Tensor]] | None = None, **options: Any) -> TED:
    loss = TED(TEDOptions(**{"filter_epochs": 4, "filter_lr": 0.01, **options}), BuildContext())
    torch.manual_seed(seed)
    loss.bind(binding(source, kept))
    return loss


class PaperFilter(nn.Module):
    """One filter with its pooler and head, as the equations have it, layer by layer."""

    def __init__(self, inputs: int, width: int, kind: str) -> None:
        super().__init__()
        self.filter: nn.Module = nn.Linear(inputs, width)
        if kind == "nonlinear":
            self.filter = nn.Sequential(nn.Linear(inputs, inputs), nn.GELU(), nn.Linear(inputs, width))
        self.pooler, self.head = nn.Linear(width, width), nn.Linear(width, 3)

    def logits(self, states: Tensor) -> Tensor:
        return self.head(torch.tanh(self.pooler(self.filter(states))))


def copied(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias[0])


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_both_stages_equal_the_papers_equations(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    width, pairs = 5, [(1, 2), (2, 4)]
    started: dict[str, Any] = {}

    def remember(loss: TED, own: Binding, *heads: TaskHeads) -> None:
        """The weights before stage 1, so that the paper's version starts from the same ones."""
        sides = zip(("teacher", "student"), (loss.teacher_filters, loss.student_filters), heads, strict=True)
        for side, filters, head in sides:
            modules = nn.ModuleList([filters, head])
            started[side] = {name: value.detach().clone() for name, value in modules.state_dict().items()}
        learn(loss, own, *heads)

    learn = TED._learn_the_task
    monkeypatch.setattr(TED, "_learn_the_task", remember)
    ours = bound(Source(), filter=kind, width=width)

    # Stage 1: min over W of (1/K) sum_k CE(head_k(pool_k(g_k(H_k; W_k))), y), each side with its model frozen.
    filters: dict[str, list[PaperFilter]] = {}
    for side, inputs in (("teacher", 6), ("student", 4)):
        filters[side] = [PaperFilter(inputs, width, kind) for _ in pairs]
        for number, one in enumerate(filters[side]):
            linears = [module for module in one.modules() if isinstance(module, nn.Linear)]
            names = ["0.first", *(["0.second"] if kind == "nonlinear" else []), "1.pooler", "1.head"]
            for linear, name in zip(linears, names, strict=True):
                copied(linear, started[side][f"{name}.weight"][number], started[side][f"{name}.bias"][number])
        source = Source()
        source.passes = 1  # TED's own first pass reads the states

        def objective(batch: Batch, side: str = side, source: Source = source) -> Tensor:
            value = torch.zeros(())
            for one, layers in zip(filters[side], pairs, strict=True):
                states = [source.of[name][side == "student"][layers[side == "teacher"]][0] for name in batch.ids]
                value = value + functional.cross_entropy(one.logits(torch.stack(states)), batch.labels)
            return value / len(pairs)

        adam(source, [p for one in filters[side] for p in one.parameters()], objective, epochs=4, lr=0.01)

    # Stage 2: (1/K) sum_k MSE(g_k^t(H_t), g_k^s(H_s)) over real tokens.
    source = Source()
    wanted = []
    for theirs, mine in source.of.values():
        values = [
            functional.mse_loss(student.filter(mine[ours_layer]), teacher.filter(theirs[their_layer]))
            for teacher, student, (ours_layer, their_layer) in zip(
                filters["teacher"], filters["student"], pairs, strict=True
            )
        ]
        wanted.append(torch.stack(values).mean())
    batch = batch_of([0, 1, 2, 3])
    got = ours(source.student_outputs(batch), source.signals(batch), batch)
    torch.testing.assert_close(got, torch.stack(wanted), rtol=1e-4, atol=1e-6)


def test_stage_1_learns_the_task_on_both_sides() -> None:
    """A filter and head that were trained read the labels better than they did at the start."""
    values: list[float] = []

    source = Source()
    loss = TED(TEDOptions(filter_epochs=60, filter_lr=0.01), BuildContext())
    own = binding(source)

    def fit(parameters: Iterable[nn.Parameter], objective: Callable[[Batch], Tensor], **how: Any) -> None:
        whole = batch_of([0, 1, 2, 3])
        values.append(objective(whole).item())
        adam(source, parameters, objective, **how)
        values.append(objective(whole).item())

    torch.manual_seed(0)
    loss.bind(Binding(**{**vars(own), "fit": fit}))
    assert values[0] > 1.5, "two sides of three classes start near 2 ln 3"
    assert values[1] < 0.2


def test_students_filters_train_and_teachers_stand_still() -> None:
    source = Source()
    loss = bound(source)
    assert {name.split(".")[0] for name, _ in loss.named_parameters()} == {"student_filters"}
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    optimiser = torch.optim.AdamW(loss.parameters(), lr=0.01)
    batch = batch_of([0, 1, 2, 3])
    student = source.student_outputs(batch)
    for states in student.hidden.values():
        states.requires_grad_()
    first = loss(student, source.signals(batch), batch).mean()
    first.backward()
    optimiser.step()
    moved = {name for name, value in loss.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("student_filters")}
    assert student.hidden[1].grad is not None and student.hidden[1].grad[0, 0].abs().sum() > 0
    assert loss(source.student_outputs(batch), source.signals(batch), batch).mean() < first


@pytest.mark.parametrize("pool", ["none", "mean", "cls"])
@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(pool: str, kind: str, side: str) -> None:
    source = Source()
    loss = bound(source, pool=pool, filter=kind)
    theirs, ours = source.of["2"]
    alone = loss(padded([ours]), padded([theirs]), batch_of([2]))
    long_theirs, long_ours = source.of["1"]
    student, teacher = padded([ours, long_ours], 9, side, junk=7.0), padded([theirs, long_theirs], junk=-3.0)
    if pool == "none":
        assert student.mask is not None
        teacher = laid_out_as(teacher, student.mask)  # as the engine does for losses that compare positions
    beside = loss(student, teacher, batch_of([2, 1]))
    torch.testing.assert_close(beside[:1], alone)


@pytest.mark.parametrize("pool", ["none", "mean", "cls"])
@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_gradient(pool: str, kind: str) -> None:
    source = Source()
    loss = bound(source, pool=pool, filter=kind).double()
    batch = batch_of([0, 1])
    signals = source.signals(batch)
    signals.hidden = {layer: states.double() for layer, states in signals.hidden.items()}
    student = source.student_outputs(batch)

    def value(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        name = "student_filters.first.weight"
        outputs = Outputs(student.logits.double(), {1: first, 2: second}, student.mask, student.pooled_at)
        return torch.func.functional_call(loss, {name: weight}, (outputs, signals, batch))

    inputs = (student.hidden[1].double(), student.hidden[2].double(), loss.student_filters.first.weight.detach())
    assert torch.autograd.gradcheck(value, tuple(each.clone().requires_grad_() for each in inputs))


def test_filters_are_kept_and_found_again() -> None:
    kept: dict[str, dict[str, Tensor]] = {}
    first = bound(Source(), seed=1, kept=kept)
    again_source = Source()
    again = bound(again_source, seed=2, kept=kept)
    assert again_source.passes == 0, "nothing is read or trained a second time"
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    # what trains later must not write into what was kept
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(1)
    assert torch.equal(kept["filters"]["student.first.weight"], first.state_dict()["student_filters.first.weight"])


def test_seeds_share_nothing() -> None:
    one, two = bound(Source(), seed=1), bound(Source(), seed=2)
    assert not torch.equal(one.teacher_filters.first.weight, two.teacher_filters.first.weight)
    same = bound(Source(), seed=1)
    assert torch.equal(one.teacher_filters.first.weight, same.teacher_filters.first.weight)


def test_pools_compare_what_they_say() -> None:
    source = Source()
    batch = batch_of([1])
    theirs, ours = source.of["1"]
    for pool, vector in (("mean", lambda states: states.mean(0)), ("cls", lambda states: states[0])):
        loss = bound(source, pool=pool, filter="nonlinear")
        wanted = []
        for number, (mine, their) in enumerate([(1, 2), (2, 4)]):
            difference = vector(through(loss.student_filters, number, ours[mine])) - vector(
                through(loss.teacher_filters, number, theirs[their])
            )
            wanted.append(difference.square().mean())
        got = loss(source.student_outputs(batch), source.signals(batch), batch)
        torch.testing.assert_close(got[0], torch.stack(wanted).mean())


def through(filters: Filters, number: int, states: Tensor) -> Tensor:
    assert filters.second is not None
    hidden = functional.gelu(states @ filters.first.weight[number] + filters.first.bias[number])
    return hidden @ filters.second.weight[number] + filters.second.bias[number]


def test_layers() -> None:
    teacher, student = ModelShape(12, 6, 2), ModelShape(6, 4, 2)
    assert TEDOptions().mapping(teacher, student) == [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]
    assert TEDOptions(interval=2).mapping(teacher, student) == [(2, 4), (4, 8), (6, 12)]
    assert TEDOptions(interval=9).mapping(teacher, student) == [(6, 12)]
    assert TEDOptions(layers=[(6, 11), (0, 0)]).mapping(teacher, student) == [(6, 11), (0, 0)]
    with pytest.raises(CodrunError, match=r"\[7, 12\].*student has layers 0 to 6"):
        TEDOptions(layers=[(7, 12)]).mapping(teacher, student)
    with pytest.raises(ValidationError, match="`interval` goes with `layers: uniform`"):
        TEDOptions(layers=[(6, 11)], interval=2)
    with pytest.raises(CodrunError, match="empty"):
        TEDOptions(layers=[]).mapping(teacher, student)
    needs = TEDOptions(interval=3).needs(teacher, student)
    assert (needs.teacher, needs.student) == ((6, 12), (3, 6))


def test_positions_are_compared_only_without_a_pool() -> None:
    assert TED(TEDOptions(), BuildContext()).aligned
    assert not TED(TEDOptions(pool="mean"), BuildContext()).aligned
    source = Source()
    loss = bound(source)
    with pytest.raises(CodrunError, match="pool: mean"):
        loss(padded([source.of["0"][1]]), padded([source.of["1"][0]]), batch_of([0]))


def test_width_is_the_teachers_unless_said() -> None:
    assert bound(Source()).student_filters.first.weight.shape == (2, 4, 6)
    assert bound(Source(), width=9).teacher_filters.first.weight.shape == (2, 6, 9)
    nonlinear = bound(Source(), width=9, filter="nonlinear").student_filters
    assert nonlinear.second is not None
    assert (nonlinear.first.weight.shape, nonlinear.second.weight.shape) == ((2, 4, 4), (2, 4, 9))

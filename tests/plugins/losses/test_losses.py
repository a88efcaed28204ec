"""The losses against values worked out by hand or in float64, and against the contract."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from cod_runner.api import Batch, BuildContext, CodrunError, Loss, ModelShape, Options, Outputs
from cod_runner.registry import Registry
from cod_runner.testing.checks import check_loss
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.testing.losses import PAIRED, loss_case
from codrun_losses.kd import KD
from codrun_losses.labels import Hard, RandomSoft, Soft
from codrun_losses.lwd import LWD, changed_tokens
from codrun_losses.pair import Pair
from codrun_losses.plugin import (
    HardOptions,
    KDOptions,
    LWDOptions,
    PairOptions,
    RandomSoftOptions,
    SoftOptions,
)

CONTEXT = BuildContext()
REGISTRY = Registry.discover()
EVERY_LOSS: dict[str, tuple[Callable[[Any, BuildContext], Loss], Options]] = {
    "hard": (Hard, HardOptions()),
    "hard smoothed": (Hard, HardOptions(label_smoothing=0.1)),
    "kd": (KD, KDOptions()),
    "kd reverse": (KD, KDOptions(divergence="reverse")),
    "kd jsd": (KD, KDOptions(divergence="jsd", temperature=1.5)),
    "kd top 2": (KD, KDOptions(top_k=2)),
    "lwd": (LWD, LWDOptions()),
    "lwd pairs": (LWD, LWDOptions(layers=[(1, 3), (2, 4)])),
    "lwd mean": (LWD, LWDOptions(pool="mean")),
    "lwd cls": (LWD, LWDOptions(pool="cls")),
    "soft": (Soft, SoftOptions(temperature=2.0)),
    "random_soft": (RandomSoft, RandomSoftOptions()),
    "pair": (Pair, PairOptions()),
    "pair published": (Pair, PairOptions(form="published", gap_weight=0.5)),
}


@pytest.mark.parametrize("name", [name for name in EVERY_LOSS if " " in name])
def test_every_form_of_a_loss_keeps_the_contract(name: str) -> None:
    """With other options than the defaults, with which all components are checked elsewhere."""
    _, options = EVERY_LOSS[name]
    check_loss(REGISTRY.find("loss", name.split()[0]), options.model_dump(exclude_unset=True))


def test_some_losses_read_nothing_of_the_teacher() -> None:
    """Hard labels, alone or in pairs, and random soft ones; their values do not move with what the teacher says."""
    alone = {name for name, (_, options) in EVERY_LOSS.items() if not options.uses_teacher()}
    assert alone == {"hard", "hard smoothed", "random_soft", "pair published"}
    for name, (build, options) in EVERY_LOSS.items():
        case = loss_case(build(options, CONTEXT), options)
        values = case.values()
        case.teacher.logits[:, 0] += 3.0
        for states in case.teacher.hidden.values():
            states += 1.0
        assert torch.equal(case.values(), values) == (name in alone), name


def test_a_loss_that_reads_labels_says_so() -> None:
    """By its values, not by its word: the engine keeps rows without a label from these alone."""
    reads = set()
    for name, (build, options) in EVERY_LOSS.items():
        loss = build(options, CONTEXT)
        case = loss_case(loss, options)
        values = case.values()
        case.batch.labels = 1 - case.batch.labels
        moved = not torch.equal(case.values(), values)
        assert moved == getattr(loss, "needs_labels", False), name
        reads |= {name} if moved else set()
    assert reads == {"hard", "hard smoothed", "pair published"}


def _outputs(logits: list[list[float]]) -> Outputs:
    return Outputs(torch.tensor(logits, dtype=torch.float64))


def _batch(labels: list[int], partner: list[int] | None = None) -> Batch:
    rows = len(labels)
    return Batch(
        tuple(map(str, range(rows))),
        torch.tensor(labels),
        torch.tensor(partner or [-1] * rows),
        torch.zeros(rows, dtype=torch.bool),
    )


def test_hard_is_minus_log_probability() -> None:
    # Logits 0 and ln 3 are probabilities 1/4 and 3/4.
    logits = _outputs([[0.0, math.log(3)], [0.0, math.log(3)]])
    values = Hard(HardOptions(), CONTEXT)(logits, logits, _batch([1, 0]))
    assert values.tolist() == pytest.approx([math.log(4 / 3), math.log(4)])


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    logits = _outputs([[0.0, math.log(3)]])
    values = Hard(HardOptions(label_smoothing=0.2), CONTEXT)(logits, logits, _batch([1]))
    assert values.tolist() == pytest.approx([0.9 * math.log(4 / 3) + 0.1 * math.log(4)])


def test_kd_is_tempered_kl_times_temperature_squared() -> None:
    # At T = 2 the teacher's logits 0, 2 ln 3 are 1/4, 3/4 and the student's 0, 0 are 1/2, 1/2.
    student, teacher = _outputs([[0.0, 0.0]]), _outputs([[0.0, 2 * math.log(3)]])
    forward = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    reverse = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    middle = (0.375, 0.625)
    jsd = 0.5 * (0.25 * math.log(0.25 / middle[0]) + 0.75 * math.log(0.75 / middle[1])) + 0.5 * (
        0.5 * math.log(0.5 / middle[0]) + 0.5 * math.log(0.5 / middle[1])
    )
    for divergence, wanted in (("forward", forward), ("reverse", reverse), ("jsd", jsd)):
        loss = KD(KDOptions(temperature=2.0, divergence=divergence), CONTEXT)
        assert loss(student, teacher, _batch([0])).tolist() == pytest.approx([4 * wanted]), divergence


def test_top_k_kd_compares_the_teachers_likeliest_classes_alone() -> None:
    # Of the teacher's 5, 0, ln 3 + ... only the two likeliest count, renormalised: 1/4 and 3/4.
    teacher = _outputs([[1.0, -9.0, 1.0 + math.log(3)]])
    student = _outputs([[0.0, 7.0, 0.0]])
    wanted = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert KD(KDOptions(temperature=1.0, top_k=2), CONTEXT)(student, teacher, _batch([0])).tolist() == pytest.approx(
        [wanted]
    )


def test_soft_is_cross_entropy_and_so_kl_plus_the_teachers_entropy() -> None:
    student, teacher = _outputs([[0.3, -1.0, 0.2]]), _outputs([[2.0, 0.1, -0.7]])
    probability = torch.softmax(teacher.logits, -1)
    entropy = -(probability * probability.log()).sum().item()
    kl = KD(KDOptions(temperature=1.0), CONTEXT)(student, teacher, _batch([0])).item()
    soft = Soft(SoftOptions(), CONTEXT)(student, teacher, _batch([0])).item()
    assert soft == pytest.approx(kl + entropy)


def test_random_soft_labels_belong_to_seed_and_example() -> None:
    def drawn(seed: int, example: str) -> list[float]:
        loss = RandomSoft(RandomSoftOptions(), CONTEXT)
        loss_case(loss, seed=seed)
        return loss.drawn(example, 3).tolist()

    assert drawn(0, "x") == drawn(0, "x")
    assert sum(drawn(0, "x")) == pytest.approx(1.0)
    assert drawn(0, "x") != drawn(0, "y") and drawn(0, "x") != drawn(1, "x")


def test_pair_compares_moves_and_is_the_same_for_both_halves() -> None:
    # The student moves from (3/4, 1/4) to (1/2, 1/2), the teacher from (3/4, 1/4) to (1/4, 3/4).
    student = _outputs([[math.log(3), 0.0], [0.0, 0.0], [5.0, 0.0]])
    teacher = _outputs([[math.log(3), 0.0], [0.0, math.log(3)], [0.0, 0.0]])
    values = Pair(PairOptions(), CONTEXT)(student, teacher, _batch([0, 1, 0], partner=[1, 0, -1]))
    assert values.tolist() == pytest.approx([0.0625, 0.0625, 0.0])


def test_the_published_pair_loss_is_the_counterfactuals_cross_entropy_and_the_gap() -> None:
    # x (label 0) at probability 3/4, x' (label 1) at 1/2, a row without a partner.
    student = _outputs([[math.log(3), 0.0], [0.0, 0.0], [5.0, 0.0]])
    batch = _batch([0, 1, 0], partner=[1, 0, -1])
    batch.is_counterfactual = torch.tensor([False, True, False])
    wanted = math.log(2) + 3.0 * (math.log(2) - math.log(4 / 3))
    for gap_weight, value in ((3.0, wanted), (0.0, math.log(2))):
        loss = Pair(PairOptions(form="published", gap_weight=gap_weight), CONTEXT)
        assert loss(student, student, batch).tolist() == pytest.approx([value, value, 0.0])


def test_two_counterfactuals_of_one_original_are_two_pairs() -> None:
    """Each row with the partner it names: the original with its first, both counterfactuals with the original."""
    student = _outputs([[math.log(3), 0.0], [0.0, 0.0], [0.0, math.log(3)]])
    batch = _batch([0, 1, 1], partner=[1, 0, 0])
    batch.is_counterfactual = torch.tensor([False, True, True])
    first = math.log(2) + (math.log(2) - math.log(4 / 3))
    loss = Pair(PairOptions(form="published"), CONTEXT)
    assert loss(student, student, batch).tolist() == pytest.approx([first, first, math.log(4 / 3)])


def test_the_pair_losss_identity_is_what_it_was_before_it_had_two_forms() -> None:
    assert PairOptions().identity() == {"temperature": 1.0}
    assert PairOptions(temperature=2.0).identity() == {"temperature": 2.0}
    assert PairOptions(form="published").identity() == {"form": "published", "gap_weight": 1.0}


def test_lwd_in_float64_over_real_tokens_layers_and_width() -> None:
    options = LWDOptions(layers=[(1, 2), (2, 4)])
    case = loss_case(LWD(options, CONTEXT), options)
    loss = case.loss
    assert isinstance(loss, LWD)
    projections: Any = list(loss.projections)
    for row, example in enumerate(PAIRED):
        tokens = len(str(example.input).split())
        by_layer = []
        for (ours, theirs), projection in zip(loss.mapping, projections, strict=True):
            weight, bias = projection.weight.detach().double(), projection.bias.detach().double()
            squares = [
                ((weight @ case.student.hidden[ours][row, at].double() + bias)
                 - case.teacher.hidden[theirs][row, at].double()).square().mean()
                for at in range(tokens)
            ]  # fmt: skip
            by_layer.append(torch.stack(squares).mean())
        assert case.values()[row].item() == pytest.approx(torch.stack(by_layer).mean().item(), rel=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pool", ["none", "mean", "cls"])
def test_lwd_is_the_same_whichever_side_the_student_pads_on(pool: str, side: str) -> None:
    """The teacher pads on the right; a student that is the teacher, with projections that copy, has loss 0."""
    texts = [str(example.input) for example in PAIRED]
    teacher = TextClassifier(texts=texts, width=8, seed=3)
    student = TextClassifier(texts=texts, width=8, seed=3, padding=side)
    options = LWDOptions(pool=pool, layers=[(1, 1), (2, 2)])
    loss = LWD(options, CONTEXT)
    case = loss_case(loss, options, student=student, teacher=teacher)
    projections: Any = list(loss.projections)
    for projection in projections:
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    alike = pool != "cls" or side == "right"  # a student that pads on the left reads the last token, not the first
    assert (case.values().abs().max().item() < 1e-9) == alike


def test_uniform_layers_spread_the_teacher_over_the_student() -> None:
    def uniform(teacher: int, student: int) -> list[tuple[int, int]]:
        return LWDOptions().mapping(ModelShape(teacher, 4, 2), ModelShape(student, 4, 2))

    assert uniform(12, 6) == [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10), (6, 12)]
    assert uniform(3, 3) == [(1, 1), (2, 2), (3, 3)]
    assert [pair for pair in uniform(28, 24) if pair[0] in (6, 12, 18, 24)] == [(6, 7), (12, 14), (18, 21), (24, 28)]


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(CodrunError, match=r"\[7, 2\].*student has layers 0 to 2"):
        LWDOptions(layers=[(7, 2)]).needs(ModelShape(4, 8, 2), ModelShape(2, 8, 2))


@pytest.mark.parametrize(
    "options",
    [
        lambda: KDOptions(temperature=0.0),
        lambda: KDOptions(top_k=1),
        lambda: HardOptions(label_smoothing=1.0),
        lambda: LWDOptions(layers=[]),
        lambda: LWDOptions(layers=[(-1, 2)]),
        lambda: LWDOptions(pool="max"),
        lambda: PairOptions(form="published", temperature=2.0),
        lambda: PairOptions(gap_weight=2.0),
        lambda: PairOptions(form="published", gap_weight=-1.0),
        lambda: KDOptions.model_validate({"temprature": 2.0}),
    ],
)
def test_options_out_of_range_are_refused(options: object) -> None:
    with pytest.raises(ValidationError):
        options()  # type: ignore[operator]


def test_lwd_at_changed_positions_alone() -> None:
    ids = torch.tensor([[1, 7, 8, 2], [1, 7, 9, 2], [1, 7, 2, 0], [1, 5, 6, 2]])
    mask = ids > 0
    batch = Batch(
        ids=("x", "x~cf", "y~cf", "z"),
        labels=torch.tensor([1, 0, 0, 1]),
        partner=torch.tensor([1, 0, 0, -1]),
        is_counterfactual=torch.tensor([False, True, True, False]),
        inputs={"input_ids": ids},
    )
    wanted = [
        [False, False, True, False],  # what the counterfactual lacks
        [False, False, True, False],  # what it has instead
        [True, True, True, False],  # it lost a word and has nothing of its own: all real tokens
        [True, True, True, True],  # without a partner all count
    ]
    assert changed_tokens(batch, mask).tolist() == wanted
    with pytest.raises(CodrunError, match="`positions: all`"):
        changed_tokens(replace(batch, inputs={}), mask)
    assert "positions" not in LWDOptions().identity()
    assert LWDOptions(positions="changed").identity() != LWDOptions().identity()
    with pytest.raises(ValidationError, match="goes with `pool: none`"):
        LWDOptions(positions="changed", pool="mean")

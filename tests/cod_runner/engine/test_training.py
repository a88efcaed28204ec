"""The training loop against a straight re-implementation, and the promises of design.md, bit for bit."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cod_runner.api import (
    Batch,
    Binding,
    CodrunError,
    Encoded,
    Example,
    FinetuneSettings,
    Input,
    Needs,
    Outputs,
    TrainSettings,
)
from cod_runner.engine import teacher_signals as signals_module
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.finetune import GoldLabels, finetune_teacher
from cod_runner.engine.inference import predict
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.optimisation import rate_factor
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.training import TrainingResult, refuse_misaligned, train_student
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier

WORDS = [f"w{number}" for number in range(40)]
SOME = WORDS[:20]
EXAMPLES = [Example(f"{row}", " ".join(random.Random(row).choices(SOME, k=2 + row % 7)), row % 2) for row in range(14)]
STEADY = 1.0
"""An epsilon under which Adam's step grows with the gradient: scale shows, and gradients that are 0 but for rounding
(a key's bias has one) move nothing."""
FP32 = {"precision": "fp32", "batch_size": 4, "lr": 3e-3}


class Divergence(nn.Module):
    """KL(teacher || student)."""

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        ours, theirs = student.logits.log_softmax(-1), teacher.logits.log_softmax(-1)
        return (theirs.exp() * (theirs - ours)).sum(-1)


class Projected(nn.Module):
    """Mean squared error of one projected layer; draws numbers in bind and in forward."""

    aligned = True
    alignment_hint = "give it one vector per text"

    def __init__(self, learning_rate: float | None = None) -> None:
        super().__init__()
        self.learning_rate = learning_rate

    def bind(self, binding: Binding) -> None:
        self.map = nn.Linear(binding.student.width, binding.teacher.width)
        self.at = (binding.student.layers, binding.teacher.layers)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        assert student.mask is not None
        gap = self.map(student.hidden[self.at[0]]) - teacher.hidden[self.at[1]]
        gap = gap + 0.01 * torch.randn(())
        return (gap.square().mean(-1) * student.mask).sum(1) / student.mask.sum(1)


def term(name: str, loss: Any, weight: float) -> WeightedTerm:
    """A term with what the options of its loss would say of the layers it reads."""
    if isinstance(loss, Projected):
        return WeightedTerm(name, loss, weight, lambda theirs, ours: Needs((theirs.layers,), (ours.layers,)))
    if isinstance(loss, FitsFirst):
        return WeightedTerm(name, loss, weight, lambda theirs, ours: Needs(teacher=(2,), student=(1,)))
    return WeightedTerm(name, loss, weight)


def a_student(**options: Any) -> TextClassifier:
    return TextClassifier(texts=WORDS, **{"seed": 2, "width": 12, "dropout": 0.1, **options})


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> TeacherSignals:
    teacher = TextClassifier(texts=WORDS, width=20, layers=3, seed=1)
    store = SignalStore(tmp_path_factory.mktemp("signals"))
    store.add(teacher, [example.input for example in EXAMPLES], (1, 2, 3), device="cpu")
    return store.reader(teacher.fingerprint)


def train(
    signals: TeacherSignals | None,
    terms: Sequence[tuple[str, Any, float]] = (("hard", GoldLabels, 1.0), ("kd", Divergence, 5.0)),
    student: Any = None,
    examples: Sequence[Example] = EXAMPLES,
    seed: int = 0,
    more: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Any, TrainingResult]:
    student = student or a_student()
    torch.set_num_threads(1)
    made = [term(name, loss(), weight) for name, loss, weight in terms]
    chosen = TrainSettings(**{**FP32, "epochs": 3, **settings})
    return student, train_student(student, examples, made, signals, chosen, seed=seed, device="cpu", **(more or {}))


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_training_twice_gives_the_same_bits_whatever_the_global_generator_does(signals: TeacherSignals) -> None:
    first, once = train(signals)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    second, again = train(signals)
    assert same(first, second) and once == again
    assert torch.equal(torch.get_rng_state(), before)
    other, _ = train(signals, seed=1)
    assert not same(first, other)


def test_the_loop_is_what_a_straight_one_computes(signals: TeacherSignals) -> None:
    student, result = train(signals, weight_decay=0.05, clip=3.0, eps=STEADY, lr=0.1, student=a_student(dropout=0.0))
    plain = a_student(dropout=0.0)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.05, eps=STEADY, fused=False)
    batches = TrainingBatches(plain, EXAMPLES, 4, "cpu")
    order = [rows for number in (1, 2, 3) for rows in batches.of_pass(number, 0, "order")]
    norms: list[float] = []
    for step, rows in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1 - step / len(order))
        texts = [EXAMPLES[row].input for row in rows]
        logits = plain(plain.collate(plain.encode(texts))).logits
        theirs = signals.logits(texts)
        hard = functional.cross_entropy(logits, torch.tensor([EXAMPLES[row].label for row in rows]))
        kd = functional.kl_div(logits.log_softmax(-1), theirs.softmax(-1), reduction="batchmean")
        optimiser.zero_grad()
        (hard + 5 * kd).backward()
        norms.append(float(nn.utils.clip_grad_norm_(plain.parameters(), 3.0)))
        optimiser.step()
    assert min(norms) < 3.0 < max(norms)  # some steps are clipped and some are not
    assert result.steps == len(order) == 12
    assert result.losses == pytest.approx({"hard": hard.item(), "kd": kd.item()}, rel=1e-3)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(student.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_a_loss_of_weight_0_is_logged_and_changes_no_bit(signals: TeacherSignals) -> None:
    """Even one that draws numbers, has parameters of its own, and stands before a namesake that trains."""
    base = (("lwd", Projected, 2.0), ("hard", GoldLabels, 1.0))
    alone, plain = train(signals, base)
    beside, watched = train(signals, (("lwd", Projected, 0.0), ("kd", Divergence, 0.0), *base))
    assert same(alone, beside)
    assert {"lwd-unweighted", "kd-unweighted"} <= set(watched.losses)
    assert {name: watched.losses[name] for name in plain.losses} == plain.losses
    heavier, _ = train(signals, (("kd", Divergence, 1.0), *base))
    assert not same(alone, heavier)


def test_a_loss_trains_its_own_parameters_at_its_own_rate_and_the_student_keeps_none(
    signals: TeacherSignals, tmp_path: Path
) -> None:
    def moved(rate: float | None) -> tuple[float, TextClassifier]:
        loss = Projected(rate)
        student, result = train(signals, (("lwd", lambda: loss, 1.0), ("hard", GoldLabels, 1.0)), steps=5, epochs=None)
        fresh = Projected()
        train(signals, (("lwd", lambda: fresh, 1.0), ("hard", GoldLabels, 1.0)), steps=1, epochs=None, lr=1e-12)
        own = sum(each.numel() for each in loss.parameters())
        student_own = sum(each.numel() for each in student.parameters())
        assert own < result.trained_parameters <= student_own + own
        return float((loss.map.weight - fresh.map.weight).detach().abs().max()), student

    slow, student = moved(None)
    fast, _ = moved(0.1)
    assert 0 < slow < fast / 5
    student.save(tmp_path)
    a_student().load(tmp_path)  # strict: no weight more, none less


@pytest.mark.parametrize("optimiser", ["adamw", "adam"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_vocabulary_cut_is_exact(signals: TeacherSignals, optimiser: str, decay: float) -> None:
    settings: dict[str, Any] = {"optimiser": optimiser, "weight_decay": decay, "epochs": 6}
    cut, small = train(signals, compact_vocabulary=True, **settings)
    whole, large = train(signals, compact_vocabulary=False, **settings)
    assert same(cut, whole)
    touched = {word for example in EXAMPLES for word in str(example.input).split()}
    rows = 0 if (optimiser, decay) == ("adam", 0.1) else len(WORDS) - len(touched) + 1  # and the unknown word's
    assert large.trained_parameters - small.trained_parameters == rows * 12
    start = a_student().words.weight
    unseen = [row for word, row in cut.vocabulary.items() if word not in touched and row > 1]
    assert torch.equal(cut.words.weight[unseen], start[unseen]) == (decay == 0.0)
    assert cut.words.row_of is None


def test_the_cut_is_left_when_training_fails(signals: TeacherSignals) -> None:
    student = a_student()

    class Fails(GoldLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        train(signals, (("hard", Fails, 1.0),), student=student)
    assert len(student.words.weight) == len(WORDS) + 2 and student.words.row_of is None


def test_accumulated_batches_make_the_step_of_one_large_batch(signals: TeacherSignals) -> None:
    """14 examples as batches of 4, 4, 4 and 2: each example weighs the same."""
    fourteen: dict[str, Any] = {"examples": EXAMPLES, "schedule": "constant", "epochs": 1, "eps": STEADY, "lr": 0.1}
    small, halves = train(signals, student=a_student(dropout=0.0), batch_size=4, accumulation=4, **fourteen)
    large, one = train(signals, student=a_student(dropout=0.0), batch_size=14, **fourteen)
    assert halves.steps == one.steps == 1
    assert halves.losses == pytest.approx(one.losses, rel=1e-4)
    for name, value in large.state_dict().items():
        torch.testing.assert_close(small.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert train(signals, batch_size=4, accumulation=3, epochs=5)[1].steps == 10  # groups of 3 and 1 a pass


def test_steps_and_epochs_count_optimiser_steps(signals: TeacherSignals) -> None:
    seen: list[int] = []
    done: list[tuple[int, int]] = []
    more = {"on_step": lambda step, losses: seen.append(step), "progress": lambda *at: done.append(at)}
    _, result = train(signals, steps=47, epochs=None, more=more)
    assert result.steps == 47 and seen == list(range(1, 48)) and done[-1] == (47, 47) and len(done) == 47
    assert [step for step, _ in result.curve] == seen

    class One(GoldLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            return 1.0 + 0.0 * super().forward(student, teacher, batch)

    _, watched = train(signals, (("one", One, 1.0),), steps=47, epochs=None, accumulation=2)
    assert [losses for _, losses in watched.curve] == [{"one": 1.0}] * 47
    assert train(signals, epochs=5)[1].steps == 20


def test_schedules() -> None:
    def rates(**settings: Any) -> list[float]:
        return [rate_factor(TrainSettings(epochs=1, **settings), step, 10) for step in range(10)]

    assert rates() == pytest.approx([1 - step / 10 for step in range(10)])
    assert rates(schedule="constant", warmup=0.2) == pytest.approx([0.5] + [1.0] * 9)
    assert rates(warmup=0.5) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, 0.4, 0.2])
    cosine = rates(schedule="cosine")
    assert cosine[0] == 1.0 and cosine[5] == pytest.approx(0.5) and 0 < cosine[9] < 0.05


@pytest.mark.parametrize("bad_step", [3, 25])
def test_a_term_that_is_no_number_stops_the_cell_and_is_named(signals: TeacherSignals, bad_step: int) -> None:
    class Breaks(Divergence):
        calls = 0

        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            self.calls += 1
            value = super().forward(student, teacher, batch)
            return value / 0 if self.calls == bad_step else value

    with pytest.raises(CodrunError, match=rf"`kd` became (inf|nan) in step {bad_step}; try .*train\.lr"):
        train(signals, (("hard", GoldLabels, 1.0), ("kd", Breaks, 1.0)), steps=30, epochs=None)


def test_weights_broken_by_the_last_step_are_found(signals: TeacherSignals) -> None:
    class BreaksBackward(GoldLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            zero = student.logits.sum(-1) * 0
            return super().forward(student, teacher, batch) + zero.abs().sqrt()  # 0, with a gradient of 0 x infinity

    with pytest.raises(CodrunError, match="weights became infinite or NaN after step 1"):
        train(signals, (("hard", BreaksBackward, 1.0),), steps=1, epochs=None)


def test_a_loss_that_compares_positions_meets_one_tokenisation_or_is_refused(signals: TeacherSignals) -> None:
    other = TextClassifier(texts=["zebra", *WORDS], width=12)
    with pytest.raises(CodrunError, match=r"`lwd` compares positions.*example 0 .*; give it one vector per text$"):
        train(signals, (("lwd", Projected, 1.0),), student=other)
    with pytest.raises(CodrunError, match="compares positions"):
        refuse_misaligned("lwd", Projected(), a_student(), other, EXAMPLES)

    class Plain(GoldLabels):
        aligned = True

    with pytest.raises(CodrunError, match="take a teacher and a student with one tokenizer, or omit this loss"):
        refuse_misaligned("mine", Plain(), a_student(), other, EXAMPLES)
    refuse_misaligned("lwd", Projected(), a_student(), a_student(padding="left"), EXAMPLES)
    refuse_misaligned("kd", Divergence(), a_student(), other, EXAMPLES)


def test_teacher_states_stand_where_a_student_that_pads_on_the_left_has_its_tokens(signals: TeacherSignals) -> None:
    class Compares(Projected):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            assert student.mask is not None and teacher.mask is not None
            assert torch.equal(student.mask, teacher.mask) and not student.mask[:, 0].all()
            for row, name in enumerate(batch.ids):
                (stored,) = signals.rows([EXAMPLES[int(name)].input], (3,))
                assert torch.equal(teacher.hidden[3][row][teacher.mask[row]], stored.hidden[3])
            return super().forward(student, teacher, batch)

    train(signals, (("lwd", Compares, 1.0),), student=a_student(padding="left"), epochs=1, batch_size=8)


def test_the_signals_of_a_row_are_looked_up_once(signals: TeacherSignals, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every step of every pass, and for what a loss reads in bind."""
    looked_up: list[Input] = []
    key_of = signals_module.input_key

    def watched(value: Input) -> bytes:
        looked_up.append(value)
        return key_of(value)

    monkeypatch.setattr(signals_module, "input_key", watched)
    train(signals, (("fits", FitsFirst, 1.0), ("kd", Divergence, 1.0)), epochs=4)
    assert looked_up == [example.input for example in EXAMPLES]


def test_training_without_a_teacher_says_so_to_a_loss_that_wants_one() -> None:
    train(None, (("hard", GoldLabels, 1.0),), epochs=1)
    with pytest.raises(CodrunError, match="no teacher"):
        train(None, epochs=1)


@pytest.mark.parametrize("compact", [True, False])
def test_the_best_pass_is_kept_exactly_and_looking_changes_nothing(signals: TeacherSignals, compact: bool) -> None:
    settings: dict[str, Any] = {"schedule": "constant", "weight_decay": 0.1, "compact_vocabulary": compact}
    student = a_student()
    scores, vocabularies = iter([0.2, 0.9, 0.9, 0.1]), []

    def evaluate() -> float:
        predict(student, [example.input for example in EXAMPLES], device="cpu")
        vocabularies.append(len(student.words.weight))
        torch.rand(7)
        return next(scores)

    _, result = train(signals, student=student, epochs=4, more={"evaluate_epoch": evaluate}, **settings)
    after_two, _ = train(signals, epochs=2, **settings)
    assert result.best_epoch == 2 and vocabularies == [len(WORDS) + 2] * 4
    assert same(student, after_two)
    rising = iter([0.1, 0.2, 0.3, 0.4])
    looked, _ = train(signals, epochs=4, more={"evaluate_epoch": lambda: next(rising)}, **settings)
    unlooked, last = train(signals, epochs=4, **settings)
    assert same(looked, unlooked) and last.best_epoch is None


def test_gradient_checkpointing_changes_no_weight_and_is_refused_where_there_is_none(signals: TeacherSignals) -> None:
    checkpointed, _ = train(signals, gradient_checkpointing=True)
    plain, _ = train(signals)
    assert checkpointed.checkpointing
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(checkpointed.state_dict()[name], value)

    class Without(TextClassifier):
        gradient_checkpointing_enable = None  # type: ignore[assignment]

        def __getattribute__(self, name: str) -> Any:
            if name == "gradient_checkpointing_enable":
                raise AttributeError(name)
            return super().__getattribute__(name)

    with pytest.raises(CodrunError, match="gradient_checkpointing"):
        train(signals, student=Without(texts=WORDS), gradient_checkpointing=True)


def test_losses_compute_in_float32_under_autocast_and_weights_stay_float32(signals: TeacherSignals) -> None:
    kinds: set[tuple[torch.dtype, bool]] = set()

    class Spies(Projected):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            for given in (student, teacher):
                for value in (given.logits, *given.hidden.values()):
                    kinds.add((value.dtype, torch.is_autocast_enabled("cpu")))
            return super().forward(student, teacher, batch)

    low, result = train(signals, (("lwd", Spies, 1.0), ("hard", GoldLabels, 1.0)), precision="bf16")
    assert kinds == {(torch.float32, False)} and result.precision == "bf16"
    assert {each.dtype for each in low.parameters()} == {torch.float32}
    full, _ = train(signals, (("lwd", Projected, 1.0), ("hard", GoldLabels, 1.0)))
    assert not same(low, full)


def test_what_cannot_be_trained_is_refused(signals: TeacherSignals) -> None:
    with pytest.raises(CodrunError, match="weight 0"):
        train(signals, (("hard", GoldLabels, 0.0),))
    with pytest.raises(CodrunError, match=r"float32.*float16"):
        train(signals, student=a_student().half())
    with pytest.raises(CodrunError, match="frozen"):
        train(signals, student=a_student().requires_grad_(False))

    class Averages(GoldLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            return super().forward(student, teacher, batch).mean()

    with pytest.raises(CodrunError, match="one value per example"):
        train(signals, (("mine", Averages, 1.0),))


class FitsFirst(nn.Module):
    """Fits a matrix in bind, as TED does: least squares from the initial student's state to the teacher's."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.history: list[float] = []

    def bind(self, binding: Binding) -> None:
        self.map = nn.Linear(binding.student.width, binding.teacher.width)

        def gap(batch: Batch) -> Tensor:
            ours, theirs = binding.data.student_outputs(batch), binding.data.signals(batch)
            assert not ours.logits.requires_grad
            value = (self.map(ours.hidden[1][:, 0]) - theirs.hidden[2][:, 0]).square().mean()
            self.history.append(value.item())
            return value

        def make() -> dict[str, Tensor]:
            type(self).made += 1
            binding.fit(self.map.parameters(), gap, epochs=20, lr=0.05)
            return self.map.state_dict()

        self.map.load_state_dict(binding.cache("map", make))
        self.order = [batch.ids for batch in binding.data.batches()]

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return (self.map(student.hidden[1][:, 0]) - teacher.hidden[2][:, 0]).square().mean(-1)


def test_what_a_loss_fits_is_fitted_once_for_a_cell_and_gives_the_same_student(
    signals: TeacherSignals, tmp_path: Path
) -> None:
    FitsFirst.made = 0
    loss = FitsFirst()
    terms = (("fits", lambda: loss, 1.0), ("hard", GoldLabels, 1.0))
    first, _ = train(signals, terms, more={"cache_folder": tmp_path / "cell"})
    assert sum(loss.history[-4:]) < 0.8 * sum(loss.history[:4])
    again, _ = train(signals, (("fits", FitsFirst, 1.0), terms[1]), more={"cache_folder": tmp_path / "cell"})
    assert FitsFirst.made == 1 and same(first, again)
    (kept,) = tmp_path.rglob("*.safetensors")
    written = kept.read_bytes()
    for damaged in (written[:-1] + bytes([written[-1] ^ 1]), written[:40], b""):
        kept.write_bytes(damaged)
        mended, _ = train(signals, (("fits", FitsFirst, 1.0), terms[1]), more={"cache_folder": tmp_path / "cell"})
        assert same(first, mended) and kept.read_bytes() == written
    FitsFirst.made = 1
    uncached, _ = train(signals, (("fits", FitsFirst, 1.0), terms[1]))
    assert FitsFirst.made == 2 and same(first, uncached)
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_loss_fits_keeps_no_gradient_for_the_first_step_with_the_student(signals: TeacherSignals) -> None:
    class Looks(FitsFirst):
        left: ClassVar[list[Tensor | None]] = []

        def bind(self, binding: Binding) -> None:
            super().bind(binding)
            type(self).left = [each.grad for each in self.map.parameters()]

    train(signals, (("fits", Looks, 1.0),))
    assert Looks.left == [None, None]


def test_a_fit_that_diverges_is_named(signals: TeacherSignals) -> None:
    class Diverges(FitsFirst):
        def bind(self, binding: Binding) -> None:
            weight = nn.Parameter(torch.ones(()))
            binding.fit([weight], lambda batch: weight * float("inf"), epochs=3, lr=0.1)

    with pytest.raises(CodrunError, match="infinite or NaN in pass 1"):
        train(signals, (("fits", Diverges, 1.0),))


def test_a_vector_student_learns_its_points() -> None:
    draw = random.Random(0)
    points = [(draw.uniform(-1, 1), draw.uniform(-1, 1)) for _ in range(40)]
    examples = [Example(str(row), point, int(point[0] > point[1])) for row, point in enumerate(points)]
    student, _ = train(None, (("hard", GoldLabels, 1.0),), student=VectorClassifier(), examples=examples, epochs=60)
    chosen = predict(student, points, device="cpu").argmax(-1).tolist()
    assert sum(a == b.label for a, b in zip(chosen, examples, strict=True)) >= 38


def test_predictions_come_in_the_order_of_their_inputs() -> None:
    student = a_student(padding="left")
    inputs = [str(example.input) for example in EXAMPLES]
    seen: list[tuple[int, int]] = []
    together = predict(student, inputs, device="cpu", batch_size=3, progress=lambda *at: seen.append(at))
    alone = torch.cat([predict(student, [each], device="cpu") for each in inputs])
    torch.testing.assert_close(together, alone)
    assert together.dtype == torch.float32 and not together.requires_grad and seen[-1] == (14, 14)
    assert predict(student, [], device="cpu").shape == (0, 2)


def test_evaluation_pads_little() -> None:
    class Counts(TextClassifier):
        cells = 0

        def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
            batch = super().collate(encoded, multiple_of)
            self.cells += batch["ids"].numel()
            return batch

    student = Counts(texts=WORDS)
    inputs = [" ".join(["w1"] * (1 + row * 13 % 32)) for row in range(64)]
    predict(student, inputs, device="cpu", batch_size=8)
    assert student.cells <= 1.15 * sum(len(text.split()) for text in inputs)


def test_finetuning_a_teacher_learns_and_leaves_a_record() -> None:
    examples = [
        Example(str(row), f"{'good' if row % 2 else 'bad'} {random.Random(row).choice(SOME)}", row % 2)
        for row in range(40)
    ]
    teacher = TextClassifier(texts=["good bad", *WORDS], seed=5)
    progress: list[tuple[int, int]] = []
    settings = FinetuneSettings(epochs=8, batch_size=8, lr=5e-3, accumulation=2, precision="fp32")
    record = finetune_teacher(teacher, examples, settings, device="cpu", progress=lambda *at: progress.append(at))
    chosen = predict(teacher, [example.input for example in examples], device="cpu").argmax(-1).tolist()
    assert chosen == [example.label for example in examples]
    assert record["rows"] == 40 and record["steps"] == 24 == progress[-1][1] and record["precision"] == "fp32"
    assert record["loss"] < record["mean_loss"] and json.loads(json.dumps(record)) == record
    assert not teacher.training


def test_fp16_scales_its_gradients_and_a_skipped_step_decays_nothing(signals: TeacherSignals) -> None:
    """The first steps overflow at the scaler's initial scale; the cut must not decay rows that AdamW left alone."""

    class Large(GoldLabels):
        def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
            return 1e3 * super().forward(student, teacher, batch)

    settings: dict[str, Any] = {"precision": "fp16", "weight_decay": 0.1, "lr": 1e-3, "epochs": 4, "clip": 1.0}
    cut, small = train(signals, (("hard", Large, 1.0),), compact_vocabulary=True, **settings)
    whole, large = train(signals, (("hard", Large, 1.0),), compact_vocabulary=False, **settings)
    assert small.precision == "fp16" and small.trained_parameters < large.trained_parameters
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(cut.state_dict()[name], value)
    unseen, start = cut.vocabulary["w39"], a_student().words.weight
    every_step = start[unseen].clone()
    for step in range(small.steps):
        every_step *= 1 - 1e-3 * (1 - step / small.steps) * 0.1
    assert not torch.equal(cut.words.weight[unseen], start[unseen])
    assert not torch.allclose(cut.words.weight[unseen], every_step, rtol=1e-5)  # so some steps were skipped

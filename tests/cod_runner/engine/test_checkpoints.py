"""A fine-tuning that is interrupted and continued ends with the bits of one that is not; no other state is loaded."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cod_runner.api import BuildContext, Example, FinetuneSettings
from cod_runner.checked_tensors import save_checked
from cod_runner.engine import checkpoints
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.interruption import interruption_held
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier
from cod_runner.testing.tiny_models import tiny_bert
from codrun_transformers.build import build_teacher
from codrun_transformers.options import TeacherOptions

WORDS = [f"w{number}" for number in range(40)]
EXAMPLES = [
    Example(f"{row}", " ".join(random.Random(row).choices(WORDS[:20], k=2 + row % 7)), row % 2) for row in range(14)
]
PLAIN = {"rows": 14, "epochs": 6, "batch_size": 4, "lr": 1e-2, "precision": "fp32"}


@dataclass
class Trained:
    """Fine-tunings that share one checkpoint."""

    file: Path
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def __call__(
        self,
        make: Callable[[], Any],
        settings: dict[str, Any],
        stop_after: int | None = None,
        identity: str = "this one",
        examples: list[Example] = EXAMPLES,
    ) -> tuple[Any, dict[str, Any]]:
        """(the classifier, its record); interrupted after the step ``stop_after``."""

        def progress(done: int, total: int) -> None:
            if done == stop_after:
                signal.raise_signal(signal.SIGINT)

        classifier = make()
        resuming = Resumption(self.file, identity, say=self.said.append, warn=self.warned.append)
        chosen = FinetuneSettings(**{**PLAIN, **settings})
        return classifier, finetune_teacher(
            classifier, examples, chosen, device="cpu", progress=progress, resuming=resuming
        )

    def stopped(self, make: Callable[[], Any], settings: dict[str, Any], after: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            self(make, settings, after)
        assert [path.name for path in self.file.parent.iterdir()] == [self.file.name]


@pytest.fixture(autouse=True)
def control_c_does_afterwards_what_it_did() -> Iterator[None]:
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    (tmp_path / "kept").mkdir()
    return Trained(tmp_path / "kept" / "key.checkpoint.safetensors")


def a_teacher() -> TextClassifier:
    return TextClassifier(texts=WORDS, seed=2, width=12, dropout=0.1)


def undisturbed(
    make: Callable[[], Any], settings: dict[str, Any], examples: list[Example] = EXAMPLES
) -> tuple[Any, dict[str, Any]]:
    classifier = make()
    return classifier, finetune_teacher(classifier, examples, FinetuneSettings(**{**PLAIN, **settings}), device="cpu")


def same(first: Any, second: Any) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "adam"},
        {"weight_decay": 0.1, "clip": 1.0, "accumulation": 2, "schedule": "cosine", "warmup": 0.2},
        {"optimiser": "adam", "weight_decay": 0.1, "schedule": "linear"},
        {"weight_decay": 0.1, "compact_vocabulary": False},
        {"precision": "bf16", "epochs": None, "steps": 23},
    ],
)
def test_one_that_is_interrupted_twice_ends_with_the_bits_of_one_that_is_not(
    settings: dict[str, Any], trained: Trained
) -> None:
    whole, record = undisturbed(a_teacher, settings)
    first, second = 1, record["steps"] - 2
    trained.stopped(a_teacher, settings, first)
    trained.stopped(a_teacher, settings, second)
    continued, again = trained(a_teacher, settings)
    assert same(continued, whole) and again == record
    total = record["steps"]
    assert trained.said == [
        f"fine-tuning stops after step {first} of {total}, and the next run continues there",
        f"continues fine-tuning after step {first} of {total}",
        f"fine-tuning stops after step {second} of {total}, and the next run continues there",
        f"continues fine-tuning after step {second} of {total}",
    ]
    assert not trained.warned


def test_the_losses_of_every_step_are_in_the_record_also_those_that_a_checkpoint_had_not_looked_at(
    trained: Trained,
) -> None:
    settings = {"epochs": None, "steps": 50}
    _, record = undisturbed(a_teacher, settings)
    for after in (20, 39):  # a look is taken every 20 steps
        trained.stopped(a_teacher, settings, after)
    assert trained(a_teacher, settings)[1] == record


def test_one_that_is_interrupted_in_its_last_step_has_only_to_be_kept(trained: Trained) -> None:
    whole, record = undisturbed(a_teacher, {})
    trained.stopped(a_teacher, {}, record["steps"])
    continued, again = trained(a_teacher, {})
    assert same(continued, whole) and again == record
    assert trained.said[-1] == "continues fine-tuning after step 24 of 24"


def test_a_real_architecture_with_its_own_vocabulary_cut(trained: Trained, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "tiny", [*WORDS, " ".join(WORDS)], ["a", "b"], hidden_dropout_prob=0.1)
    options = TeacherOptions(model=str(tmp_path / "tiny"))

    def make() -> Any:
        return build_teacher(options, BuildContext(labels=("a", "b")))

    settings = {"weight_decay": 0.1, "schedule": "linear"}
    whole, record = undisturbed(make, settings)
    table = whole.model.get_input_embeddings().weight
    trained.stopped(make, settings, 5)
    small = load_file(trained.file)["weight.0"]
    assert 0 < len(small) < len(table)  # the checkpoint has the rows in use alone
    trained.stopped(make, settings, 6)
    continued, again = trained(make, settings)
    assert same(continued, whole) and again == record
    assert continued.eval().fingerprint == whole.eval().fingerprint


def test_buffers_continue_too(trained: Trained) -> None:
    class Counting(VectorClassifier):
        """Its answers depend on how many batches it has read, as those of a batch norm do on what it has read."""

        def __init__(self) -> None:
            super().__init__(dropout=0.1)
            self.register_buffer("read", torch.zeros(()))

        def forward(self, batch: Any, hidden: Any = ()) -> Any:
            if self.training:
                self.read += 1
            outputs = super().forward(batch, hidden)
            outputs.logits = outputs.logits * (1 + self.read / 100)
            return outputs

    points = [Example(f"{row}", (row / 14, -row / 7), row % 2) for row in range(14)]
    whole, record = undisturbed(Counting, {}, points)
    with pytest.raises(KeyboardInterrupt):
        trained(Counting, {}, 10, examples=points)
    continued, again = trained(Counting, {}, examples=points)
    assert same(continued, whole) and again == record and float(whole.read) == 24


# --- when one is written --------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds on a clock that only the test moves."""
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    return now


def test_checkpoints_are_written_now_and_then_and_less_often_where_writing_is_slow(
    trained: Trained, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []

    def slow(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_checked(tensors, path)
        written.append(clock[0])
        clock[0] += 3.0 if len(written) == 2 else 0.5

    monkeypatch.setattr(checkpoints, "save_checked", slow)
    resuming = Resumption(trained.file, "this one")
    finetune_teacher(
        a_teacher(),
        EXAMPLES,
        FinetuneSettings(**PLAIN),
        device="cpu",
        progress=lambda done, total: clock.__setitem__(0, clock[0] + 10),
        resuming=resuming,
    )
    # Ten seconds a step. Thirty after the last one, and sixty where writing took three, the twentieth part.
    assert written == [30.0, 60.5, 123.5, 154.0, 184.5, 215.0]


def test_after_a_kill_it_continues_at_the_last_one_that_is_whole(trained: Trained, monkeypatch: Any) -> None:
    whole, record = undisturbed(a_teacher, {})
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE_OF_WRITING", 1e9)

    def killed_in_the_ninth(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if json.loads(bytes(tensors["numbers"].tolist()))["step"] == 9:
            path.write_bytes(b"half")
            raise SystemExit
        save_checked(tensors, path)

    monkeypatch.setattr(checkpoints, "save_checked", killed_in_the_ninth)
    with pytest.raises(SystemExit):
        trained(a_teacher, {})
    monkeypatch.setattr(checkpoints, "save_checked", save_checked)
    continued, again = trained(a_teacher, {})
    assert trained.said == ["continues fine-tuning after step 8 of 24"]
    assert same(continued, whole) and again == record


CURE = "free its disk or mend its permissions and repeat the command: nothing that is finished is lost"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), f"{{file}} cannot be written (No space left on device); {CURE}"),
        (RuntimeError("Some tensors share memory\n..."), "Some tensors share memory"),
    ],
)
def test_a_full_disk_is_said_and_the_fine_tuning_goes_on(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    whole, record = undisturbed(a_teacher, {})
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoints, "save_checked", full)
    continued, again = trained(a_teacher, {})
    assert same(continued, whole) and again == record
    assert set(trained.warned) == {f"no checkpoint, and fine-tuning goes on: {said.format(file=trained.file)}"}
    assert not list(trained.file.parent.iterdir())


# --- what is never loaded -------------------------------------------------------------------------------------


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def another_thing(file: Path) -> None:
    file.write_bytes(b"\x80\x04\x95pickled")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def without_numbers(file: Path) -> None:
    tensors = load_file(file)
    del tensors["numbers"]
    save_checked(tensors, file)


def torn_numbers(file: Path) -> None:
    save_checked({**load_file(file), "numbers": torch.tensor(list(b'{"identity": 3}'), dtype=torch.uint8)}, file)


def other_weights(file: Path) -> None:
    save_checked({**load_file(file), "weight.0": torch.zeros(3, 3)}, file)


def other_moments(file: Path) -> None:
    save_checked({**load_file(file), "optimiser.0.exp_avg": torch.zeros(3, 3)}, file)


def moments_of_nothing(file: Path) -> None:
    save_checked({**load_file(file), "optimiser.999.exp_avg": torch.zeros(3, 3)}, file)


def fewer_losses(file: Path) -> None:
    save_checked({**load_file(file), "log": torch.zeros(2, 1)}, file)


def another_generator(file: Path) -> None:
    save_checked({**load_file(file), "random.cpu": torch.zeros(7, dtype=torch.uint8)}, file)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip_a_bit, "its content was changed"),
        (cut_off, "Error while deserializing header"),
        (another_thing, "Error while deserializing header"),
        (a_folder, "Is a directory|No such device"),
        (without_numbers, "it is damaged"),
        (torn_numbers, "validation errors"),
        (other_weights, "it is that of another model"),
        (other_moments, "it is that of another optimiser"),
        (moments_of_nothing, "it is damaged"),
        (fewer_losses, "its losses are not those of its steps"),
        (another_generator, "it is that of another model"),
    ],
)
def test_a_damaged_checkpoint_is_not_used_and_this_is_said(
    trained: Trained, damage: Callable[[Path], None], why: str
) -> None:
    whole, _ = undisturbed(a_teacher, {})
    trained.stopped(a_teacher, {}, 7)
    damage(trained.file)
    anew, _ = trained(a_teacher, {})
    (warned,) = trained.warned
    assert warned.startswith(f"the checkpoint {trained.file.name} cannot be used (")
    assert warned.endswith("): fine-tuning starts anew")
    assert any(each in warned for each in why.split("|")), warned
    assert same(anew, whole)


@pytest.mark.parametrize("changed", [{"identity": "another"}, {"settings": {"epochs": 7}}])
def test_the_checkpoint_of_another_training_is_not_used(trained: Trained, changed: dict[str, Any]) -> None:
    trained.stopped(a_teacher, {}, 7)
    call = {"settings": {}, **changed}
    anew, _ = trained(a_teacher, **call)
    assert same(anew, undisturbed(a_teacher, call["settings"])[0])
    assert trained.warned == [
        f"the checkpoint {trained.file.name} cannot be used (it is that of another training): fine-tuning starts anew"
    ]


def test_an_old_one_without_a_checksum_is_believed_no_more_than_its_shapes(trained: Trained) -> None:
    trained.stopped(a_teacher, {}, 7)
    save_file({**load_file(trained.file), "weight.1": torch.zeros(2, 2)}, trained.file)
    trained(a_teacher, {})
    assert "it is that of another model" in trained.warned[0]


# --- the wait of Ctrl-C ---------------------------------------------------------------------------------------


def test_a_second_control_c_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), interruption_held() as held:
        assert not held
        signal.raise_signal(signal.SIGINT)
        assert held
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one was held too")


def test_what_is_ignored_stays_ignored_and_what_was_there_comes_back() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruption_held() as held:
        signal.raise_signal(signal.SIGINT)
        assert not held
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_word_to_end_does_what_it_did_before(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with interruption_held() as held:
            signal.raise_signal(signal.SIGTERM)
            assert held and not came
            held.let_through()
            assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_nothing_is_held() -> None:
    found: list[bool] = []

    def elsewhere() -> None:
        with interruption_held() as held:
            found.append(bool(held))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]

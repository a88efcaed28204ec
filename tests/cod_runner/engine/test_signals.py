"""The teacher speaks once, and what it says of an input depends on that input alone."""

from __future__ import annotations

import json
import multiprocessing
import random
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cod_runner import fixed_batches
from cod_runner.api import CodrunError, Input, Outputs
from cod_runner.checked_tensors import load_checked
from cod_runner.engine import hidden_files
from cod_runner.engine.outputs import laid_out_as, padded, unpadded
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.fixed_batches import ROWS
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier

WORDS = [f"w{number}" for number in range(60)]
TEXTS = [" ".join(random.Random(row).choices(WORDS, k=1 + row * 7 % 40)) for row in range(50)]


class CountingTeacher(TextClassifier):
    """Counts the rows it is given, and can break off."""

    rows = 0
    breaks_after: int | None = None

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        self.rows += len(batch["ids"])
        if self.breaks_after is not None and self.rows > self.breaks_after:
            raise KeyboardInterrupt
        return super().forward(batch, hidden)


def a_teacher(padding: str = "right") -> CountingTeacher:
    return CountingTeacher(texts=WORDS, width=32, layers=3, padding=padding, dropout=0.5, seed=4)


def batch_of(signals: TeacherSignals, inputs: Sequence[Input], layers: Sequence[int]) -> Outputs:
    """The signals of these inputs as the training loop puts them together."""
    return padded(signals.rows(inputs, layers), layers)


@pytest.mark.parametrize("padding", ["right", "left"])
def test_signals_are_equal_bit_for_bit_in_any_company_and_order(tmp_path: Path, padding: str) -> None:
    teacher = a_teacher(padding)
    together = SignalStore(tmp_path / "together")
    together.add(teacher, TEXTS, (0, 2, 3), device="cpu")
    apart = SignalStore(tmp_path / "apart")
    shuffled = random.Random(1).sample(TEXTS, len(TEXTS))
    for some in (shuffled[:1], shuffled[1:8], shuffled[8:]):
        apart.add(teacher, some, (0, 2, 3), device="cpu")
    first, second = together.reader(teacher.fingerprint), apart.reader(teacher.fingerprint)
    for text in TEXTS:
        ours, theirs = (batch_of(signals, [text], (0, 2, 3)) for signals in (first, second))
        assert torch.equal(ours.logits, theirs.logits)
        assert all(torch.equal(ours.hidden[layer], theirs.hidden[layer]) for layer in (0, 2, 3))


@pytest.mark.parametrize("cores", [1, 3])
def test_logits_come_in_order_and_equal_bits_however_many_threads_compute_them(
    tmp_path: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_batches, "cores", lambda: cores)
    teacher = a_teacher()
    alone, together = SignalStore(tmp_path / "alone"), SignalStore(tmp_path / "together")
    alone.add(teacher, TEXTS, (1,), device="cpu")  # hidden states are computed one batch after the other
    done: list[tuple[int, int]] = []
    together.add(teacher, TEXTS, (), device="cpu", progress=lambda *at: done.append(at))
    assert done == sorted(done) and done[-1] == (len(set(TEXTS)), len(set(TEXTS)))
    first, second = (store.reader(teacher.fingerprint).logits(TEXTS) for store in (alone, together))
    assert torch.equal(first, second)
    assert not teacher.training and torch.is_grad_enabled()


@pytest.mark.parametrize("padding", ["right", "left"])
def test_signals_are_what_the_teacher_says(tmp_path: Path, padding: str) -> None:
    teacher = a_teacher(padding)
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS, (1, 3), device="cpu")
    said = batch_of(store.reader(teacher.fingerprint), TEXTS[:9], (1, 3))
    teacher.eval()
    for row, text in enumerate(TEXTS[:9]):
        with torch.no_grad():
            alone = teacher(teacher.collate(teacher.encode([text])), hidden=(1, 3))
        tokens = alone.hidden[3].shape[1]
        torch.testing.assert_close(said.logits[row], alone.logits[0])
        torch.testing.assert_close(said.hidden[3][row, :tokens], alone.hidden[3][0])
        torch.testing.assert_close(said.hidden[1][row, :tokens], alone.hidden[1][0])
        assert said.mask is not None and said.mask[row].sum() == tokens
        assert said.pooled_at is not None and said.pooled_at[row] == (tokens - 1 if padding == "left" else 0)
        assert not said.hidden[3][row, tokens:].any()


def test_nothing_is_asked_twice_and_a_new_layer_leaves_the_old_ones_alone(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    assert store.add(teacher, [*TEXTS, *TEXTS], (2,), device="cpu") == len(set(TEXTS))
    asked = teacher.rows
    before = batch_of(store.reader(teacher.fingerprint), TEXTS, (2,)).hidden[2]
    assert SignalStore(tmp_path).add(teacher, TEXTS, (2,), device="cpu") == 0
    assert teacher.rows == asked
    assert store.add(teacher, TEXTS[:5], (1,), device="cpu") == 5
    assert torch.equal(batch_of(store.reader(teacher.fingerprint), TEXTS, (2,)).hidden[2], before)
    assert batch_of(store.reader(teacher.fingerprint), TEXTS[:5], (1,)).hidden[1].abs().sum() > 0


def test_hidden_states_are_kept_unpadded_and_only_where_they_are_wanted(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS[10:], (), device="cpu")
    assert not list(tmp_path.rglob("*.safetensors"))
    store.add(teacher, ["w1 w2 w3"], (2,), device="cpu")
    (kept,) = tmp_path.rglob("*.safetensors")
    assert load_file(kept)["2"].shape == (3, 32)


def test_a_break_loses_one_batch_and_the_next_call_goes_on(tmp_path: Path) -> None:
    teacher = a_teacher()
    teacher.breaks_after = 32
    with pytest.raises(KeyboardInterrupt):
        SignalStore(tmp_path).add(teacher, TEXTS, (3,), device="cpu")
    assert not list(tmp_path.rglob("*.tmp"))
    teacher.breaks_after = None
    left = SignalStore(tmp_path).add(teacher, TEXTS, (3,), device="cpu")
    assert 0 < left < len(set(TEXTS))
    whole = SignalStore(tmp_path / "whole")
    whole.add(teacher, TEXTS, (3,), device="cpu")
    resumed = batch_of(SignalStore(tmp_path).reader(teacher.fingerprint), TEXTS, (3,))
    assert torch.equal(resumed.hidden[3], batch_of(whole.reader(teacher.fingerprint), TEXTS, (3,)).hidden[3])


def _adds_at_the_same_moment(folder: Path, barrier: threading.Barrier, found: Path) -> None:
    teacher = a_teacher()
    barrier.wait(300)  # seconds: one that failed before would leave the others here
    store = SignalStore(folder)
    store.add(teacher, TEXTS, (3,), device="cpu")
    hidden = batch_of(store.reader(teacher.fingerprint), TEXTS, (3,)).hidden[3]
    found.write_text(json.dumps(hidden.flatten().tolist()))


def test_processes_may_open_and_fill_one_new_store_at_the_same_moment(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, found = spawn.Barrier(3), [tmp_path / f"{number}.json" for number in range(3)]
    processes = [
        spawn.Process(target=_adds_at_the_same_moment, args=(tmp_path / "store", barrier, each)) for each in found
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    first, *others = (json.loads(each.read_text()) for each in found)
    assert len(first) > 0 and all(other == first for other in others)


def test_what_a_gpu_said_is_not_taken_for_what_a_cpu_says(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS, (), device="cpu")
    with sqlite3.connect(tmp_path / "signals.sqlite") as connection:
        connection.execute("update teacher set device = 'cuda'")
        connection.execute("update answer set logits = ?", (torch.full((2,), 7.0).numpy().tobytes(),))
        connection.execute("delete from checked")
    assert store.add(teacher, TEXTS, (), device="cpu") == len(set(TEXTS))
    assert (store.reader(teacher.fingerprint).logits(TEXTS) != 7.0).all()
    assert (store.reader(teacher.fingerprint, "cuda:0").logits(TEXTS) == 7.0).all()


def test_each_device_reads_what_it_computed_itself(tmp_path: Path) -> None:
    """A GPU's run must not look for its texts among the fewer ones of an earlier run on the CPU."""
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS[:4], (), device="cpu")
    with sqlite3.connect(tmp_path / "signals.sqlite") as connection:
        connection.execute("update teacher set device = 'cuda'")
    store.add(teacher, TEXTS[4:], (), device="cpu")
    assert len(store.reader(teacher.fingerprint, "cuda").logits(TEXTS[:4])) == 4
    assert len(store.reader(teacher.fingerprint, "cpu").logits(TEXTS[4:])) == len(TEXTS) - 4
    with pytest.raises(CodrunError, match="lacks the teacher's word on"):
        store.reader(teacher.fingerprint, "cuda").logits(TEXTS)
    with pytest.raises(CodrunError, match="no signals of this teacher"):
        store.reader(teacher.fingerprint, "mps")


def test_what_is_lacking_or_damaged_is_said(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    with pytest.raises(CodrunError, match="no signals of this teacher"):
        store.reader(teacher.fingerprint)
    store.add(teacher, TEXTS[:3], (2,), device="cpu")
    reader = store.reader(teacher.fingerprint)
    with pytest.raises(CodrunError, match="lacks the teacher's word on 2 inputs"):
        reader.logits(["w1 w9 w8", "w8", TEXTS[0]])
    with pytest.raises(CodrunError, match=r"lacks the teacher's layers \[1\]"):
        reader.rows(TEXTS[:1], (1,))
    for kept in tmp_path.rglob("*.safetensors"):
        kept.write_bytes(b"torn")
    with pytest.raises(CodrunError, match="cannot be read"):
        store.reader(teacher.fingerprint).rows(TEXTS[:1], (2,))
    assert store.add(teacher, TEXTS[:3], (2,), device="cpu") == 3  # damaged files are made again
    store.reader(teacher.fingerprint).rows(TEXTS[:1], (2,))


def test_hidden_states_are_checked_once_and_held_for_one_batch_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell of 512 texts must not hold the states of 512."""
    teacher, texts, checked = a_teacher(), TEXTS[:8], []
    store = SignalStore(tmp_path)
    store.add(teacher, texts, (1, 3), device="cpu")

    def watched(path: Path) -> dict[str, Tensor]:
        checked.append(path)
        return load_checked(path)

    monkeypatch.setattr(hidden_files, "load_checked", watched)
    for _ in range(2):
        rows = store.reader(teacher.fingerprint).rows(texts, (1, 3))
        batch = padded(rows[:4], (1, 3))
    assert sorted(checked) == sorted(tmp_path.rglob("*.safetensors")), "by the first of the two"
    assert batch.hidden[3].abs().sum() > 0 and sorted(rows[5].hidden) == [1, 3]
    maps = Path("/proc/self/maps")
    assert not maps.is_file() or str(tmp_path / "hidden") not in maps.read_text()


@pytest.mark.parametrize("change", ["removed", "torn", "of another text"])
def test_hidden_states_that_change_during_a_training_are_a_sentence(tmp_path: Path, change: str) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS[1:2], (1,), device="cpu")
    rows = store.reader(teacher.fingerprint).rows(TEXTS[1:2], (1,))
    (path,) = tmp_path.rglob("*.safetensors")
    if change == "removed":
        path.unlink()
    elif change == "torn":
        path.write_bytes(path.read_bytes()[:-4])
    else:
        save_file({"1": torch.zeros(1, 32)}, path)  # would fill all positions
    with pytest.raises(CodrunError, match=rf"{path} cannot be read .*delete the file and run again"):
        padded(rows, (1,))


def test_vectors_have_signals_too(tmp_path: Path) -> None:
    teacher = VectorClassifier(width=8, layers=2)
    points = [(float(row), -row / 3) for row in range(20)]
    store = SignalStore(tmp_path)
    store.add(teacher, points, (1, 2), device="cpu")
    reader = store.reader(teacher.fingerprint)
    assert reader.shape == teacher.shape and reader.labels == teacher.labels
    assert batch_of(reader, points[:4], (1,)).hidden[1].shape == (4, 1, 8)
    assert reader.ids(points[0]) == (0,)


def test_texts_of_any_kind_have_a_key(tmp_path: Path) -> None:
    teacher = a_teacher()
    odd = ["", " ", "\x00", "\ud800 broken", "‮rtl", "w1 " * 500, "1.0"]
    store = SignalStore(tmp_path)
    assert store.add(teacher, odd, (), device="cpu") == len(odd)
    assert store.reader(teacher.fingerprint).logits(odd).shape == (len(odd), 2)


def test_laying_out_moves_tokens_to_where_the_student_has_them() -> None:
    mask = torch.tensor([[False, False, True, True], [True, True, True, True], [False, True, True, True]])
    states = torch.arange(24.0).reshape(3, 4, 2)
    left = Outputs(torch.zeros(3, 2), {1: states}, mask, torch.tensor([3, 3, 2]))
    rows = unpadded(left, [2, 4, 3])
    assert [row.pooled_at for row in rows] == [1, 3, 1]
    back = laid_out_as(padded(rows, (1,)), mask)
    assert torch.equal(back.hidden[1][mask], states[mask])
    assert back.pooled_at is not None and back.pooled_at.tolist() == [3, 3, 2]


def test_the_view_scores_once_and_remembers(tmp_path: Path) -> None:
    teacher = a_teacher()
    view = CachedTeacher(teacher, SignalStore(tmp_path), "cpu")
    first = view.score(["w1 w2", "w3", "w1 w2"])
    asked = teacher.rows
    assert asked == ROWS, "both texts in one batch"
    assert first[0] == first[2] and sum(first[0]) == pytest.approx(1.0)
    assert view.score(["w3"]) == [first[1]] and teacher.rows == asked
    again = CachedTeacher(teacher, SignalStore(tmp_path), "cpu")
    assert again.score(["w3", "w1 w2"]) == [first[1], first[0]] and teacher.rows == asked
    assert view.score([]) == []


def test_the_view_hands_on_attribution_distance_and_similarity(tmp_path: Path) -> None:
    teacher = a_teacher()
    view = CachedTeacher(teacher, SignalStore(tmp_path), "cpu")
    text = "w1 w2  w3"
    (parts,) = view.attribution([text], [1])
    assert [text[part.start : part.end] for part in parts] == ["w1", "w2", "w3"]
    assert view.attribution([text, text], [1, 0])[0] == parts
    assert view.distance("w1 w2 w3", "w1 w9") == (2.0, pytest.approx(2 / 3))
    known, unknown = view.similarity(["w1", "nowhere"])
    assert sum(value * value for value in known) == pytest.approx(1.0, abs=1e-5) and unknown == ()
    points = CachedTeacher(VectorClassifier(), SignalStore(tmp_path / "vectors"), "cpu")
    assert points.similarity(["w1"]) == [()]
    assert points.distance((3.0, 4.0), (3.0, 5.0)) == (1.0, 0.2)


def test_attribution_is_the_change_of_the_margin_for_a_small_step() -> None:
    model = VectorClassifier(labels=("a", "b", "c"), seed=3)
    point, step = (0.3, -0.7), 1e-3
    (parts,) = model.attribution([point], [2])

    def margin(x: float, y: float) -> float:
        logits = model(model.collate(model.encode([(x, y)]))).logits[0].detach()
        return float(logits[2] - torch.maximum(logits[0], logits[1]))

    across = (margin(point[0] + step, point[1]) - margin(point[0] - step, point[1])) / (2 * step)
    assert parts[0].score == pytest.approx(across, rel=1e-2)


@pytest.mark.parametrize(
    "statement",
    [
        "update answer set logits = zeroblob(8)", "update answer set pooled_at = 1", "update answer set ids = 'words'",
        "update answer set logits = zeroblob(7)", "update teacher set shape = '{'", "update teacher set shape = '[]'",
        """update teacher set shape = replace(shape, '"classes": 2', '"classes": 3')""",
    ],
)  # fmt: skip
def test_damaged_answers_are_a_sentence(tmp_path: Path, statement: str) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS, (1,), device="cpu")
    with closing(sqlite3.connect(tmp_path / "signals.sqlite")) as connection, connection:
        assert connection.execute(statement).rowcount
    for ask in (
        lambda: store.logits(teacher, TEXTS, "cpu"),
        lambda: store.add(teacher, TEXTS, (1,), device="cpu"),
    ):
        with pytest.raises(CodrunError, match=r"signals.sqlite are damaged .*`codrun store prune signals`"):
            ask()


def test_answers_of_an_earlier_version_are_believed(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS, (1,), device="cpu")
    with closing(sqlite3.connect(tmp_path / "signals.sqlite")) as connection, connection:
        connection.execute("drop table checked")
    for path in tmp_path.rglob("*.safetensors"):
        save_file(load_file(path), path)
    again = SignalStore(tmp_path)
    assert again.add(teacher, TEXTS, (1,), device="cpu") == 0
    assert set(again.reader(teacher.fingerprint).rows(TEXTS, (1,))[0].hidden) == {1}


def test_one_flipped_bit_of_a_hidden_state_is_a_sentence(tmp_path: Path) -> None:
    teacher = a_teacher()
    store = SignalStore(tmp_path)
    store.add(teacher, TEXTS[:1], (1,), device="cpu")
    (path,) = tmp_path.rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CodrunError, match=rf"{path} cannot be read .*delete the file and run again"):
        store.reader(teacher.fingerprint).rows(TEXTS[:1], (1,))


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(states: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("cod_runner.checked_tensors.save_file", full)
    with pytest.raises(CodrunError, match=r"\.safetensors cannot be written .*No space left .*free its disk"):
        SignalStore(tmp_path).add(a_teacher(), TEXTS[:1], (1,), device="cpu")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "sqlite" not in path.name]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"no database" * 999)])
def test_a_database_that_is_none_is_a_sentence(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "signals.sqlite")
    with pytest.raises(CodrunError, match=r"signals.sqlite cannot be used .*`codrun store prune signals`"):
        SignalStore(tmp_path)

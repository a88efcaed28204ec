"""The file that a run writes for its cells says what the store says, and what is wrong with it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cod_runner.api import CodrunError
from cod_runner.checked_tensors import save_checked
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.signals_file import SignalsFile, write_signals
from cod_runner.engine.teacher_signals import TeacherSignals
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier

TEXTS = [" ".join(f"w{(row * 7 + word) % 20}" for word in range(1 + row * 5 % 9)) for row in range(12)]


@pytest.fixture
def stored(tmp_path: Path) -> TeacherSignals:
    teacher = TextClassifier(texts=TEXTS, width=8, layers=3, seed=4)
    store = SignalStore(tmp_path / "store")
    store.add(teacher, TEXTS, (1, 3), device="cpu")
    return store.reader(teacher.fingerprint)


def test_it_says_bit_for_bit_what_the_store_says(stored: TeacherSignals, tmp_path: Path) -> None:
    file: SignalsFile = pickle.loads(pickle.dumps(write_signals(stored, [*TEXTS, *TEXTS], tmp_path / "run")))  # noqa: S301
    read = file.opened()
    assert (read.labels, read.shape) == (stored.labels, stored.shape)
    some = [TEXTS[7], TEXTS[2], TEXTS[7]]
    assert torch.equal(read.logits(some), stored.logits(some))
    assert read.logits([]).shape == (0, 2)
    assert [read.ids(text) for text in TEXTS] == [stored.ids(text) for text in TEXTS]
    for ours, theirs in zip(read.rows(TEXTS, (1, 3)), stored.rows(TEXTS, (1, 3)), strict=True):
        assert (ours.tokens, ours.pooled_at) == (theirs.tokens, theirs.pooled_at)
        assert torch.equal(ours.logits, theirs.logits)
        assert set(ours.hidden) == {1, 3}
        assert all(torch.equal(ours.hidden[layer], theirs.hidden[layer]) for layer in (1, 3))


def test_points_have_one_too_and_so_has_nothing(tmp_path: Path) -> None:
    teacher, points = VectorClassifier(width=4, layers=1), [(0.5, -1.0), (2.0, 3.0)]
    store = SignalStore(tmp_path / "store")
    store.add(teacher, points, device="cpu")
    signals = store.reader(teacher.fingerprint)
    read = write_signals(signals, points, tmp_path).opened()
    assert torch.equal(read.logits(points), signals.logits(points)) and read.ids(points[0]) == (0,)
    assert write_signals(signals, [], tmp_path).opened().logits([]).shape == (0, 2)


def test_its_content_names_it_and_what_is_there_is_not_written_again(stored: TeacherSignals, tmp_path: Path) -> None:
    first = write_signals(stored, TEXTS, tmp_path).path
    state = first.stat()
    assert write_signals(stored, reversed(TEXTS), tmp_path).path == first
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    assert write_signals(stored, TEXTS[1:], tmp_path).path != first
    first.write_bytes(b"torn")
    assert write_signals(stored, TEXTS, tmp_path).opened().ids(TEXTS[3]) == stored.ids(TEXTS[3])


def test_what_it_lacks_is_a_sentence(stored: TeacherSignals, tmp_path: Path) -> None:
    file = write_signals(stored, TEXTS[:4], tmp_path)
    with pytest.raises(CodrunError, match=rf"{file.path} lacks the teacher's word on 2 inputs"):
        file.opened().logits([TEXTS[0], TEXTS[5], TEXTS[6]])
    with pytest.raises(CodrunError, match="lacks the teacher's word on 1 inputs"):
        write_signals(stored, ["never asked"], tmp_path)
    file.path.unlink()
    with pytest.raises(CodrunError, match=rf"the teacher's signals in {file.path} cannot be read .* run the recipe"):
        file.opened()


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"logits": torch.zeros(12, 3)}, "it is not about 2 classes, or torn"),
        ({"keys": torch.zeros(11, 16, dtype=torch.uint8)}, "it is not about 2 classes, or torn"),
        ({"ids": torch.zeros(500)}, "it holds something else"),
        ({"more": torch.zeros(1)}, "it holds something else"),
        ({"ids": torch.zeros(3, dtype=torch.int32)}, "its tokens are not those of its texts"),
        ({"pooled_at": torch.full((12,), 100)}, "it names tokens that its texts do not have"),
        ({"pooled_at": torch.full((12,), -2)}, "it names tokens that its texts do not have"),
    ],
)
def test_a_file_that_no_run_wrote_is_refused(
    stored: TeacherSignals, tmp_path: Path, changed: dict[str, Any], what: str
) -> None:
    file = write_signals(stored, TEXTS, tmp_path)
    tensors = {name: tensor.clone() for name, tensor in load_file(file.path).items()}
    save_checked({**tensors, **changed}, file.path)
    with pytest.raises(CodrunError, match=what):
        file.opened()

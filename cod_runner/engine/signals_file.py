"""What a teacher said about all that a run's cells read, in one read-only file: for processes on any host that share a
disk, where SQLite's log and locks do not work.

Tensors of the file, with N inputs in the order of their keys: ``keys [N, 16]`` uint8, ``logits [N, classes]`` float32,
``ids [all tokens]`` int32 with input n's from ``starts[n]`` to ``starts[n + 1]``, ``starts [N + 1]`` int64, and
``pooled_at [N]`` int64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from cod_runner.api import Input, ModelShape
from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.engine.hidden_files import HiddenFiles
from cod_runner.engine.outputs import MEAN
from cod_runner.engine.teacher_signals import Said, TeacherSignals, input_key
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole

KEY_BYTES = 16
KINDS = {
    "keys": torch.uint8,
    "logits": torch.float32,
    "ids": torch.int32,
    "starts": torch.int64,
    "pooled_at": torch.int64,
}


@dataclass(frozen=True)
class SignalsFile:
    """Where a process finds a teacher's signals, and what it cannot read there; can be pickled. Paths are absolute."""

    path: Path
    hidden: Path
    """The folder of the hidden states."""
    labels: tuple[str, ...]
    shape: ModelShape

    def opened(self) -> SharedSignals:
        """The signals, mapped into memory; raises :class:`CodrunError` where the file is missing or damaged."""
        try:
            tensors = load_checked(self.path)
            _refuse_another_form(tensors, self.shape.classes)
        except (OSError, SafetensorError, ValueError, RuntimeError) as error:
            raise CodrunError(
                f"the teacher's signals in {self.path} cannot be read ({error}); run the recipe again: each run writes "
                "them anew for its cells, on a disk that all workers share"
            ) from error
        return SharedSignals(self, tensors)


def write_signals(signals: TeacherSignals, inputs: Iterable[Input], folder: Path) -> SignalsFile:
    """Write what the teacher said about these inputs into ``folder``, whole, under a name that its content decides; a
    file that is there already stays as it is, since a worker may be reading it.

    Raises :class:`CodrunError` where the teacher was not asked about one of them, or the disk refuses.
    """
    keys = sorted({input_key(value) for value in inputs})
    said = signals.said(keys)
    tensors = {
        "keys": torch.tensor([list(key) for key in keys], dtype=torch.uint8).reshape(-1, KEY_BYTES),
        "logits": torch.stack([each.logits for each in said]) if said else torch.empty(0, signals.shape.classes),
        "ids": torch.tensor([number for each in said for number in each.ids], dtype=torch.int32),
        "starts": torch.tensor([0, *accumulate(len(each.ids) for each in said)], dtype=torch.int64),
        "pooled_at": torch.tensor([each.pooled_at for each in said], dtype=torch.int64),
    }
    path = folder.absolute() / f"{_content(tensors)}.safetensors"
    file = SignalsFile(path, signals.hidden.folder.absolute(), signals.labels, signals.shape)
    try:
        file.opened()
    except CodrunError:
        with file_written_whole(path) as temporary:
            save_checked(tensors, temporary)
    return file


class SharedSignals(TeacherSignals):
    """The signals of a :class:`SignalsFile`, read and never written."""

    def __init__(self, file: SignalsFile, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(file.labels, file.shape, HiddenFiles(file.hidden))
        self._path, self._logits, self._ids = file.path, tensors["logits"], tensors["ids"]
        self._starts: list[int] = tensors["starts"].tolist()
        self._pooled_at: list[int] = tensors["pooled_at"].tolist()
        keys = tensors["keys"].numpy().tobytes()
        starts = range(0, len(keys), KEY_BYTES)
        self._places = {keys[start : start + KEY_BYTES]: place for place, start in enumerate(starts)}

    @property
    def longest(self) -> int:
        """Positions that the teacher read of the longest input."""
        return max((end - start for start, end in pairwise(self._starts)), default=0)

    def said(self, keys: Sequence[bytes]) -> list[Said]:
        """As :meth:`TeacherSignals.said`."""
        return [
            Said(
                self._logits[place],
                tuple(self._ids[self._starts[place] : self._starts[place + 1]].tolist()),
                self._pooled_at[place],
            )
            for place in self._places_of(keys)
        ]

    def logits(self, inputs: Sequence[Input]) -> Tensor:
        """``[inputs, classes]``, float32, on the CPU."""
        return self._logits[self._places_of([input_key(value) for value in inputs])]

    def _places_of(self, keys: Sequence[bytes]) -> list[int]:
        places = [self._places.get(key, -1) for key in keys]
        lacking = places.count(-1)
        if lacking:
            raise CodrunError(f"{self._path} lacks the teacher's word on {lacking} inputs, which this run did not plan")
        return places


def _refuse_another_form(tensors: Mapping[str, Tensor], classes: int) -> None:
    """Raise :class:`ValueError` where these are not what :func:`write_signals` writes."""
    if {name: tensor.dtype for name, tensor in tensors.items()} != KINDS:
        raise ValueError("it holds something else")
    starts, ids, pooled_at = tensors["starts"], tensors["ids"], tensors["pooled_at"]
    rows = len(pooled_at)
    wanted = {
        "keys": (rows, KEY_BYTES), "logits": (rows, classes), "ids": (ids.numel(),), "starts": (rows + 1,),
        "pooled_at": (rows,),
    }  # fmt: skip
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != wanted:
        raise ValueError(f"it is not about {classes} classes, or torn")
    tokens = starts.diff()
    if starts[0] != 0 or starts[-1] != ids.numel() or (tokens < 0).any():
        raise ValueError("its tokens are not those of its texts")
    if (pooled_at < MEAN).any() or (pooled_at > (tokens - 1).clamp(min=0)).any():
        raise ValueError("it names tokens that its texts do not have")


def _content(tensors: Mapping[str, Tensor]) -> str:
    """32 hex digits that name these tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {list(tensors[name].shape)} ".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()[:32]

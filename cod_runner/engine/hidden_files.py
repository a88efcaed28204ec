"""Hidden states of training examples: one safetensors file per input, unpadded, written whole, read batch by batch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole

FILES_REMEMBERED = 10_000


class HiddenFiles:
    """One teacher's, in a folder of the store; any number of processes, on any host, may read them at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: bytes) -> Path:
        """The file of the input with this key."""
        return self.folder / key.hex()[:2] / f"{key.hex()}.safetensors"

    def layers(self, key: bytes) -> set[int]:
        """The layers that are stored of an input; none where its file is missing or damaged."""
        path = self.path(key)
        if not path.exists():
            return set()
        try:
            with safe_open(path, framework="pt") as file:
                return {int(name) for name in file.keys()}  # noqa: SIM118 - a safe_open is not a mapping
        except (OSError, SafetensorError, ValueError):
            return set()  # damaged: computed again, and replaced

    def add(self, key: bytes, states: Mapping[int, Tensor], *, within: Path) -> None:
        """Write one input's file whole; layers that it held already stay bit for bit. What a kill leaves lies in
        ``within``. Raises :class:`CodrunError` where the disk refuses."""
        path = self.path(key)
        kept = {str(layer): value.contiguous() for layer, value in states.items()}
        if self.layers(key):
            with _reading(path):
                kept.update(load_checked(path))
        with file_written_whole(path, within=within) as temporary:
            save_checked(kept, temporary)

    def states(self, key: bytes, layers: Sequence[int], tokens: int) -> StatesOnDisk:
        """These layers of an input that has so many tokens, to be read when they are asked for.

        Raises :class:`CodrunError` where they are missing, damaged, or those of a text of another length. That a file
        is as it was written, each process checks once.
        """
        if not layers:
            return StatesOnDisk(Path(), {})
        path = self.path(key)
        with _reading(path):
            state = path.stat()
            forms = _forms(path, state.st_size, state.st_mtime_ns)
        if any(kind != torch.float32 or len(shape) != 2 or shape[0] != tokens for kind, shape in forms.values()):
            raise CodrunError(
                f"the teacher's hidden states in {path} are those of another text; delete the file and run again"
            )
        lacking = [layer for layer in layers if str(layer) not in forms]
        if lacking:
            raise CodrunError(f"the store lacks the teacher's layers {lacking} of an example; run the recipe again")
        return StatesOnDisk(path, {layer: forms[str(layer)][1] for layer in layers})


class StatesOnDisk(Mapping[int, Tensor]):
    """Layer to ``[tokens, width]`` of one input, read each time: a training holds the states of one batch, not of all
    its examples."""

    def __init__(self, path: Path, shapes: Mapping[int, tuple[int, ...]]) -> None:
        self._path, self._shapes = path, shapes

    def read(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """Several at once, for the price of one opened file. They are mapped into memory: whoever keeps them longer
        than for a copy keeps the pages. Raises :class:`CodrunError` where the file has changed."""
        if not layers:
            return {}
        with _reading(self._path), safe_open(self._path, framework="pt") as file:
            read = {layer: file.get_tensor(str(layer)) for layer in layers}
            if any(read[layer].shape != self._shapes[layer] for layer in layers):
                raise ValueError("it was changed during the run")
        return read

    def __getitem__(self, layer: int) -> Tensor:
        if layer not in self._shapes:
            raise KeyError(layer)
        return self.read((layer,))[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


@functools.lru_cache(maxsize=FILES_REMEMBERED)
def _forms(path: Path, size: int, modified: int) -> dict[str, tuple[torch.dtype, torch.Size]]:
    """Type and shape of each tensor of a file, whose content is checked; once per process for each state of it."""
    return {name: (states.dtype, states.shape) for name, states in load_checked(path).items()}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors of the block become a :class:`CodrunError` that names the file."""
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CodrunError(
            f"the teacher's hidden states in {path} cannot be read ({error}); delete the file and run again"
        ) from error

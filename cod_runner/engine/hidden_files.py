"""Hidden states of training examples: one safetensors file per input, unpadded, written whole, mapped into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.engine.outputs import Row
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole


class HiddenFiles:
    """One teacher's, in a folder of the store; any number of processes, on any host, may read them at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checked: set[Path] = set()

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

    def add(self, key: bytes, row: Row, *, within: Path) -> None:
        """Write one input's file whole; layers that it held already stay bit for bit. What a kill leaves lies in
        ``within``."""
        path = self.path(key)
        states = {str(layer): value.contiguous() for layer, value in row.hidden.items()}
        if self.layers(key):
            states.update(self._load(path))
        with file_written_whole(path, within=within) as temporary:
            save_checked(states, temporary)

    def states(self, key: bytes, layers: Sequence[int], tokens: int) -> dict[int, Tensor]:
        """Layer to ``[tokens, width]``, mapped into memory; the operating system holds what fits.

        Raises :class:`CodrunError` where they are missing, damaged, or those of a text of another length.
        """
        if not layers:
            return {}
        path = self.path(key)
        states = self._load(path)
        if any(state.dtype != torch.float32 or state.ndim != 2 or len(state) != tokens for state in states.values()):
            raise CodrunError(
                f"the teacher's hidden states in {path} are those of another text; delete the file and run again"
            )
        lacking = [layer for layer in layers if str(layer) not in states]
        if lacking:
            raise CodrunError(f"the store lacks the teacher's layers {lacking} of an example; run the recipe again")
        return {layer: states[str(layer)] for layer in layers}

    def _load(self, path: Path) -> dict[str, Tensor]:
        """Layer to states, mapped into memory and checked once. Raises :class:`CodrunError` that names the file."""
        try:
            states = load_checked(path, check=path not in self._checked)
            self._checked.add(path)
            return states
        except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
            raise CodrunError(
                f"the teacher's hidden states in {path} cannot be read ({error}); delete the file and run again"
            ) from error

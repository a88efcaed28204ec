"""What the teacher said: computed once an input, kept in a folder, read back without the teacher.

Logits, token ids and the pooled position lie in one sqlite table; hidden states, of training examples only, in
one safetensors file an input and layer, unpadded, read through a memory map.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cod_runner.api import Classifier, Input, ModelShape, Outputs
from cod_runner.engine.fixed_batches import each_output
from cod_runner.errors import CodrunError

SCHEMA = """
create table if not exists teachers (fingerprint text primary key, shape text not null);
create table if not exists said (
    fingerprint text not null, input text not null, logits blob not null, ids blob not null, pooled integer not null,
    primary key (fingerprint, input)
) without rowid;
"""


def input_key(value: Input) -> str:
    """A name for an input: 32 hex digits."""
    spelled = f"t{value}" if isinstance(value, str) else f"v{tuple(map(float, value))!r}"
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class SignalStore:
    """Every teacher's signals in one folder; safe for several processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = folder / "signals.sqlite"
        with self._connected() as connection:
            connection.executescript(SCHEMA)

    def add(
        self,
        teacher: Classifier,
        inputs: Iterable[Input],
        layers: Sequence[int] = (),
        *,
        device: str,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Ask the teacher about every input that is not here yet with these layers; returns how many it was asked.

        What is there already is kept as it is: the teacher speaks once.
        """
        distinct = list({input_key(value): value for value in inputs}.values())
        said = self.logits(teacher.fingerprint, distinct)
        missing = [
            value
            for value in distinct
            if input_key(value) not in said
            or not all(self.hidden_path(teacher.fingerprint, value, layer).exists() for layer in layers)
        ]
        if not missing:
            return 0
        with self._connected() as connection:
            shape = {"labels": teacher.labels, **vars(teacher.shape)}
            connection.execute("insert or ignore into teachers values (?, ?)", (teacher.fingerprint, json.dumps(shape)))
            for positions, encoded, outputs in each_output(teacher, missing, layers, device, progress):
                for row, (position, one) in enumerate(zip(positions, encoded, strict=True)):
                    value = missing[position]
                    for layer in layers:
                        self._keep_hidden(teacher.fingerprint, value, layer, _real(outputs, layer, row))
                    pooled = 0 if outputs.pooled_at is None else _unpadded(outputs.pooled_at[row], outputs.mask, row)
                    ids = torch.tensor(one.ids, dtype=torch.int64).numpy().tobytes()
                    connection.execute(
                        "insert or ignore into said values (?, ?, ?, ?, ?)",
                        (
                            teacher.fingerprint,
                            input_key(value),
                            outputs.logits[row].cpu().numpy().tobytes(),
                            ids,
                            pooled,
                        ),
                    )
                connection.commit()
        return len(missing)

    def reader(self, fingerprint: str) -> TeacherSignals:
        """A teacher's signals, for a process that does not hold the teacher."""
        return TeacherSignals(self, fingerprint)

    def logits(self, fingerprint: str, inputs: Sequence[Input]) -> dict[str, Tensor]:
        """Input key to logits ``[classes]``, of those that are here."""
        found = {}
        with self._connected() as connection:
            for value in inputs:
                key = input_key(value)
                row = connection.execute(
                    "select logits from said where fingerprint = ? and input = ?", (fingerprint, key)
                ).fetchone()
                if row is not None:
                    found[key] = torch.frombuffer(bytearray(row[0]), dtype=torch.float32)
        return found

    def hidden_path(self, fingerprint: str, value: Input, layer: int) -> Path:
        """Where one input's hidden state of one layer lies."""
        key = input_key(value)
        return self.folder / "hidden" / fingerprint[:32] / f"layer{layer}" / key[:2] / f"{key}.safetensors"

    def _keep_hidden(self, fingerprint: str, value: Input, layer: int, states: Tensor) -> None:
        path = self.hidden_path(fingerprint, value, layer)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        try:
            save_file({"hidden": states.contiguous().cpu()}, temporary)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, timeout=60)) as connection:
            connection.execute("pragma journal_mode = wal")
            yield connection
            connection.commit()


class TeacherSignals:
    """One teacher's kept word, read by training and evaluation."""

    def __init__(self, store: SignalStore, fingerprint: str) -> None:
        self._store, self.fingerprint = store, fingerprint
        self._known: dict[str, tuple[Tensor, tuple[int, ...], int]] = {}
        with store._connected() as connection:
            row = connection.execute("select shape from teachers where fingerprint = ?", (fingerprint,)).fetchone()
        if row is None:
            raise CodrunError("the store holds no signals of this teacher; run the recipe again to make them")
        shape = json.loads(row[0])
        self.labels: tuple[str, ...] = tuple(shape.pop("labels"))
        self.shape = ModelShape(**shape)

    def logits(self, inputs: Sequence[Input]) -> Tensor:
        """``[inputs, classes]`` float32."""
        return torch.stack([logits for logits, _, _ in self._said(inputs)])

    def ids(self, value: Input) -> tuple[int, ...]:
        """The teacher's token ids of an input, one a position."""
        return self._said([value])[0][1]

    def outputs(self, inputs: Sequence[Input], layers: Sequence[int]) -> Outputs:
        """The signals as a batch, padded on the right with zeros to its longest input."""
        said = self._said(inputs)
        longest = max(len(ids) for _, ids, _ in said)
        mask = torch.zeros(len(inputs), longest, dtype=torch.bool)
        for row, (_, ids, _) in enumerate(said):
            mask[row, : len(ids)] = True
        hidden = {layer: torch.zeros(len(inputs), longest, self.shape.width) for layer in layers}
        for layer, states in hidden.items():
            for row, value in enumerate(inputs):
                kept = self._hidden(value, layer)
                states[row, : len(kept)] = kept
        pooled = torch.tensor([pooled for _, _, pooled in said])
        return Outputs(torch.stack([logits for logits, _, _ in said]), hidden, mask, pooled)

    def _said(self, inputs: Sequence[Input]) -> list[tuple[Tensor, tuple[int, ...], int]]:
        """(logits ``[classes]``, token ids, pooled position) of each input, read from disk once."""
        wanted = [input_key(value) for value in inputs]
        new = [key for key in dict.fromkeys(wanted) if key not in self._known]
        if new:
            query = "select logits, ids, pooled from said where fingerprint = ? and input = ?"
            with self._store._connected() as connection:
                for key in new:
                    row = connection.execute(query, (self.fingerprint, key)).fetchone()
                    if row is None:
                        raise CodrunError("the store lacks the teacher's word on an example; run again to make it")
                    ids = torch.frombuffer(bytearray(row[1]), dtype=torch.int64).tolist() if row[1] else []
                    self._known[key] = (torch.frombuffer(bytearray(row[0]), dtype=torch.float32), tuple(ids), row[2])
        return [self._known[key] for key in wanted]

    def _hidden(self, value: Input, layer: int) -> Tensor:
        path = self._store.hidden_path(self.fingerprint, value, layer)
        try:
            return load_file(path)["hidden"]
        except (OSError, SafetensorError) as error:
            raise CodrunError(
                f"a kept hidden state cannot be read ({path.name}: {error}); delete it, run again"
            ) from error


def _real(outputs: Outputs, layer: int, row: int) -> Tensor:
    """One row's hidden states, real tokens only: ``[tokens, width]``."""
    states = outputs.hidden[layer][row]
    return states if outputs.mask is None else states[outputs.mask[row].bool()]


def _unpadded(position: Tensor, mask: Tensor | None, row: int) -> int:
    """The pooled position counted in real tokens alone."""
    return int(position) if mask is None else int(mask[row, : int(position)].sum())

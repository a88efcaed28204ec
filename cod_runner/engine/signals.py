"""What the teacher said: computed once per input, stored in a folder, read back without the teacher.

Logits, token ids and the pooled position are in one sqlite database; hidden states, of training examples only, in
one safetensors file per input: unpadded, written whole, read through a memory map.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cod_runner.api import Input, Mixture, ModelShape, Teacher
from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.engine.asking import Asks, each_answer, shape_of
from cod_runner.engine.outputs import MEAN, Row
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole, open_database
from cod_runner.signal_tables import DATABASE, HIDDEN, SCHEMA

KEYS_PER_QUERY = 500
"""Below sqlite's oldest limit on the parameters of one statement, 999."""
BYTES_A_NUMBER = 4
PRUNE = "or delete them with `codrun store prune signals`"


def input_key(value: Input) -> bytes:
    """16 bytes that name an input's content."""
    if isinstance(value, str):
        spelled = f"t{value}"
    elif isinstance(value, Mixture):
        spelled = f"m{json.dumps([value.first, value.second, float(value.share)])}"
    else:
        spelled = f"v{tuple(map(float, value))!r}"
    return hashlib.sha256(spelled.encode("utf-8", "surrogatepass")).digest()[:16]


class SignalStore:
    """Every teacher's signals in one folder; several processes may read and add at once.

    What a GPU computed is stored apart from what a CPU did: their last bits differ, and a result must not depend on
    what the store already held.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = folder / DATABASE
        self._checked: set[Path] = set()
        with self._connected(SCHEMA):
            pass

    def add(
        self,
        teacher: Teacher,
        inputs: Iterable[Input],
        layers: Sequence[int] = (),
        *,
        device: str,
        progress: Callable[[int, int], None] = lambda done, total: None,
        ask: Asks = each_answer,
    ) -> int:
        """Ask the teacher about every input that is not stored yet with these layers; returns how many it was asked.

        ``layers`` may stay empty where only logits are wanted (candidates, the evaluation split). What is stored
        stays as it is: the teacher speaks once. ``progress(done, total)`` follows each batch. A kill loses the batch
        that was being computed and no more. ``ask`` asks it, as :func:`each_answer` does.
        """
        distinct = {input_key(value): value for value in inputs}
        number = self._teacher_number(teacher, device)
        answered = set(self._answers(number, list(distinct)))
        missing = [
            key
            for key in distinct
            if key not in answered or (layers and not set(layers) <= self._stored_layers(number, key))
        ]
        if not missing:
            return 0
        values = [distinct[key] for key in missing]
        with self._connected() as connection:
            for batch in ask(teacher, values, layers, device, progress):
                for said in batch:
                    key, row = missing[said.position], said.row
                    if layers:
                        self._store_hidden(number, key, row)
                    ids = _bytes(torch.tensor(said.ids, dtype=torch.int32))
                    answer = (key, _bytes(row.logits), ids, row.pooled_at)
                    new = connection.execute("insert or ignore into answer values (?, ?, ?, ?, ?)", (number, *answer))
                    if new.rowcount:
                        checked = (number, key, _checksum(*answer))
                        connection.execute("insert or replace into checked values (?, ?, ?)", checked)
                connection.commit()
        return len(missing)

    def reader(self, fingerprint: str, device: str = "cpu") -> TeacherSignals:
        """A teacher's signals as a device of this type computed them, for a process that does not hold the teacher."""
        with self._connected() as connection:
            found = connection.execute(
                "select id, shape from teacher where fingerprint = ? and device = ?",
                (fingerprint, torch.device(device).type),
            ).fetchone()
        if found is None:
            raise CodrunError(
                f"the store {self.folder} holds no signals of this teacher; run the recipe again to make them"
            )
        try:
            shape = json.loads(found[1])
            return TeacherSignals(self, found[0], tuple(shape.pop("labels")), ModelShape(**shape))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self.damaged(f"a teacher's shape: {type(error).__name__}") from error

    def logits(self, teacher: Teacher, inputs: Sequence[Input], device: str) -> dict[bytes, Tensor]:
        """:func:`input_key` to logits ``[classes]``, float32, of those inputs that ``teacher`` has answered."""
        answers = self._answers(self._teacher_number(teacher, device), [input_key(value) for value in inputs])
        if any(len(logits) != BYTES_A_NUMBER * len(teacher.labels) for logits, _, _ in answers.values()):
            raise self.damaged("an answer of another size than the teacher's")
        return {key: _floats(logits) for key, (logits, _, _) in answers.items()}

    def damaged(self, what: str) -> CodrunError:
        """The error for a file that says what no codrun wrote."""
        return CodrunError(
            f"the teacher's signals in {self._database} are damaged ({what}); delete "
            "them with `codrun store prune signals`: the teacher is then asked again"
        )

    def _teacher_number(self, teacher: Teacher, device: str) -> int:
        shape = json.dumps({"labels": teacher.labels, **vars(shape_of(teacher))})
        key = (teacher.fingerprint, torch.device(device).type)
        with self._connected() as connection:
            connection.execute("insert or ignore into teacher values (null, ?, ?, ?)", (*key, shape))
            query = "select id, shape from teacher where fingerprint = ? and device = ?"
            found = connection.execute(query, key).fetchone()
        if found is None or not isinstance(found[0], int):
            raise self.damaged("a teacher that was written cannot be found")
        try:
            stored = json.loads(found[1])
            changed = {name for name, value in json.loads(shape).items() if stored.get(name, value) != value}
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise self.damaged("a teacher's shape cannot be read") from error
        if changed:
            raise self.damaged(f"a teacher's {min(changed)} was changed")
        return found[0]

    def _answers(self, number: int, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes, int]]:
        """Input key to (logits, ids, pooled position), of those that are here."""
        found = {}
        with self._connected() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                query = (
                    "select input, logits, ids, pooled_at, crc from answer left join checked using (teacher, input) "
                    f"where teacher = ? and input in ({','.join('?' * len(some))})"
                )
                for key, logits, ids, pooled_at, crc in connection.execute(query, (number, *some)):
                    blobs = all(isinstance(each, bytes) and len(each) % BYTES_A_NUMBER == 0 for each in (logits, ids))
                    if not blobs or not isinstance(pooled_at, int):
                        raise self.damaged("an answer that is not one")
                    if crc is not None and crc != _checksum(key, logits, ids, pooled_at):
                        raise self.damaged("an answer was changed")
                    found[key] = (logits, ids, pooled_at)
        return found

    def _hidden_path(self, number: int, key: bytes) -> Path:
        return self.folder / HIDDEN / str(number) / key.hex()[:2] / f"{key.hex()}.safetensors"

    def _stored_layers(self, number: int, key: bytes) -> set[int]:
        path = self._hidden_path(number, key)
        if not path.exists():
            return set()
        try:
            with safe_open(path, framework="pt") as file:
                return {int(name) for name in file.keys()}  # noqa: SIM118 - a safe_open is not a mapping
        except (OSError, SafetensorError, ValueError):
            return set()  # damaged: computed again, and replaced

    def _store_hidden(self, number: int, key: bytes, row: Row) -> None:
        """Write one input's file whole; layers that it held already stay bit for bit."""
        path = self._hidden_path(number, key)
        states = {str(layer): value.contiguous() for layer, value in row.hidden.items()}
        if self._stored_layers(number, key):
            states.update(self._load(path))
        with file_written_whole(path, within=self.folder) as temporary:
            save_checked(states, temporary)

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

    @contextmanager
    def _connected(self, schema: str = "") -> Iterator[sqlite3.Connection]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(open_database(self._database, schema)) as connection:
                yield connection
                connection.commit()
        except sqlite3.Error as error:
            raise CodrunError(
                f"the teacher's signals in {self._database} cannot be used ({error}); free its disk or lock, "
                f"{PRUNE}: the teacher is then asked again"
            ) from error
        except FileExistsError as error:
            raise CodrunError(f"{self.folder} is a file where the store needs a folder; move it away") from error


class TeacherSignals:
    """One teacher's signals, read by training and evaluation."""

    def __init__(self, store: SignalStore, number: int, labels: tuple[str, ...], shape: ModelShape) -> None:
        self.labels, self.shape = labels, shape
        self._store, self._number = store, number
        self._known: dict[bytes, tuple[Tensor, tuple[int, ...], int]] = {}

    def logits(self, inputs: Sequence[Input]) -> Tensor:
        """``[inputs, classes]``, float32, on the CPU."""
        if not inputs:
            return torch.empty(0, self.shape.classes)
        return torch.stack([logits for logits, _, _ in self._read([input_key(value) for value in inputs])])

    def known(self, inputs: Sequence[Input]) -> list[Tensor | None]:
        """Logits ``[classes]`` of each input; None where the teacher was never asked about it."""
        keys = [input_key(value) for value in inputs]
        there = set(self._store._answers(self._number, list(dict.fromkeys(keys))))
        return [self._read([key])[0][0] if key in there else None for key in keys]

    def ids(self, value: Input) -> tuple[int, ...]:
        """The teacher's token ids of an input, one per position."""
        return self._read([input_key(value)])[0][1]

    def rows(self, inputs: Sequence[Input], layers: Sequence[int] = ()) -> list[Row]:
        """The signals of each input, with the hidden states of these layers mapped into memory, not yet read."""
        keys = [input_key(value) for value in inputs]
        return [
            Row(logits, self._hidden(key, layers, len(ids)), len(ids), pooled_at)
            for key, (logits, ids, pooled_at) in zip(keys, self._read(keys), strict=True)
        ]

    def _read(self, keys: Sequence[bytes]) -> list[tuple[Tensor, tuple[int, ...], int]]:
        """(logits ``[classes]``, token ids, pooled position) of each input, read from disk once."""
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            for key, (logits, ids, pooled_at) in self._store._answers(self._number, new).items():
                numbers = torch.frombuffer(bytearray(ids), dtype=torch.int32).tolist() if ids else []
                if len(logits) != BYTES_A_NUMBER * self.shape.classes or not MEAN <= pooled_at <= max(
                    0, len(numbers) - 1
                ):
                    raise self._store.damaged("an answer of another size than the teacher's")
                self._known[key] = (_floats(logits), tuple(numbers), pooled_at)
            lacking = sum(key not in self._known for key in new)
            if lacking:
                raise CodrunError(
                    f"the store {self._store.folder} lacks the teacher's word on {lacking} inputs; "
                    "run the recipe again to make it"
                )
        return [self._known[key] for key in keys]

    def _hidden(self, key: bytes, layers: Sequence[int], tokens: int) -> dict[int, Tensor]:
        """Layer to ``[tokens, width]``, mapped into memory; the operating system holds what fits."""
        if not layers:
            return {}
        path = self._store._hidden_path(self._number, key)
        states = self._store._load(path)
        if any(state.dtype != torch.float32 or state.ndim != 2 or len(state) != tokens for state in states.values()):
            raise CodrunError(
                f"the teacher's hidden states in {path} are those of another text; delete the file and run again"
            )
        lacking = [layer for layer in layers if str(layer) not in states]
        if lacking:
            raise CodrunError(f"the store lacks the teacher's layers {lacking} of an example; run the recipe again")
        return {layer: states[str(layer)] for layer in layers}


def _checksum(key: bytes, logits: bytes, ids: bytes, pooled_at: int) -> int:
    return zlib.crc32(b"".join((key, logits, ids, str(pooled_at).encode())))


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


def _floats(stored: bytes) -> Tensor:
    return torch.frombuffer(bytearray(stored), dtype=torch.float32)

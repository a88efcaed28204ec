"""What the teacher said: computed once per input, stored in a folder, read back without the teacher.

Logits, token ids and the pooled position are in one sqlite database, which is opened on its own host alone; hidden
states, of training examples only, in one safetensors file per input.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from cod_runner.api import Input, ModelShape, Teacher
from cod_runner.engine.asking import Asks, each_answer, shape_of
from cod_runner.engine.hidden_files import HiddenFiles
from cod_runner.engine.outputs import MEAN
from cod_runner.engine.teacher_signals import Said, TeacherSignals, input_key
from cod_runner.errors import CodrunError
from cod_runner.files import open_database
from cod_runner.signal_tables import DATABASE, HIDDEN, SCHEMA

KEYS_PER_QUERY = 500
"""Below sqlite's oldest limit on the parameters of one statement, 999."""
BYTES_A_NUMBER = 4
PRUNE = "or delete them with `codrun store prune signals`"


class SignalStore:
    """Every teacher's signals in one folder; several processes may read and add at once.

    What a GPU computed is stored apart from what a CPU did: their last bits differ, and a result must not depend on
    what the store already held.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = folder / DATABASE
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
        answered, hidden = set(self._answers(number, list(distinct))), self.hidden(number)
        missing = [key for key in distinct if key not in answered or (layers and not set(layers) <= hidden.layers(key))]
        if not missing:
            return 0
        values = [distinct[key] for key in missing]
        with self._connected() as connection:
            for batch in ask(teacher, values, layers, device, progress):
                for said in batch:
                    key, row = missing[said.position], said.row
                    if layers:
                        hidden.add(key, row.hidden, within=self.folder)
                    ids = _bytes(torch.tensor(said.ids, dtype=torch.int32))
                    answer = (key, _bytes(row.logits), ids, row.pooled_at)
                    new = connection.execute("insert or ignore into answer values (?, ?, ?, ?, ?)", (number, *answer))
                    if new.rowcount:
                        checked = (number, key, _checksum(*answer))
                        connection.execute("insert or replace into checked values (?, ?, ?)", checked)
                connection.commit()
        return len(missing)

    def reader(self, fingerprint: str, device: str = "cpu") -> StoredSignals:
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
            return StoredSignals(self, found[0], tuple(shape.pop("labels")), ModelShape(**shape))
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

    def hidden(self, number: int) -> HiddenFiles:
        """The hidden states of the teacher with this number."""
        return HiddenFiles(self.folder / HIDDEN / str(number))

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


class StoredSignals(TeacherSignals):
    """One teacher's signals, read from the store's database: for a run's own process, on the host of the database."""

    def __init__(self, store: SignalStore, number: int, labels: tuple[str, ...], shape: ModelShape) -> None:
        super().__init__(labels, shape, store.hidden(number))
        self._store, self._number = store, number
        self._known: dict[bytes, Said] = {}

    def known(self, inputs: Sequence[Input]) -> list[Tensor | None]:
        """Logits ``[classes]`` of each input; None where the teacher was never asked about it."""
        keys = [input_key(value) for value in inputs]
        there = set(self._store._answers(self._number, list(dict.fromkeys(keys))))
        return [self.said([key])[0].logits if key in there else None for key in keys]

    def said(self, keys: Sequence[bytes]) -> list[Said]:
        """As :meth:`TeacherSignals.said`; read from disk once."""
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            for key, (logits, ids, pooled_at) in self._store._answers(self._number, new).items():
                numbers = torch.frombuffer(bytearray(ids), dtype=torch.int32).tolist() if ids else []
                if len(logits) != BYTES_A_NUMBER * self.shape.classes or not MEAN <= pooled_at <= max(
                    0, len(numbers) - 1
                ):
                    raise self._store.damaged("an answer of another size than the teacher's")
                self._known[key] = Said(_floats(logits), tuple(numbers), pooled_at)
            lacking = sum(key not in self._known for key in new)
            if lacking:
                raise CodrunError(
                    f"the store {self._store.folder} lacks the teacher's word on {lacking} inputs; "
                    "run the recipe again to make it"
                )
        return [self._known[key] for key in keys]


def _checksum(key: bytes, logits: bytes, ids: bytes, pooled_at: int) -> int:
    return zlib.crc32(b"".join((key, logits, ids, str(pooled_at).encode())))


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


def _floats(stored: bytes) -> Tensor:
    return torch.frombuffer(bytearray(stored), dtype=torch.float32)

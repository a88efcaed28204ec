"""Every outcome of a search, stored before it is used: an original is searched once per teacher and settings."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cod_runner.api import Attempt, Input, Mixture, input_as_json, input_from_json
from cod_runner.errors import CodrunError
from cod_runner.files import open_database
from cod_runner.store import content_key

VERSION = 3
"""Of the search and the stored format; raised when an older outcome would not be found again, or cannot be read."""

SCHEMA = """
create table if not exists outcomes (key text primary key, line text not null);
create table if not exists checked (key text primary key, crc integer not null);
create table if not exists shared (key text primary key, queries integer not null);
"""
"""``checked`` holds the CRC-32 of each line; those of earlier versions have none and are believed. ``shared`` holds how
many texts a search asked the teacher about for no original in particular."""


@dataclass(frozen=True)
class PairOutcome:
    """What the search found for one original: a line of ``counterfactuals.jsonl`` without the original's id."""

    original: Input
    counterfactual: Input | None
    """None where nothing flipped the teacher."""
    from_label: int
    """The class that was to be flipped."""
    target: int
    label: int | None
    """The teacher's class of the counterfactual."""
    teacher_before: tuple[float, ...]
    teacher_after: tuple[float, ...] | None
    verified: bool
    edits: float | None
    minimality: float | None
    """Edits over the original's words."""
    generator: str | None
    attempts: tuple[Attempt, ...] = ()
    """Every candidate, in the order of the search; ``reason`` is None for a flip."""
    asked: tuple[Input, ...] = ()
    """Texts about which a generator asked the teacher on its way, those that it proposed included."""
    gradients: int = 0
    """How many gradients of the original a generator asked for."""

    @property
    def queries(self) -> list[Input]:
        """Every distinct text that the teacher read in this search, the original first."""
        read = [attempt.input for attempt in self.attempts if attempt.probabilities is not None]
        return list(dict.fromkeys([self.original, *self.asked, *read]))

    @property
    def reasons(self) -> dict[str, int]:
        """Reject reasons and how often each occurred."""
        counts: dict[str, int] = {}
        for attempt in self.attempts:
            if attempt.reason is not None:
                counts[attempt.reason] = counts.get(attempt.reason, 0) + 1
        return counts

    @property
    def is_sound(self) -> bool:
        """Whether every field has its type, and every class is among those that the teacher spoke about."""
        labels = [self.from_label, self.target, *([] if self.label is None else [self.label])]
        spoken = [self.teacher_before, self.teacher_after, *(attempt.probabilities for attempt in self.attempts)]
        inputs = [self.original, *(attempt.input for attempt in self.attempts), *self.asked]
        numbers = [self.edits, self.minimality]
        numbers += [number for attempt in self.attempts for number in (attempt.edits, attempt.usd)]
        words = [self.generator, *(attempt.reason for attempt in self.attempts)]
        return (
            all(isinstance(said, tuple) and _are_numbers(said) for said in spoken if said is not None)
            and all(type(label) is int and 0 <= label < len(self.teacher_before) for label in labels)
            and all(len(said) == len(self.teacher_before) for said in spoken if said is not None)
            and all(map(_is_input, inputs))
            and _are_numbers(number for number in numbers if number is not None)
            and all(isinstance(word, str) for word in words if word is not None)
            and all(isinstance(attempt.generator, str) for attempt in self.attempts)
            and all(type(number) is int for attempt in self.attempts for number in (attempt.round, attempt.tier))
            and isinstance(self.verified, bool)
            and type(self.gradients) is int
            and (self._is_whole if self.counterfactual is not None else not self.verified)
        )

    @property
    def _is_whole(self) -> bool:
        """Whether all that is known of a counterfactual is here, and it is of the kind of its original."""
        known = (self.label, self.teacher_after, self.edits, self.generator)
        vectors = [isinstance(value, tuple) for value in (self.original, self.counterfactual)]
        return vectors[0] == vectors[1] and None not in known

    def as_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        line = asdict(self)
        return {
            **line,
            "original": input_as_json(self.original),
            "counterfactual": None if self.counterfactual is None else input_as_json(self.counterfactual),
            "asked": [input_as_json(each) for each in self.asked],
            "attempts": [
                {**spelled, "input": input_as_json(attempt.input)}
                for spelled, attempt in zip(line["attempts"], self.attempts, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> PairOutcome:
        """Read what ``as_json`` wrote; lists become tuples again."""
        attempts = tuple(
            Attempt(**{**attempt, "input": _input(attempt["input"]), "probabilities": _tuple(attempt["probabilities"])})
            for attempt in line["attempts"]
        )
        return cls(
            **{
                **line,
                "original": _input(line["original"]),
                "counterfactual": _input(line["counterfactual"]),
                "teacher_before": _tuple(line["teacher_before"]),
                "teacher_after": _tuple(line["teacher_after"]),
                "attempts": attempts,
                "asked": tuple(_input(each) for each in line["asked"]),
            }
        )


class OutcomeStore:
    """Outcomes in an SQLite file, safe for two runs at once; a kill loses nothing that was stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connected(SCHEMA):
            pass

    def find(self, keys: Iterable[str]) -> dict[str, PairOutcome]:
        """The outcomes that are stored, by key."""
        found = {}
        with self._connected() as connection:
            for key in keys:
                query = "select line, crc from outcomes left join checked using (key) where key = ?"
                row = connection.execute(query, (key,)).fetchone()
                if row is not None:
                    found[key] = self._read(*row)
        return found

    def add(self, outcomes: Mapping[str, PairOutcome]) -> None:
        """Store outcomes, all or none; a key that has one already stays as it is."""
        if not outcomes:
            return
        with self._connected() as connection:
            for key, outcome in outcomes.items():
                line = json.dumps(outcome.as_json())
                if connection.execute("insert or ignore into outcomes values (?, ?)", (key, line)).rowcount:
                    connection.execute("insert or replace into checked values (?, ?)", (key, _checksum(line)))

    def shared(self, key: str) -> int:
        """How many texts the search ``key`` has asked the teacher about for no original in particular."""
        with self._connected() as connection:
            row = connection.execute("select queries from shared where key = ?", (key,)).fetchone()
        return int(row[0]) if row is not None else 0

    def share(self, key: str, queries: int) -> None:
        """Note such texts; the largest number stays, since every part of a search asks about the same."""
        with self._connected() as connection:
            larger = "on conflict (key) do update set queries = max(queries, excluded.queries)"
            connection.execute(f"insert into shared values (?, ?) {larger}", (key, queries))

    def _read(self, line: Any, crc: int | None) -> PairOutcome:
        try:
            if crc is not None and crc != _checksum(line):
                raise ValueError("it was changed")
            outcome = PairOutcome.from_json(json.loads(line))
            if not outcome.is_sound:
                raise ValueError("a field of it is damaged")
            return outcome
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CodrunError(
                f"a stored counterfactual in {self._path} is damaged ({type(error).__name__}); delete them with "
                "`codrun store prune pairs`: they are then searched again, and answers that were paid for are not "
                "asked for again"
            ) from error

    @contextmanager
    def _connected(self, schema: str = "") -> Iterator[sqlite3.Connection]:
        try:
            with closing(open_database(self._path, schema)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise CodrunError(
                f"the stored counterfactuals in {self._path} cannot be used ({error}); free its disk or lock, or "
                "delete them with `codrun store prune pairs`: they are then searched again"
            ) from error


def outcome_key(fingerprint: str, search: Any, value: Input, label: int, target: int) -> str:
    """What decides an outcome: the teacher, the search's settings, the original, the two classes. Nothing else."""
    spelled = list(map(float, value)) if isinstance(value, tuple) else input_as_json(value)
    return content_key(
        {
            "version": VERSION,
            "teacher": fingerprint,
            "search": search,
            "input": spelled,
            "label": label,
            "target": target,
        }
    )


def _checksum(line: str) -> int:
    return zlib.crc32(line.encode())


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _is_input(value: Any) -> bool:
    return isinstance(value, str | Mixture) or (isinstance(value, tuple) and _are_numbers(value))


def _tuple(value: list[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(value)


def _input(value: Any) -> Any:
    return None if value is None else input_from_json(value)

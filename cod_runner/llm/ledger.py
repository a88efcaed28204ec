"""The ledger: every answer of a paid model, written before it is used, so that none is ever paid for twice.

One SQLite file in WAL mode, shared by all runs on a machine. A process that needs an answer first *claims* its key,
so that concurrent runs make one call. A claim is valid as long as its owner holds the operating system's lock on its
owner file; ``kill -9`` releases that lock, so no claim outlives its process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from cod_runner.errors import CodrunError
from cod_runner.files import (
    announce,
    file_written_whole,
    is_held,
    is_locked,
    leave_wal,
    lock,
    open_database,
    removed_if_unheld,
    sweep,
    when_free,
)
from cod_runner.llm.budget import Spent
from cod_runner.llm.requests import UNREADABLE, LLMAnswer, LLMRequest, lines_of, read_line
from cod_runner.llm.scores import as_line, from_json, valid_unicode

SCHEMA_VERSION = 2
"""1: without ``scores``."""
KEYS_PER_QUERY = 500
FILE = "llm.sqlite"
FORMER_FILE = "answers/llm.sqlite"
"""Where earlier versions put a store's ledger."""
SECONDS_BETWEEN_SYNCS = 0.5
"""A kill loses no recorded answer; a power cut loses at most this many seconds of answers."""

TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, provider TEXT NOT NULL, model TEXT NOT NULL, base TEXT NOT NULL, question TEXT NOT NULL,
    text TEXT NOT NULL, finish TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    usd REAL, created TEXT NOT NULL, run TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spending (
    run TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT NOT NULL, tokens INTEGER NOT NULL, usd REAL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spending_of_a_run ON spending (run);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL, tokens INTEGER NOT NULL, usd REAL);
"""


ANSWER = "answers.key, text, finish, tokens_in, tokens_out, usd, line"
WITH_SCORES = "answers LEFT JOIN scores ON scores.key = answers.key"


class Ledger:
    """One ledger file. Safe to use from several threads of a process and several processes of a machine."""

    @classmethod
    def of_store(cls, root: Path, run: str = "") -> Ledger:
        """The store's ledger; if an earlier version put it elsewhere in the store, it is moved first."""
        path, former = root / FILE, root / FORMER_FILE
        if former.exists():
            with lock(root / f"{FILE}.move.lock"):
                if former.exists() and not path.exists():
                    _move(former, path)
        return cls(path, run)

    def __init__(self, path: Path, run: str = "") -> None:
        self.path = path
        self.run = run
        self._guard = threading.RLock()
        self._synced = 0.0
        self._owner = uuid.uuid4().hex
        self._owner_lock: filelock.BaseFileLock | None = None
        self._owners = path.with_name(f"{path.name}.owners")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = open_database(path, autocommit=True, any_thread=True)
            try:
                when_free(self._prepare)
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise CodrunError(
                f"the ledger {path} cannot be opened ({error}); if it is damaged, move it away and import an export"
            ) from error

    def close(self) -> None:
        """Release this ledger's claims and its file."""
        with self._guard:
            if self._owner_lock is not None:
                with self._transaction() as connection:
                    connection.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
                _leave(self._owner_lock, self._owner_file(self._owner))
                self._owner_lock = None
            self._connection.close()

    # --- asking -----------------------------------------------------------------------------------------------

    def answers(self, keys: Sequence[str]) -> dict[str, LLMAnswer]:
        """The answers that the ledger has, by key."""
        found: dict[str, LLMAnswer] = {}
        with self._guard:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                part = keys[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT {ANSWER} FROM {WITH_SCORES} WHERE answers.key IN ({marks})"
                with self._reading():
                    rows = self._connection.execute(query, part).fetchall()
                found.update({row[0]: self._answer(*row) for row in rows})
        return found

    def knows(self, model: str) -> bool:
        """Whether the ledger has any answer of this model."""
        with self._guard, self._reading():
            return (
                self._connection.execute("SELECT 1 FROM answers WHERE model = ? LIMIT 1", (model,)).fetchone()
                is not None
            )

    def claim(self, key: str, tokens: int, usd: float | None) -> LLMAnswer | bool:
        """The answer if the ledger has it; else True if the call is now ours to make (of at most ``tokens`` and
        ``usd``), False if another live process is making it."""
        with self._guard:
            self._announce()
            with self._transaction() as connection:
                known = self.answers([key])
                if known:
                    return known[key]
                holder = connection.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
                if holder is not None and self._is_alive(holder[0]):
                    return False
                if holder is not None:
                    self._bury(connection, holder[0])
                connection.execute(
                    "INSERT INTO claims (key, owner, run, tokens, usd) VALUES (?, ?, ?, ?, ?)",
                    (key, self._owner, self.run, tokens, usd),
                )
                return True

    def record(self, request: LLMRequest, answer: LLMAnswer) -> None:
        """Write an answer with its log-probabilities, what it cost this run, and the end of the claim, all or nothing.

        At most every half second this waits for the disk, for all earlier answers too; see :meth:`sync`.
        """
        now = _now()
        with self._guard:
            waits = time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS
            if waits:
                with self._reading():
                    self._connection.execute("PRAGMA synchronous = FULL")
            answer = answer.within_bounds
            try:
                with self._transaction() as connection:
                    self._insert(connection, request, answer, now, self.run)
                    self._note(connection, request.key, "answered", answer.tokens_in + answer.tokens_out, answer.usd)
                    connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (request.key, self._owner))
            finally:
                if waits:
                    self._connection.execute("PRAGMA synchronous = NORMAL")
                    self._synced = time.monotonic()

    def sync(self) -> None:
        """Wait until every answer recorded so far is safe from a power cut too."""
        with self._guard, self._reading():
            when_free(lambda: self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    def unanswered(self, key: str, tokens: int, usd: float | None) -> None:
        """Count a call that was sent and not answered (a time-out, for instance): the provider may bill it."""
        with self._transaction() as connection:
            self._note(connection, key, "unanswered", tokens, usd)

    def give_up(self, key: str) -> None:
        """End the claim without an answer, so that anyone may try again."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner))

    def spent(self) -> Spent:
        """What this ledger's run has paid for, including calls that a killed process had in flight."""
        with self._transaction() as connection:
            owners = connection.execute("SELECT DISTINCT owner FROM claims WHERE run = ?", (self.run,)).fetchall()
            for (owner,) in owners:
                if not self._is_alive(owner):
                    self._bury(connection, owner)
            row = connection.execute(
                "SELECT COUNT(*), COALESCE(SUM(tokens), 0), COALESCE(SUM(usd), 0.0), COALESCE(SUM(usd IS NULL), 0) "
                "FROM spending WHERE run = ?",
                (self.run,),
            ).fetchone()
        return Spent(*row)

    # --- sharing ----------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every answer with its request, oldest first, as JSON-able mappings."""
        query = f"SELECT {ANSWER}, question, created FROM {WITH_SCORES} ORDER BY created, answers.rowid"
        with self._guard, self._reading():
            for *columns, request, created in self._connection.execute(query):
                key, answer = columns[0], self._answer(*columns)
                try:
                    asked = json.loads(request)
                    if LLMRequest.from_json(asked).key != key:
                        raise ValueError("its key is another one")
                except UNREADABLE as error:
                    raise self._damaged(f"the request of the answer {key} was changed") from error
                scores = {"scores": answer.scores, "prompt_scores": answer.prompt_scores}
                yield {
                    "key": key,
                    **asked,
                    "text": answer.text,
                    "finish": answer.finish,
                    "tokens_in": answer.tokens_in,
                    "tokens_out": answer.tokens_out,
                    "usd": answer.usd,
                    "created": created if isinstance(created, str) else "",
                    **{name: value for name, value in scores.items() if value is not None},
                }

    def export(self, path: Path) -> int:
        """Write every answer as one JSON line, all or nothing; returns how many."""
        count = 0
        sweep(path.parent)
        with file_written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in self.rows():
                file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        return count

    def import_(self, path: Path) -> tuple[int, int]:
        """Add an export, all or nothing: (answers added, answers already present).

        Keys are computed from the requests, not read, so an edited file cannot answer a request that it does not show.
        """
        read = [read_line(path, number, line) for number, line in lines_of(path)]
        added = 0
        with self._transaction() as connection:
            for request, answer, created in read:
                added += self._insert(connection, request, answer, created, run="")
        return added, len(read) - added

    # --- inside -----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise CodrunError(f"the ledger {self.path} was written by a newer codrun; upgrade this one")
        if version < SCHEMA_VERSION:
            with self._transaction() as connection:
                for statement in TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _answer(
        self, key: str, text: Any, finish: Any, tokens_in: Any, tokens_out: Any, usd: Any, line: Any
    ) -> LLMAnswer:
        """A row as an answer: numbers that an earlier version let in are brought within bounds, damage is refused."""
        if not isinstance(text, str) or not isinstance(finish, str):
            raise self._damaged("an answer's text is not text")
        counted = [number if isinstance(number, int | float) else 0 for number in (tokens_in, tokens_out)]
        price = usd if isinstance(usd, int | float) else None
        tokens: tuple[Any, Any] = (counted[0], counted[1])
        try:
            scores = (None, None) if line is None else from_json(json.loads(line))
        except UNREADABLE as error:
            raise self._damaged(f"the log-probabilities of the answer {key} were changed") from error
        return LLMAnswer(text, finish, *tokens, price, *scores).within_bounds

    def _damaged(self, why: object) -> CodrunError:
        return CodrunError(
            f"the ledger {self.path} is damaged ({why}); move it away and import an export, or rescue what it holds "
            f"with `sqlite3 {self.path.name} .recover`"
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if is_locked(error):
                raise CodrunError(f"the ledger {self.path} is in use by another process; repeat the command") from error
            raise self._damaged(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard:
            try:
                when_free(lambda: self._connection.execute("BEGIN IMMEDIATE"))
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:  # SQLite itself ends one that found the disk full
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise self._damaged(error) from error
                raise CodrunError(
                    f"the ledger {self.path} cannot be written ({error}); free its disk or lock and repeat the command"
                ) from error

    def _insert(
        self, connection: sqlite3.Connection, request: LLMRequest, answer: LLMAnswer, created: str, run: str
    ) -> int:
        cursor = connection.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.key, request.provider, request.model, request.base, request.as_json(),
                # SQLite stores only valid Unicode, and a model's answer may contain half of a surrogate pair
                valid_unicode(answer.text), valid_unicode(answer.finish),
                answer.tokens_in, answer.tokens_out, answer.usd, created, run,
            ),
        )  # fmt: skip
        if cursor.rowcount and (answer.scores is not None or answer.prompt_scores is not None):
            line = as_line(answer.scores, answer.prompt_scores)
            connection.execute("INSERT OR REPLACE INTO scores VALUES (?, ?)", (request.key, line))
        return cursor.rowcount

    def _note(self, connection: sqlite3.Connection, key: str, outcome: str, tokens: int, usd: float | None) -> None:
        connection.execute(
            "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?)", (self.run, key, outcome, tokens, usd, _now())
        )

    def _announce(self) -> None:
        """Show that this owner is alive, before its first claim."""
        if self._owner_lock is None:
            try:
                self._owners.mkdir(exist_ok=True)
                for file in self._owners.glob("*.lock"):
                    removed_if_unheld(file)
                while self._owner_lock is None:  # another owner may sweep it between making and locking it
                    self._owner_lock = announce(self._owner_file(self._owner))
            except OSError as error:
                raise CodrunError(
                    f"the ledger {self.path} cannot be written ({error.strerror or error}: {self._owners}); free its "
                    "disk or mend its permissions and repeat the command"
                ) from error
            weakref.finalize(self, _leave, self._owner_lock, self._owner_file(self._owner))

    def _owner_file(self, owner: str) -> Path:
        return self._owners / f"{owner}.lock"

    def _is_alive(self, owner: str) -> bool:
        return owner == self._owner or is_held(self._owner_file(owner))

    def _bury(self, connection: sqlite3.Connection, owner: str) -> None:
        """Count a dead owner's calls in flight as spent by their runs, and free their keys."""
        connection.execute(
            "INSERT INTO spending SELECT run, key, 'lost', tokens, usd, ? FROM claims WHERE owner = ?", (_now(), owner)
        )
        connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
        self._owner_file(owner).unlink(missing_ok=True)


def _move(former: Path, path: Path) -> None:
    """Move a ledger that nobody has open, with the contents of its write-ahead log."""
    try:
        leave_wal(former)
        former.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise CodrunError(
            f"the paid answers in {former} cannot be moved to {path} ({error}); wait until every "
            "other codrun has ended and run again"
        ) from error


def _leave(lock: filelock.BaseFileLock, file: Path) -> None:
    lock.release()
    file.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""The store's folder: what it lists and deletes, and which processes use it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import platformdirs

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import announce, is_held, is_locked, leave_wal, lock, removed_if_unheld, sweep
from cod_runner.signal_tables import Answers, answers_by_teacher
from cod_runner.store.entries import (
    DATABASES,
    KEY,
    AnswersEntry,
    StoreEntry,
    delete,
    entries_at_the_top,
    entries_of,
    parts_of,
    written_into,
)
from cod_runner.store.uses import FOLDER, Uses


def content_key(data: Any) -> str:
    """A name for JSON-able data: 32 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Store:
    """``$CODRUN_HOME``, or the platform's cache folder: teachers, converted models, signals, verdicts, model answers.

    Raises :class:`RecipeError` if ``CODRUN_HOME`` begins with the home folder of a user that there is not.
    """

    def __init__(self, root: Path | None = None) -> None:
        home = os.environ.get("CODRUN_HOME")
        try:
            self.root = root or Path(home or platformdirs.user_cache_dir("codrun")).expanduser().absolute()
        except RuntimeError as error:
            raise RecipeError(f"CODRUN_HOME={home} names no folder ({error}); write the path out") from error

    def folder(self, name: str) -> Path:
        """The sub-folder ``name``, made if it is missing."""
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CodrunError(
                f"the store {self.root} cannot be written ({error.strerror}); set CODRUN_HOME to a folder that can"
            ) from error
        return path

    @property
    def teachers(self) -> Path:
        return self.folder("teachers")

    @property
    def signals(self) -> Path:
        return self.folder("signals")

    @contextmanager
    def in_use(self, by: str) -> Iterator[None]:
        """Keep :meth:`prune` away while the block runs; ``by`` says who uses the store, as in "the run runs/x".

        Removes first what killed processes left half-written.
        """
        file = self.folder(".users") / f"{uuid.uuid4().hex}.lock"
        with ExitStack() as held:
            held.callback(_forget, file)
            try:
                with self._gate():
                    self._forget_dead_users()
                    for owner in self.root.glob("llm.sqlite.owners/*.lock"):
                        removed_if_unheld(owner)
                    sweep(self.root / "teachers", KEY)
                    for folder in written_into(self.root):
                        sweep(folder)
                    while (mine := announce(file)) is None:
                        continue
                    held.callback(mine.release)
                    file.with_suffix(".txt").write_text(f"{by} (process {os.getpid()})", encoding="utf-8")
            except OSError as error:
                raise CodrunError(
                    f"the store {self.root} cannot be written ({error.strerror or error}); free its disk, or set "
                    "CODRUN_HOME to a folder that can"
                ) from error
            yield

    def entries(self) -> list[StoreEntry]:
        """What codrun keeps here, the largest first; of all else in the folder nothing is known and nothing is listed.

        Raises :class:`RecipeError` for a folder that holds something, but nothing of ours.
        """
        if not self.root.exists():
            return []
        found = [entry for entry in entries_of(self.root) if entry.paths]
        if not found and not (self.root / ".users").is_dir() and any(self.root.iterdir()):
            raise RecipeError(
                f"{self.root} is not a store of codrun: nothing in it was written by codrun, and nothing was "
                "changed; set CODRUN_HOME to the store's folder"
            )
        return sorted(found, key=lambda entry: -entry.bytes)

    def others(self) -> list[str]:
        """Names in the folder that are not ours."""
        at_the_top = entries_at_the_top(self.root)
        ours = {path.relative_to(self.root).parts[0] for entry in at_the_top for path in entry.paths}
        ours |= {".users", ".lock", "teachers", "signals", "pairs", "losses", "embeddings", "recipes", "models", FOLDER}
        ours |= {"llm.sqlite.move.lock"}
        return sorted(path.name for path in self.root.iterdir() if path.name not in ours)

    def entry(self, name: str) -> StoreEntry:
        """The entry of this name, or a part of one; raises :class:`RecipeError` for an unknown name."""
        return self._named(name)[0]

    def _named(self, *names: str) -> list[StoreEntry]:
        """:meth:`entry` of several names; the store is listed once for all of them."""
        parts = parts_of(self.root) if any("/" in name for name in names) else ()
        found: dict[str, StoreEntry] = {}
        for entry in (*self.entries(), *parts):
            found.setdefault(entry.name, entry)
        for name in names:
            if name not in found:
                raise RecipeError(
                    f"the store {self.root} holds nothing named `{name}`; `codrun store list` shows what it holds"
                )
        return [found[name] for name in names]

    def unused(self, days: float) -> list[StoreEntry]:
        """What no run needed for so many days and any run can make again, the largest first.

        These are teachers, checkpoints of teachers, converted models, one teacher's answers, one cell's fitted losses,
        one model's embeddings, what was set aside as damaged, and what a kill left half-written. Answers that were
        paid for, and the verdicts that stand on them, go only by name. Of what an earlier version made the days count
        from the day on which it was written; of the answers of its teachers from the first time that this is asked.
        """
        before = self.uses.now - timedelta(days=days)
        found = []
        for entry in (*self.entries(), *parts_of(self.root)):
            if isinstance(entry, AnswersEntry) and self.uses.of(entry.name) is None:
                self.uses.begin(entry.name)
            elif entry.name == "leftovers" or ("/" in entry.name and self.last_used(entry) < before):
                found.append(entry)
        return sorted((entry for entry in found if entry.name not in DATABASES), key=lambda entry: -entry.bytes)

    def last_used(self, entry: StoreEntry) -> datetime:
        """When a run needed it last; of what has no note of that, when it was written or read."""
        use = self.uses.of(entry.name)
        return entry.changed if use is None else use.used

    def answers(self) -> list[Answers]:
        """How many answers of which teachers the signals hold; nothing where they cannot be read."""
        return answers_by_teacher(self.root / "signals")

    @property
    def uses(self) -> Uses:
        return Uses(self.root)

    def prune(self, *names: str) -> int:
        """Delete entries, or parts of them, and return the bytes they took.

        Raises :class:`CodrunError` for an unknown name, and while anybody uses one of them.
        """
        self._named(*names)
        freed = 0
        with self._gate():
            self._refuse_if_used(names[0], self._forget_dead_users())
            for entry in self._named(*names):
                freed += self._prune(entry)
        return freed

    def _prune(self, entry: StoreEntry) -> int:
        name = entry.name
        with ExitStack() as held:
            if name.startswith("teachers/"):
                busy = f"{name} is in use: another codrun makes or reads this teacher; wait until it has ended"
                key = name.removeprefix("teachers/").partition(".")[0]
                held.enter_context(lock(self.root / "teachers" / f".{key}.lock", wait=False, busy=busy))
            for path in entry.paths:
                if path.name.endswith(".sqlite"):
                    self._refuse_if_open(name, path)
            try:
                freed = delete(entry, self.root)
            except (OSError, sqlite3.Error) as error:
                what, why = getattr(error, "filename", None) or name, getattr(error, "strerror", None) or error
                raise CodrunError(
                    f"{what} cannot be deleted ({why}); mend its permissions and prune {name} again"
                ) from error
            self.uses.forget(name)
        return freed

    def _gate(self) -> Any:
        """Held for a moment by a process that begins to use the store, and by one that deletes from it."""
        return lock(self.root / ".lock")

    def _forget_dead_users(self) -> list[str]:
        """Who uses the store now; behind the gate, since the file of one that begins looks like that of a dead one."""
        living = []
        for file in sorted((self.root / ".users").glob("*.lock")):
            if is_held(file):
                with suppress(OSError):
                    living.append(file.with_suffix(".txt").read_text(encoding="utf-8", errors="replace"))
            else:
                _forget(file)
        return living

    def _refuse_if_used(self, name: str, users: list[str]) -> None:
        if users:
            raise CodrunError(
                f"{name} stays: {users[0]} uses the store {self.root}; wait until it has ended, then prune again"
            )

    def _refuse_if_open(self, name: str, path: Path) -> None:
        """Refuse a database that somebody has open, or whose paid calls are under way; one that is damaged may go."""
        opened = any(map(is_held, path.with_name(f"{path.name}.owners").glob("*.lock")))
        try:
            leave_wal(path)
        except sqlite3.Error as error:
            opened |= is_locked(error)
        if opened:
            raise CodrunError(
                f"{name} stays: another process has {path} open; wait until it has ended, then prune again"
            )


def _forget(user: Path) -> None:
    """Remove the lock file of a user of the store, and what it says."""
    for path in (user.with_suffix(".txt"), user):  # in this order: what a kill leaves is found by the lock
        with suppress(OSError):
            path.unlink(missing_ok=True)

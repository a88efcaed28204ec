"""The store: what is worth keeping between runs, keyed by content; which files are ours; which processes use it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from cod_runner.errors import CodrunError
from cod_runner.files import TEMPORARY, abandoned, announce, is_held, is_locked, leave_wal, lock, sweep

KEY = "[0-9a-f]{32}"
"""A :func:`content_key`, the name of a kept teacher and of what a cell's losses fitted."""
DATABASES = {"llm.sqlite": "llm.sqlite", "answers/llm.sqlite": "answers/llm.sqlite", "pairs": "pairs/pairs.sqlite"}
"""Entry to file; the second is where earlier versions put the paid answers."""
BESIDE_A_DATABASE = ("-wal", "-shm", "-journal", ".move.lock")


def content_key(data: Any) -> str:
    """A name for JSON-able data: 32 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Store:
    """``$CODRUN_HOME``, or the platform's cache folder: teachers, converted models, signals, verdicts, model answers.

    Raises :class:`CodrunError` if ``CODRUN_HOME`` begins with the home folder of a user that there is not.
    """

    def __init__(self, root: Path | None = None) -> None:
        home = os.environ.get("CODRUN_HOME")
        try:
            self.root = root or Path(home or platformdirs.user_cache_dir("codrun")).expanduser().absolute()
        except RuntimeError as error:
            raise CodrunError(f"CODRUN_HOME={home} names no folder ({error}); write the path out") from error

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
                    sweep(self.root / "teachers", KEY)
                    for folder in self._written_into():
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

        Raises :class:`CodrunError` for a folder that holds something, but nothing of ours.
        """
        if not self.root.exists():
            return []
        found = [entry for entry in self._candidates() if entry.paths]
        if not found and not (self.root / ".users").is_dir() and any(self.root.iterdir()):
            raise CodrunError(
                f"{self.root} is not a store of codrun: nothing in it was written by codrun, and nothing was "
                "changed; set CODRUN_HOME to the store's folder"
            )
        return sorted(found, key=lambda entry: -entry.bytes)

    def others(self) -> list[str]:
        """Names in the folder that are not ours."""
        ours = {path.relative_to(self.root).parts[0] for entry in self._candidates() for path in entry.paths}
        ours |= {".users", ".lock", "teachers", "signals", "pairs", "losses", "embeddings", "recipes", "models"}
        ours |= {"llm.sqlite.move.lock"}
        return sorted(path.name for path in self.root.iterdir() if path.name not in ours)

    def entry(self, name: str) -> StoreEntry:
        """The entry of this name; raises :class:`CodrunError` for an unknown name."""
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise CodrunError(
            f"the store {self.root} holds nothing named `{name}`; `codrun store list` shows what it holds"
        )

    def prune(self, name: str) -> int:
        """Delete one entry and return the bytes it took.

        Raises :class:`CodrunError` for an unknown name, and while anybody uses the entry.
        """
        self.entry(name)
        with ExitStack() as held:
            held.enter_context(self._gate())
            entry = self.entry(name)
            self._refuse_if_used(name, self._forget_dead_users())
            if name.startswith("teachers/"):
                busy = f"{name} is in use: another codrun makes or reads this teacher; wait until it has ended"
                key = name.removeprefix("teachers/").partition(".")[0]
                held.enter_context(lock(self.root / "teachers" / f".{key}.lock", wait=False, busy=busy))
            for path in entry.paths:
                if path.name.endswith(".sqlite"):
                    self._refuse_if_open(name, path)
            freed = entry.bytes
            try:
                _delete(entry.paths, self.root)
            except OSError as error:
                raise CodrunError(
                    f"{error.filename or name} cannot be deleted ({error.strerror}); mend its permissions and prune "
                    f"{name} again"
                ) from error
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

    def _candidates(self) -> Iterator[StoreEntry]:
        """Every shape that codrun writes, in the order in which its paths are to be deleted, here or not."""
        for name, place in DATABASES.items():
            yield StoreEntry(name, tuple(_database(self.root / place)))
        signals = _database(self.root / "signals" / "signals.sqlite")
        # the hidden states first: they are numbered by the database, and must not outlive it
        hidden = _matching(self.root / "signals", rf"hidden/\d+/[0-9a-f]{{2}}/{KEY}\.safetensors") if signals else []
        yield StoreEntry("signals", (*hidden, *signals))
        yield StoreEntry("losses", tuple(_matching(self.root / "losses", rf"{KEY}/[^/]+\.safetensors")))
        yield StoreEntry("embeddings", tuple(_matching(self.root / "embeddings", rf"{KEY}\.safetensors")))
        yield StoreEntry("recipes", tuple(_matching(self.root / "recipes", "[0-9a-f]{64}")))
        teachers = self.root / "teachers"
        for path in sorted(teachers.iterdir()) if teachers.is_dir() else []:
            if path.is_symlink() or not path.is_dir():
                continue
            if re.fullmatch(rf"{KEY}\.damaged-\d+", path.name):
                yield StoreEntry(f"teachers/{path.name}", (path,))
            elif re.fullmatch(KEY, path.name) and (path / "teacher.json").is_file():
                yield StoreEntry(f"teachers/{path.name}", (path / "teacher.json", path))
        models = self.root / "models"
        for path in sorted(models.iterdir()) if models.is_dir() else []:
            if re.fullmatch(KEY, path.name) and (path / "config.json").is_file() and not path.is_symlink():
                yield StoreEntry(f"models/{path.name}", (path / "config.json", path))
        yield StoreEntry("leftovers", tuple(self._leftovers()))

    def _leftovers(self) -> Iterator[Path]:
        """What killed processes left half-written, in the shape of this version and of earlier ones."""
        yield from abandoned(self.root / "teachers", KEY)
        for folder in self._written_into():
            yield from abandoned(folder)
        for name, former in (("losses/*", r".+\.safetensors"), ("signals/hidden/*/*", rf"{KEY}\.safetensors")):
            for folder in sorted(self.root.glob(name)):
                yield from (path for path in abandoned(folder, former) if not path.name.startswith(TEMPORARY))

    def _written_into(self) -> list[Path]:
        """The folders, but that of the teachers, in which something may lie half-written."""
        found = [*self.root.glob("*"), *self.root.glob("losses/*")]
        return sorted(path for path in found if path.is_dir() and path.name != "teachers")


@dataclass(frozen=True)
class StoreEntry:
    """One thing that is stored."""

    name: str
    paths: tuple[Path, ...]
    """Files, and folders of which everything goes, in the order in which they are deleted."""

    @property
    def files(self) -> list[Path]:
        """Every file that goes."""
        found: dict[Path, None] = {}
        for path in self.paths:
            inside = [path] if path.is_symlink() or not path.is_dir() else sorted(path.rglob("*"))
            found.update({each: None for each in inside if each.is_symlink() or not each.is_dir()})
        return list(found)

    @property
    def bytes(self) -> int:
        return sum(map(_size, self.files))


def _forget(user: Path) -> None:
    """Remove the lock file of a user of the store, and what it says."""
    for path in (user, user.with_suffix(".txt")):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _database(path: Path) -> list[Path]:
    """An SQLite file with its logs and locks, itself last: a log must not outlive the file and meet a new one."""
    if path.is_symlink() or not path.is_file():
        return []
    owners = _matching(path.with_name(f"{path.name}.owners"), rf"{KEY}\.lock")
    beside = [path.with_name(path.name + suffix) for suffix in BESIDE_A_DATABASE]
    return [*owners, *(each for each in beside if each.is_file()), path]


def _matching(folder: Path, pattern: str) -> list[Path]:
    """The files below ``folder`` whose relative path has this shape."""
    depth = pattern.count("/") - pattern.count("[^/]")
    found = folder.glob("/".join(["*"] * (depth + 1)))
    return sorted(
        path
        for path in found
        if re.fullmatch(pattern, path.relative_to(folder).as_posix()) and path.is_file() and not path.is_symlink()
    )


def _delete(paths: Iterable[Path], root: Path) -> None:
    """Delete files and folders, and the folders around them that are empty then."""
    paths = list(paths)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    around = {parent for path in paths for parent in path.parents if root in parent.parents}
    for folder in sorted(around, key=lambda each: -len(each.parts)):
        with suppress(OSError):
            folder.rmdir()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size
    return 0

"""Files written whole or not at all, locks that a kill releases, SQLite databases that many processes open."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from cod_runner.errors import CodrunError

SECONDS_TO_WAIT = 60.0
"""For another process's transaction, each of which takes milliseconds."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; computed once per process for each state of the file. Raises :class:`OSError`."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step and wait until it is on disk."""
    with file_written_whole(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def file_written_whole(path: Path) -> Iterator[Path]:
    """Fill the file that is yielded; it replaces ``path`` in one step if the block ends well, else it is removed.

    A reader, or a kill, sees the old file or the new one. Does not wait for the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Fill the folder that is yielded; it becomes ``path`` if the block ends well, and is removed if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def lock(path: Path, *, wait: bool = True, busy: str = "") -> Iterator[None]:
    """Hold the operating system's lock on ``path``; with ``wait=False`` raise ``CodrunError(busy)`` if it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(path, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except filelock.Timeout as error:
        raise CodrunError(busy or f"{path} is in use by another codrun; wait until it has ended") from error
    try:
        yield
    finally:
        held.release()


def open_database(path: Path, *, autocommit: bool = False, any_thread: bool = False) -> sqlite3.Connection:
    """Open an SQLite file, new or not, in write-ahead logging, in which readers wait for nobody.

    Statements wait up to :data:`SECONDS_TO_WAIT` for another process. SQLite itself answers "locked" at once, whatever
    the time-out, when two processes switch a new file to this mode together; so that is tried again here. With
    ``autocommit`` each statement is its own transaction unless ``BEGIN`` says otherwise; with ``any_thread`` the
    caller sees to it that no two threads use the connection at once. Raises :class:`sqlite3.Error`.
    """
    connection = sqlite3.connect(
        path,
        timeout=SECONDS_TO_WAIT,
        isolation_level=None if autocommit else "DEFERRED",
        check_same_thread=not any_thread,
    )
    deadline = time.monotonic() + SECONDS_TO_WAIT
    try:
        while True:
            try:
                connection.execute("pragma journal_mode = wal")
                # Enough for what a kill may not lose; what a power cut may not lose either asks for more.
                connection.execute("pragma synchronous = normal")
                return connection
            except sqlite3.OperationalError as error:
                held = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not held or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    except BaseException:
        connection.close()
        raise

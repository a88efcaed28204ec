"""Files written whole or not at all, locks that a kill releases, SQLite databases that many processes open."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import filelock

from cod_runner.errors import CodrunError
from cod_runner.network_disk import is_on_network

SECONDS_TO_WAIT = 60.0
"""For another process's transaction, each of which takes milliseconds."""
SECONDS_BETWEEN_CALLS = 0.5
SECONDS_UNTIL_DEAD = 86_400.0
TEMPORARY = ".codrun-partial-"
"""How the name of a folder begins that holds what is being written, and a lock as long as its maker lives."""
Result = TypeVar("Result")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; computed once per process for each state of the file. Raises :class:`OSError`."""
    state = path.stat()
    return _digest(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: str | bytes, *, within: Path | None = None) -> None:
    """Replace ``path`` by ``content`` in one step and wait until it is on disk; ``within`` is as of
    :func:`file_written_whole`."""
    with file_written_whole(path, within=within) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def append_line(path: Path, line: str) -> None:
    """Append a line by one write, in a folder that is made if need be. What a kill left of the line before it stays a
    line of its own, so that readers lose that one alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = f"\n{line}"
        file.write(f"{line}\n".encode())


def touch(path: Path) -> None:
    """Note in a file's time that it was used now; on a disk that cannot be written, leave it."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def file_written_whole(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """Make the file that is yielded; it replaces ``path`` in one step if the block ends well, else it is removed.

    A reader, or a kill, sees the old file or the new one. Does not wait for the disk. What a kill leaves lies in the
    folder ``within`` on the same disk, by default that of ``path``, until :func:`sweep` finds it. What the operating
    system refuses, also in the block, becomes a :class:`CodrunError` that names ``path``.
    """
    with _writing(path), temporary_folder(within or path.parent) as folder:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder / path.name
        yield temporary
        temporary.replace(path)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Fill the folder that is yielded; it becomes ``path`` if the block ends well, and is removed if not.

    Of two processes that write the same folder at once, one writes it last. Errors and what a kill leaves are as of
    :func:`file_written_whole`.
    """
    with _writing(path), temporary_folder(path.parent) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        while True:
            try:
                temporary.rename(path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            with suppress(FileNotFoundError):  # another process has moved it out, or writes it too
                _move_out(path)


def _move_out(path: Path) -> None:
    """Let a folder vanish in one step, so that a kill leaves it whole or not at all. Raises :class:`OSError`."""
    with temporary_folder(path.parent) as folder:
        path.rename(folder / path.name)


def remove_whole(path: Path) -> None:
    """Remove a folder so that it is there whole or not at all; what a kill leaves of it :func:`sweep` finds.

    Of a link, the link. Raises :class:`CodrunError` where the system refuses.
    """
    try:
        _move_out(path)
    except OSError as error:
        raise CodrunError(f"{path} cannot be removed ({error.strerror}); mend its permissions") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except CodrunError:
        raise
    except Exception as error:
        why = _told_by_the_system(error)
        if why is None:
            raise
        named = Path(*(part for part in path.parts if not part.startswith(TEMPORARY)))
        raise CodrunError(
            f"{named} cannot be written ({why}); free its disk or mend its permissions and repeat "
            "the command: nothing that is finished is lost"
        ) from error


def _told_by_the_system(error: Exception) -> str | None:
    """The operating system's words for a full disk or the like; None for any other fault.

    Libraries written in Rust (safetensors, tokenizers) give its number at the end of a message of their own.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else None


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end; its lock shows :func:`sweep` that its maker lives."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, held = _locked_folder(parent)
    while held is None:  # swept before it was locked
        shutil.rmtree(folder, ignore_errors=True)
        folder, held = _locked_folder(parent)
    try:
        yield folder
    finally:
        held.release()
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(parent: Path) -> tuple[Path, filelock.BaseFileLock | None]:
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=TEMPORARY))
    return folder, announce(folder / "lock")


def announce(path: Path) -> filelock.BaseFileLock | None:
    """Make and lock a file by which :func:`is_held` tells that its maker lives; its name must be new.

    Until it is locked, it looks like one whose maker is dead: None if it is being removed as such, and what it stands
    for must be begun again. Never waits. Raises :class:`OSError`.
    """
    held = filelock.FileLock(path, timeout=0)
    try:
        held.acquire()
    except (filelock.Timeout, FileNotFoundError, FileExistsError):  # the last, where its folder vanishes meanwhile
        return None
    if path.exists():
        return held
    held.release()
    return None


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock on this file; False if there is none."""
    if not path.is_file():
        return False
    probe = filelock.FileLock(path, timeout=0)
    try:
        probe.acquire()
    except filelock.Timeout:
        return True
    except OSError:  # removed meanwhile, or on a disk that cannot be written
        return False
    probe.release()
    return False


def removed_if_unheld(path: Path) -> bool:
    """Remove a file that :func:`announce` made, unless its maker lives; whether it is gone."""
    probe = filelock.FileLock(path, timeout=0)
    try:
        if not path.is_file():
            return True
        probe.acquire()
        path.unlink(missing_ok=True)
    except (filelock.Timeout, OSError):
        return False
    finally:
        probe.release()
    return True


def abandoned(folder: Path, former: str = "") -> list[Path]:
    """What killed processes were writing into ``folder`` when they died, but nothing that a living one writes.

    ``former`` is a pattern of the names of files and folders that an earlier version wrote here as ``.NAME.xxxxxxxx``;
    nothing shows whether its process lives, so that one counts as dead a day after it has changed.
    """
    hidden = [folder / name for name in _names_with_a_dot(folder)]
    ours = [path for path in hidden if path.name.startswith(TEMPORARY) and len(path.name) == len(TEMPORARY) + 8]
    left = [path for path in ours if _is_own(path) and not is_held(path / "lock")]
    shape = rf"\.(?:{former})\.[a-z0-9_]{{8}}"
    for path in hidden if former else ():
        with suppress(OSError):
            if re.fullmatch(shape, path.name) and time.time() - path.lstat().st_mtime > SECONDS_UNTIL_DEAD:
                left.append(path)
    return sorted(left)


def _names_with_a_dot(folder: Path) -> list[str]:
    """Of what lies in a folder, and begins with a dot; a store has many thousand folders, so each is listed once."""
    try:
        return [name for name in os.listdir(folder) if name.startswith(".")]  # noqa: PTH208
    except OSError:
        return []


def sweep(folder: Path, former: str = "") -> None:
    """Remove what is :func:`abandoned`; what cannot be removed stays."""
    for path in abandoned(folder, former):
        held = filelock.FileLock(path / "lock", timeout=0)
        try:
            if path.is_dir() and not path.is_symlink():
                held.acquire()
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except (filelock.Timeout, OSError):
            continue
        finally:
            held.release()


def _is_own(path: Path) -> bool:
    """Whether it looks as :func:`temporary_folder` makes it: a folder with a lock and at most one thing besides."""
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        inside = [each.name for each in path.iterdir()]
    except OSError:  # gone meanwhile
        return False
    return len(inside) <= 1 or (len(inside) == 2 and "lock" in inside)


@contextmanager
def lock(path: Path, *, wait: bool = True, busy: str = "", waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the operating system's lock on ``path``; with ``wait=False`` raise ``CodrunError(busy)`` if it is held.

    ``waiting`` is called every :data:`SECONDS_BETWEEN_CALLS` as long as another process holds it.
    """
    held = filelock.FileLock(path, timeout=-1 if wait else 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                held.acquire(timeout=SECONDS_BETWEEN_CALLS if wait and waiting else None)
                break
            except filelock.Timeout:
                if not wait or waiting is None:
                    raise
            waiting()
    except filelock.Timeout as error:
        raise CodrunError(busy or f"{path} is in use by another codrun; wait until it has ended") from error
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise CodrunError(f"{path} cannot be locked ({why}); name a folder on a disk that can be written") from error
    try:
        yield
    finally:
        held.release()


def open_database(
    path: Path, schema: str = "", *, autocommit: bool = False, any_thread: bool = False
) -> sqlite3.Connection:
    """Open an SQLite file, new or not, in write-ahead logging, in which readers wait for nobody; on a disk that other
    machines may write too, with a rollback journal, since the log's index lies in the memory of one machine.

    ``schema`` are statements that change nothing where its tables are there already. With ``autocommit`` each
    statement is its own transaction unless ``BEGIN`` says otherwise; with ``any_thread`` the caller sees to it that no
    two threads use the connection at once. Statements wait up to :data:`SECONDS_TO_WAIT` for another process; see
    :func:`when_free` for what does not. Raises :class:`sqlite3.Error`.
    """

    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(
            path,
            timeout=SECONDS_TO_WAIT,
            isolation_level=None if autocommit else "DEFERRED",
            check_same_thread=not any_thread,
        )
        try:
            if is_on_network(path):
                connection.execute("pragma journal_mode = delete")
            else:
                connection.execute("pragma journal_mode = wal")
                # Enough for what a kill may not lose; what a power cut may not lose either asks for more.
                connection.execute("pragma synchronous = normal")
            if schema:
                connection.executescript(f"begin immediate; {schema} commit;")
        except BaseException:
            connection.close()
            raise
        return connection

    return when_free(opened)


def leave_wal(path: Path, seconds: float = 1.0) -> None:
    """Write the log of a database that nobody has open into its file, and remove the log.

    Raises :class:`sqlite3.OperationalError`, for which :func:`is_locked`, if somebody has it open.
    """

    def left() -> None:
        with closing(sqlite3.connect(path, timeout=seconds)) as connection:
            connection.execute("pragma journal_mode = delete")  # refused while another process has it open

    when_free(left, seconds)


def when_free(action: Callable[[], Result], seconds: float = SECONDS_TO_WAIT) -> Result:
    """Do ``action``, and again as long as SQLite says that another process has locked the file.

    SQLite says so at once, whatever the time-out, where two processes switch a new file to write-ahead logging
    together, open it while the last one closes it, or find its log to be restored after a kill.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process is in the way, and not damage or the disk."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

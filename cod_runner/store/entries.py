"""What lies in the store, as entries that can be listed and deleted; nothing that codrun did not write is one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from cod_runner.files import TEMPORARY, abandoned
from cod_runner.signal_tables import DATABASE, HIDDEN, Answers, answers_by_teacher, forget_teacher

KEY = "[0-9a-f]{32}"
"""A :func:`content_key`, the name of a kept teacher and of what a cell's losses fitted."""
CHECKPOINT = ".checkpoint.safetensors"
"""How the name of a checkpoint ends that lies beside a teacher's folder while the teacher is made."""
DATABASES = {"llm.sqlite": "llm.sqlite", "answers/llm.sqlite": "answers/llm.sqlite", "pairs": "pairs/pairs.sqlite"}
"""Entry to file; the second is where earlier versions put the paid answers."""
TENSORS = rf"{KEY}\.safetensors"
FITTED = (KEY, r".+\.safetensors")
"""A cell's folder below ``losses``, and what is in it."""
BESIDE_A_DATABASE = ("-wal", "-shm", "-journal", ".move.lock")


@dataclass(frozen=True)
class StoreEntry:
    """One thing that is stored."""

    name: str
    paths: tuple[Path, ...]
    """Files, and folders of which everything goes, in the order in which they are deleted."""

    @cached_property
    def _states(self) -> dict[Path, tuple[int, float]]:
        """Bytes and time of every file, as they were when they were first asked for."""
        found: dict[Path, tuple[int, float]] = {}
        for path in self.paths:
            found.update(_states_of(path))
        return found

    @property
    def files(self) -> list[Path]:
        """Every file that goes."""
        return list(self._states)

    @property
    def bytes(self) -> int:
        return sum(size for size, _ in self._states.values())

    @property
    def changed(self) -> datetime:
        """When it was written last, or, where it is touched when it is read, read."""
        return datetime.fromtimestamp(max((time for _, time in self._states.values()), default=0.0), UTC)


@dataclass(frozen=True)
class AnswersEntry(StoreEntry):
    """One teacher's answers, which share a database with those of others; ``paths`` are its hidden states."""

    answers: Answers

    @property
    def bytes(self) -> int:
        return super().bytes + self.answers.bytes


def entries_of(root: Path) -> Iterator[StoreEntry]:
    """Every shape that codrun writes, in the order in which its paths are to be deleted, here or not."""
    yield from _databases(root)
    signals = _database(root / "signals" / DATABASE)
    # the hidden states first: they are numbered by the database, and must not outlive it
    hidden = _matching(root / "signals", HIDDEN, r"\d+", "[0-9a-f]{2}", TENSORS) if signals else []
    yield StoreEntry("signals", (*hidden, *signals))
    yield StoreEntry("losses", tuple(_matching(root / "losses", *FITTED)))
    yield StoreEntry("embeddings", tuple(_matching(root / "embeddings", TENSORS)))
    yield StoreEntry("recipes", tuple(_matching(root / "recipes", "[0-9a-f]{64}")))
    yield from _teachers(root / "teachers")
    models = root / "models"
    for path in sorted(models.iterdir()) if models.is_dir() else []:
        if re.fullmatch(KEY, path.name) and (path / "config.json").is_file() and not path.is_symlink():
            yield StoreEntry(f"models/{path.name}", (path / "config.json", path))
    yield StoreEntry("leftovers", tuple(_leftovers(root)))


def entries_at_the_top(root: Path) -> Iterator[StoreEntry]:
    """Those of :func:`entries_of` that may lie in the store's own folder, rather than in one of its sub-folders."""
    yield from _databases(root)
    yield StoreEntry("leftovers", tuple(_leftovers(root)))


def _databases(root: Path) -> Iterator[StoreEntry]:
    for name, place in DATABASES.items():
        yield StoreEntry(name, tuple(_database(root / place)))


def parts_of(root: Path) -> Iterator[StoreEntry]:
    """What the entries ``signals``, ``losses`` and ``embeddings`` are made of, and what can be deleted alone."""
    for answers in answers_by_teacher(root / "signals"):
        hidden = _matching(root / "signals", HIDDEN, str(answers.number), "[0-9a-f]{2}", TENSORS)
        yield AnswersEntry(name_of_signals(answers.fingerprint, answers.device), tuple(hidden), answers)
    fitted: dict[str, list[Path]] = {}
    for path in _matching(root / "losses", *FITTED):
        fitted.setdefault(path.parent.name, []).append(path)
    for key, paths in fitted.items():
        yield StoreEntry(f"losses/{key}", tuple(paths))
    for path in _matching(root / "embeddings", TENSORS):
        yield StoreEntry(f"embeddings/{path.stem}", (path,))


def name_of_signals(fingerprint: str, device: str) -> str:
    """The entry of one teacher's answers, as one kind of device computed them."""
    return f"signals/{hashlib.sha256(f'{fingerprint} {device}'.encode()).hexdigest()[:32]}"


def delete(entry: StoreEntry, root: Path) -> int:
    """Delete it and return the bytes it took. Raises :class:`OSError` and :class:`sqlite3.Error`."""
    freed = entry.bytes
    _delete(entry.paths, root)
    if isinstance(entry, AnswersEntry):
        forget_teacher(root / "signals", entry.answers.number)
    return freed


def written_into(root: Path) -> list[Path]:
    """The folders, but that of the teachers, in which something may lie half-written."""
    found = [*root.glob("*"), *root.glob("losses/*")]
    return sorted(path for path in found if path.is_dir() and path.name != "teachers")


def _teachers(folder: Path) -> Iterator[StoreEntry]:
    """Those that are kept, checkpoints of those that are being made, and what was set aside."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_symlink():
            continue
        name = f"teachers/{path.name}"
        unfinished = path.is_file() and re.fullmatch(f"{KEY}{re.escape(CHECKPOINT)}", path.name)
        set_aside = path.is_dir() and re.fullmatch(rf"{KEY}\.damaged-\d+", path.name)
        if unfinished or set_aside:
            yield StoreEntry(name, (path,))
        elif re.fullmatch(KEY, path.name) and (path / "teacher.json").is_file():
            yield StoreEntry(name, (path / "teacher.json", path))


def _leftovers(root: Path) -> Iterator[Path]:
    """What killed processes left half-written, in the shape of this version and of earlier ones."""
    yield from abandoned(root / "teachers", KEY)
    for folder in written_into(root):
        yield from abandoned(folder)
    for name, former in (("losses/*", r".+\.safetensors"), ("signals/hidden/*/*", rf"{KEY}\.safetensors")):
        for folder in sorted(root.glob(name)):
            yield from (path for path in abandoned(folder, former) if not path.name.startswith(TEMPORARY))


def _database(path: Path) -> list[Path]:
    """An SQLite file with its logs and locks, itself last: a log must not outlive the file and meet a new one."""
    if path.is_symlink() or not path.is_file():
        return []
    owners = _matching(path.with_name(f"{path.name}.owners"), rf"{KEY}\.lock")
    beside = [path.with_name(path.name + suffix) for suffix in BESIDE_A_DATABASE]
    return [*owners, *(each for each in beside if each.is_file()), path]


def _matching(folder: Path, *shapes: str) -> list[Path]:
    """The files below ``folder`` whose folders' names and own name have these shapes, in their order."""
    shape, rest = re.compile(shapes[0]), shapes[1:]
    try:
        with os.scandir(folder) as found:
            entries = sorted((each for each in found if shape.fullmatch(each.name)), key=lambda each: each.name)
    except OSError:
        return []
    if rest:
        return [path for each in entries if each.is_dir() for path in _matching(folder / each.name, *rest)]
    return [folder / each.name for each in entries if each.is_file(follow_symlinks=False)]


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


def _states_of(path: Path) -> Iterator[tuple[Path, tuple[int, float]]]:
    """A file with its bytes and time, or every file below a folder; zeros where the system says nothing."""
    try:
        about = path.lstat()
    except OSError:
        yield path, (0, 0.0)
        return
    if not stat.S_ISDIR(about.st_mode):
        yield path, (about.st_size, about.st_mtime)
        return
    for each in sorted(path.rglob("*")):
        if each.is_symlink() or not each.is_dir():
            inside = next(_states_of(each))
            yield inside

"""A fine-tuned teacher in the store: made by one run at a time, and read back only as it was written."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cod_runner.api import Classifier
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole, folder_written_whole, lock, write_whole
from cod_runner.progress import Progress, Step
from cod_runner.store import CHECKPOINT

RECORD = "teacher.json"
SECONDS_BETWEEN_NOTES = 1.0


@dataclass
class Turn:
    """The right to make one teacher. Tells those who wait for it who makes it, since when, and how far it is."""

    key: str
    """The teacher's."""
    checkpoint: Path
    """Where one of its making lies."""
    note: Path
    by: str
    since: str = field(default_factory=lambda: f"{datetime.now(UTC):%H:%M} UTC")
    _noted: float = 0.0

    def tell(self, done: int, total: int) -> None:
        """Note the steps that are done, now and then; one that cannot be written is left out."""
        if time.monotonic() - self._noted < SECONDS_BETWEEN_NOTES:
            return
        self._noted = time.monotonic()
        with suppress(OSError):
            note = {"by": self.by, "process": os.getpid(), "since": self.since, "done": done, "total": total}
            self.note.write_text(json.dumps(note), encoding="utf-8")


@contextmanager
def turn(folder: Path, by: str, progress: Progress) -> Iterator[Turn]:
    """Keep every other run from making the teacher of this folder; while another one does, say so and show how far it
    is. ``by`` says who makes it: "the run runs/x"."""
    place, note = folder.with_name(f".{folder.name}.lock"), folder.with_name(f".{folder.name}.note")
    with ExitStack() as shown:
        step: Step | None = None

        def waiting() -> None:
            nonlocal step
            told = _told(note)
            if step is None:
                who = "{by} (process {process}) has been making since {since}".format_map(told) if told else ""
                progress.say(f"waiting for the teacher that {who or 'another run makes'}; it holds {place}")
                step = shown.enter_context(progress.bar("waiting for the teacher of another run"))
            if told:
                step(told["done"], told["total"])

        with lock(place, waiting=waiting):
            shown.close()
            mine = Turn(folder.name, folder.with_name(f"{folder.name}{CHECKPOINT}"), note, by)
            mine.tell(0, 1)
            try:
                yield mine
            finally:
                note.unlink(missing_ok=True)


def keep(write: Callable[[Path], None], folder: Path, record: dict[str, Any]) -> None:
    """Let the teacher be written, and write what ``record`` says of it, and the digest of each of its files."""
    with folder_written_whole(folder) as place:
        write(place)
        write_whole(place / RECORD, json.dumps({**record, "files": _digests(place)}, indent=2))


def is_kept(folder: Path, progress: Progress, *, reads: Callable[[], object]) -> bool:
    """Whether the teacher lies there as it was written. A damaged one is set aside, never deleted, and this is said.

    One of an earlier version has no digests: it is taken if ``reads`` raises nothing, and has them from then on.
    """
    if not folder.exists():
        return False
    why = _damage(folder, reads)
    if why is None:
        return True
    aside = next(
        place
        for number in itertools.count(1)
        if not (place := folder.with_name(f"{folder.name}.damaged-{number}")).exists()
    )
    try:
        folder.rename(aside)
    except OSError as error:
        raise CodrunError(
            f"the teacher {folder} is damaged ({why}) and cannot be set aside ({error.strerror}); mend the permissions "
            "of its folder"
        ) from error
    progress.warn(
        f"the kept teacher teachers/{folder.name} is damaged ({why}): it is set aside as teachers/{aside.name}, and "
        "made again"
    )
    return False


def read_kept(teacher: Classifier, folder: Path) -> None:
    """Load the weights; raises :class:`CodrunError` where they are whole but this teacher does not take them."""
    try:
        teacher.load(folder)
    except Exception as error:
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CodrunError(
            f"the kept teacher {folder} is not one that this version reads ({why}); remove it with "
            f"`codrun store prune teachers/{folder.name}`, and the next run makes it again"
        ) from error


def _damage(folder: Path, reads: Callable[[], object]) -> str | None:
    """What is wrong with a kept teacher, in words; None for nothing."""
    try:
        record, found = _object(folder / RECORD), _digests(folder)
        kept = record.get("files", found)
        if not record or not isinstance(kept, dict):
            return f"it has no {RECORD} that can be read"
        if "files" not in record:
            reads()
            # If it cannot be written, the teacher is as good as before.
            with suppress(CodrunError), file_written_whole(folder / RECORD, within=folder.parent) as file:
                file.write_text(json.dumps({**record, "files": found}, indent=2), encoding="utf-8")
    except PermissionError as error:
        raise CodrunError(f"{error.filename} cannot be read ({error.strerror}); mend its permissions") from error
    except Exception as error:  # noqa: BLE001 - a bad disk, or what a plugin's classifier raises over torn files
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    for name, digest in kept.items():
        if found.get(name) != digest:
            return f"{name} is not as it was written" if name in found else f"{name} is missing"
    return None


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the record, by its path in the folder; read anew each time."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / RECORD:
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _told(note: Path) -> dict[str, Any] | None:
    """What :meth:`Turn.tell` noted last; None while it is being written, or if an earlier version makes the teacher."""
    with suppress(OSError):
        told = _object(note)
        return told if told.keys() >= {"by", "process", "since", "done", "total"} else None
    return None


def _object(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; empty for one that is missing, torn or another thing."""
    with suppress(FileNotFoundError, ValueError, RecursionError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}

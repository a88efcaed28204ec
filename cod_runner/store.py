"""The store: what is worth keeping between runs, keyed by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from cod_runner.errors import CodrunError


def content_key(data: Any) -> str:
    """A name for JSON-able data: 32 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Store:
    """``$CODRUN_HOME``, or the platform's cache folder: teachers, signals, verdicts, model answers."""

    def __init__(self, root: Path | None = None) -> None:
        home = os.environ.get("CODRUN_HOME")
        self.root = root or (Path(home) if home else Path(platformdirs.user_cache_dir("codrun")))

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

    def entries(self) -> list[StoreEntry]:
        """What is stored, the largest first; each fine-tuned teacher by itself, a database with its logs and locks."""
        found = []
        stored = sorted(self.root.iterdir()) if self.root.exists() else []
        databases = tuple(path.name for path in stored if path.suffix == ".sqlite")
        for path in stored:
            if path.name.startswith(databases) and path.suffix != ".sqlite":
                continue
            parts = [part for part in path.iterdir() if part.is_dir()] if path.name == "teachers" else [path]
            found += [StoreEntry(str(part.relative_to(self.root)), sum(map(_size, _whole(part)))) for part in parts]
        return sorted(found, key=lambda entry: -entry.bytes)

    def prune(self, name: str) -> int:
        """Delete one entry and return the bytes it took; raises :class:`CodrunError` for a name that is none."""
        for entry in self.entries():
            if entry.name == name:
                for path in _whole(self.root / name):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                return entry.bytes
        raise CodrunError(f"the store holds nothing named `{name}`; `codrun store list` shows what it holds")


@dataclass(frozen=True)
class StoreEntry:
    """One thing that is stored."""

    name: str
    bytes: int


def _whole(path: Path) -> list[Path]:
    """A folder or file, and with a database what lies beside it."""
    return sorted(path.parent.glob(f"{path.name}*")) if path.suffix == ".sqlite" else [path]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

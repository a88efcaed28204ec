"""What a component does beside its work, seen while a block runs: connections, files, random generators.

Python's audit events show it, whatever library is used: see https://docs.python.org/3/library/audit_events.html. What
is not allowed is refused, so that a component under check reaches nothing and leaves nothing behind.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich.progress  # noqa: F401 - draws from `random` when it is imported, which is not the fault of whoever does
import torch

GENERATORS = ("random", "numpy.random", "torch")
"""The random generators that all of a process share."""
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.rename": 1, "sqlite3.connect": 0}
"""Events that change files beside ``open``, and which of their arguments names what is changed."""


@dataclass
class Watch:
    """What was tried inside a block."""

    allowed: Sequence[Path]
    connections: list[str] = field(default_factory=list)
    """Addresses outside this machine."""
    writes: list[str] = field(default_factory=list)
    """Files and folders outside ``allowed``, temporary folders and caches of libraries."""
    generators: list[str] = field(default_factory=list)
    """The process's random generators whose state changed."""

    def saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an audit event, and refuse what is not allowed."""
        if event == "socket.connect":
            self._connects(arguments[1])
        elif event == "socket.getaddrinfo":
            self._connects((arguments[0], arguments[1]))
        elif event == "open":
            path, mode, flags = arguments
            if any(each in mode for each in "wax+") if isinstance(mode, str) else (flags or 0) & WRITING_FLAGS:
                self._writes(path)
        elif event in CHANGES and not (isinstance(arguments[-1], int) and arguments[-1] >= 0):
            self._writes(arguments[CHANGES[event]])  # else relative to a folder that was opened before

    def _connects(self, address: Any) -> None:
        if not isinstance(address, tuple) or _is_here(address[0]):  # a socket of the file system is a text
            return
        self.connections.append(":".join(_text(part) for part in address[:2]))
        raise ConnectionRefusedError("a component under check reaches no network")

    def _writes(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):  # a file that is open already
            return
        place = Path(os.fsdecode(path)).absolute()
        if any(place.is_relative_to(folder) for folder in (*self.allowed, *_anybody_may_write())):
            return
        if place.suffix == ".pyc" or "__pycache__" in place.parts or str(path).startswith((":", "file:")):
            return
        self.writes.append(str(place))
        raise PermissionError(f"a component under check writes nothing outside the folders that it is given: {place}")


@contextmanager
def watching(allowed: Sequence[Path] = ()) -> Iterator[Watch]:
    """Watch the block, of all threads of this process; files may be written below ``allowed``."""
    _start_hearing()
    watch = Watch([folder.absolute() for folder in allowed])
    before = _states()
    _WATCHES.append(watch)
    try:
        yield watch
    finally:
        _WATCHES.remove(watch)
    after = _states()
    watch.generators = [name for name, state in before.items() if state != after[name]]


_WATCHES: list[Watch] = []
"""Those whose blocks run now. An audit hook cannot be taken away, so there is one, which looks here."""


@functools.cache
def _start_hearing() -> None:
    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        for watch in tuple(_WATCHES):
            watch.saw(event, arguments)

    sys.addaudithook(heard)


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {"random": random.getstate(), "torch": torch.get_rng_state().numpy().tobytes()}
    numpy = sys.modules["numpy"]  # torch has imported it
    name, keys, *rest = numpy.random.get_state()
    states["numpy.random"] = (name, keys.tobytes(), *rest)
    return states


def _is_here(host: Any) -> bool:
    if host is None or _text(host) in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(_text(host)).is_loopback
    except ValueError:
        return False


def _text(part: Any) -> str:
    return part.decode(errors="replace") if isinstance(part, bytes) else str(part)


@functools.cache
def _anybody_may_write() -> tuple[Path, ...]:
    """Temporary folders, devices, and the folders in which libraries keep what they downloaded, compiled or found."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folders = [tempfile.gettempdir(), os.devnull, "/dev", "/proc", caches, "~/.config/matplotlib"]
    folders += [value for name in ("HF_HOME", "MPLCONFIGDIR", "PYTHONPYCACHEPREFIX") if (value := os.environ.get(name))]
    return tuple(
        path.absolute() for each in folders for path in (Path(each).expanduser(), Path(each).expanduser().resolve())
    )

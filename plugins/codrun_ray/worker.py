"""What runs on a node: a Ray actor that trains one cell at a time."""

from __future__ import annotations

import pickle
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from cod_runner.api import WORKERS_LOG, CodrunError, write_output_to


@dataclass(frozen=True)
class Versions:
    """What decides whether a worker's results are those of the run's own process."""

    codrun: str
    torch: str
    python: str

    @classmethod
    def here(cls) -> Versions:
        """Of this process."""
        return cls(metadata.version("codrun"), metadata.version("torch"), platform.python_version())

    def __str__(self) -> str:
        return f"codrun {self.codrun}, torch {self.torch}, Python {self.python}"


@dataclass(frozen=True)
class Raised:
    """An exception that a worker's code raised; unpickled, it is the exception itself with the worker's traceback as
    its cause, as those of a pool of processes."""

    error: Any


class Worker:
    """A process of a node. Ray calls one method at a time, in one thread."""

    def __init__(self) -> None:
        self._work: Callable[[Any], Any] | None = None

    def begin(self, work: bytes, run: Path | None) -> tuple[str, Versions] | Raised:
        """Take the pickled work; gives the node's host and versions. ``run`` is the run's folder, which a node must
        see."""
        try:
            host = socket.gethostname()
            if run is not None:
                if not run.is_dir():
                    raise CodrunError(
                        f"the node {host} of the Ray cluster has no folder {run}: the run's folder and the store must "
                        "lie on a disk that all nodes share, under the same paths on each"
                    )
                write_output_to(run / WORKERS_LOG)
            # what the run's own process sends over a connection that it chose
            self._work = pickle.loads(work)  # noqa: S301
            return host, Versions.here()
        except Exception as error:  # noqa: BLE001
            return _raised(error)

    def train(self, task: Any) -> tuple[Any] | Raised:
        """What the work gives for the task, in a tuple."""
        assert self._work is not None
        try:
            return (self._work(task),)
        except Exception as error:  # noqa: BLE001
            return _raised(error)


def _raised(error: Exception) -> Raised:
    return Raised(ExceptionWithTraceback(error, error.__traceback__))

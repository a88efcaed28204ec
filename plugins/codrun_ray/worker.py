"""What runs on a node: a Ray actor that trains one cell at a time."""

from __future__ import annotations

import pickle
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cod_runner.api import WORKERS_LOG, CodrunError, RemoteError, answered, write_output_to


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
class Begun:
    """A worker that has the work."""

    host: str
    versions: Versions


class Worker:
    """A process of a node. Ray calls one method at a time, in one thread."""

    def __init__(self) -> None:
        self._work: Callable[[Any], Any] | None = None

    def begin(self, work: bytes, run: Path | None) -> Begun | RemoteError:
        """Take the pickled work. ``run`` is the run's folder, which a node must see."""
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
            return Begun(host, Versions.here())
        except Exception as error:  # noqa: BLE001 - it is raised in the run's own process
            return RemoteError.of(error)

    def train(self, task: bytes) -> bytes:
        """The answer to a pickled task."""
        assert self._work is not None
        return answered(self._work, task)

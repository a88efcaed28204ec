"""The work that an executor carries to wherever cells run, in this process or in workers."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from cod_runner.blame import NOT_A_PLUGINS
from cod_runner.errors import CodrunError, WrongResult
from cod_runner.local_plugins import LocalFile
from cod_runner.observers import Failure, Observers
from cod_runner.out_of_memory import ran_out_of_memory
from cod_runner.registry import Registry
from cod_runner.runs.failed import FailedCell
from cod_runner.runs.records import CellRow
from cod_runner.runs.rows_left import RowsLeft
from cod_runner.stages.cell import CellTask, SharedByCells, train_cell
from cod_runner.stages.trackers import WorkerResult, build_trackers
from cod_runner.stages.worker_output import write_to_the_file

TWO_THREADS = (
    "the executor calls `work` in two threads of a process at once, and students would draw each other's random "
    "numbers: it must call it in one thread at a time, or in several processes; or run with --jobs 1"
)
CURE = (
    "end what else uses it, or take a smaller `train.batch_size`, shorter texts or a smaller student; finished cells "
    "are not repeated"
)


class CellProcess:
    """A process that trains cells: its plugins, and its trackers."""

    def __init__(self, registry: Registry, observers: Observers | None = None) -> None:
        """``observers`` are those of a run that trains cells in its own process; a worker makes its own."""
        self.registry = registry
        self.at_work = threading.Lock()
        self._observers = observers
        self._run: Path | None = None
        """The run whose trackers this process built; None where they are the run's own."""

    def observers_of(self, shared: SharedByCells) -> Observers:
        """Those that are told of the cells of a run; a worker builds them with the run's first cell."""
        run = shared.run
        if self._observers is None or self._run not in (None, run):
            self._run, self._observers = run, Observers(self.registry, lambda sentence: None)
            write_to_the_file(run)
            build_trackers(self._observers, shared.worker.recipe, run, lambda sentence: None)
        return self._observers

    @property
    def is_a_worker(self) -> bool:
        """Whether it is another process than the run's own, once it has its observers."""
        return self._run is not None

    def failures_to_tell(self, observers: Observers) -> tuple[Failure, ...]:
        """What a worker's observers could not do; those of the run's own process have told it."""
        return tuple(observers.failures.values()) if self.is_a_worker else ()


class CellWork:
    """Trains cells with a run's own registry, so that its trackers see every step. A copy that is unpickled in
    another process works with that process's registry, and with trackers of its own, and leaves the row of each cell
    on the disk before it answers, since the run's own process may be gone by then."""

    def __init__(self, shared: SharedByCells, process: CellProcess) -> None:
        self.shared = shared
        self.process = process

    def __call__(self, task: CellTask) -> WorkerResult[CellRow | FailedCell]:
        """Train one cell; raises :class:`WrongResult` while another thread of this process trains one, since all
        threads draw from the same random generators."""
        if not self.process.at_work.acquire(blocking=False):
            raise WrongResult(TWO_THREADS)
        try:
            return self._trained(task)
        finally:
            self.process.at_work.release()

    def _trained(self, task: CellTask) -> WorkerResult[CellRow | FailedCell]:
        observers, registry = self.process.observers_of(self.shared), self.process.registry
        try:
            with registry.blaming_plugins():
                row = train_cell(task, self.shared, registry, observers)
        except CodrunError:
            raise
        except Exception as error:
            if ran_out_of_memory(error):
                why = " ".join(str(error).split()[:30]) or type(error).__name__
                raise CodrunError(f"the cell {task.cell.name} ran out of memory ({why}); {CURE}") from error
            error.add_note(NOT_A_PLUGINS)  # not the executor's either, through whose code it goes up
            raise
        if self.shared.leaves_rows and self.process.is_a_worker and isinstance(row, CellRow):
            RowsLeft(self.shared.run).leave(row)
        return WorkerResult(row, self.process.failures_to_tell(observers))

    def __reduce__(self) -> tuple[Callable[..., CellWork], tuple[SharedByCells, tuple[LocalFile, ...]]]:
        return _unpickled, (self.shared, self.process.registry.local_files)


def _unpickled(shared: SharedByCells, local_files: tuple[LocalFile, ...]) -> CellWork:
    return CellWork(shared, this_process(local_files))


@functools.cache
def this_process(local_files: tuple[LocalFile, ...]) -> CellProcess:
    """One for all cells that a worker trains: plugins are discovered, and trackers built, once. Of plugins that are
    files it loads what the run loaded, or raises :class:`CodrunError`."""
    logging.getLogger("codrun").addHandler(logging.NullHandler())
    registry = Registry.discover()
    for file in local_files:
        registry.register_file(file.path, file.digest)
    return CellProcess(registry)

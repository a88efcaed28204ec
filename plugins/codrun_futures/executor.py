"""Runs cells on an executor that a function makes, and begins anew what died with a worker."""

from __future__ import annotations

import importlib
import pickle
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from cod_runner.api import BuildContext, CodrunError, SettingError, TaskAttempts, Workers, cores, one_line, result_of
from codrun_futures.job import answer_in_worker
from codrun_futures.plugin import FuturesOptions

PLACE = "futures"
"""Below the run's folder: the work, for its workers."""
OURS = f"{'[0-9a-f]' * 32}.pkl"
"""The files in it, as a pattern: of a folder that is a link elsewhere nothing else is removed."""
DEATHS = {"KilledWorker", "FutureCancelledError", "WorkerLost", "ManagerLost"}
"""How Dask and Parsl call it that a worker is gone."""
LONGEST_SAID = 300


class Futures:
    """Kind ``executor``."""

    def __init__(self, options: FuturesOptions, context: BuildContext) -> None:
        self._options = options
        self._context = context
        self._factory = _found(options.factory)

    def workers(self) -> Workers:
        """As the options say; else one cell per core of this machine, on the run's device."""
        return Workers(self._options.at_once or cores(), self._options.device or self._context.device)

    def end_earlier_calls(self) -> None:
        """Remove the work of runs that were killed; their workers have ended, or finish the cell that they are at."""
        if self._context.run is not None and (self._context.run / PLACE).is_dir():
            for left in (self._context.run / PLACE).glob(OURS):
                left.unlink()
            with suppress(OSError):  # it holds something else, or is a link
                (self._context.run / PLACE).rmdir()

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        """Results in the order in which tasks finish; never more than ``jobs`` are submitted at once."""
        if not tasks:
            return
        attempts = TaskAttempts(self._context.say, tasks)
        with _written(work, self._context.run) as file, _Running(self._made, file, attempts) as running:
            waiting = list(enumerate(tasks))[::-1]
            while waiting or running.futures:
                while waiting and len(running.futures) < jobs:
                    running.submit(*waiting.pop())
                for number, task, answer in running.finished():
                    if answer is None:
                        waiting.append((number, task))
                    else:
                        yield result_of(answer)

    def _made(self) -> Executor:
        """A new executor; raises :class:`SettingError` where the factory cannot make one."""
        try:
            made = self._factory(**self._options.options)
        except CodrunError as error:
            raise SettingError(str(error), "factory") from error
        except Exception as error:
            raise SettingError(f"`{self._options.factory}` raised {_told(error)}", "factory") from error
        if not isinstance(made, Executor):
            kind = type(made).__name__
            raise SettingError(
                f"`{self._options.factory}` gave a `{kind}`, and must give a `concurrent.futures.Executor`", "factory"
            )
        return made


def _found(factory: str) -> Callable[..., Any]:
    """What ``module:callable`` names; the user has allowed it."""
    module, _, attribute = factory.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except CodrunError as error:
        raise SettingError(str(error), "factory") from error
    except (ImportError, AttributeError) as error:
        raise SettingError(f"`{factory}` cannot be imported: {_told(error)}", "factory") from error
    if not callable(found):
        raise SettingError(f"`{factory}` is a `{type(found).__name__}`, which cannot be called", "factory")
    return found


@contextmanager
def _written(work: Callable[[Any], Any], run: Path | None) -> Iterator[Path]:
    """The work as a file, once for all workers: one that dies leaves it to its successor."""
    with tempfile.TemporaryDirectory() if run is None else nullcontext(str(run / PLACE)) as folder:
        Path(folder).mkdir(exist_ok=True)
        file = Path(folder, f"{uuid.uuid4().hex}.pkl")
        file.write_bytes(pickle.dumps(work))
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)
            if run is not None:
                with suppress(OSError):  # a network disk keeps a file that a worker has open still
                    Path(folder).rmdir()


class _Running:
    """The tasks that were submitted, and the executor that they are on, a new one after it broke."""

    def __init__(self, made: Callable[[], Executor], work: Path, attempts: TaskAttempts) -> None:
        self._made = made
        self._work = str(work)
        self._attempts = attempts
        self._executor: Executor | None = None
        self.futures: dict[Future[bytes], tuple[int, Any]] = {}

    def __enter__(self) -> _Running:
        return self

    def submit(self, number: int, task: Any) -> None:
        """Hand a task to the executor."""
        attempt = uuid.uuid4().hex
        self._executor = self._executor or self._made()
        try:
            future = self._executor.submit(answer_in_worker, self._work, pickle.dumps(task), attempt)
        except BrokenExecutor as error:  # before it was asked for anything: the futures on it say so too
            future = Future()
            future.set_exception(error)
        self.futures[future] = (number, task)

    def finished(self) -> Iterator[tuple[int, Any, bytes | None]]:
        """Wait for some task; its answer, or None where its worker died and it is to be begun anew."""
        for future in wait(self.futures, return_when=FIRST_COMPLETED).done:
            number, task = self.futures.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                yield number, task, future.result()
                continue
            if isinstance(error, BrokenExecutor):
                self._stop()
            elif not _is_a_death(error):
                raise CodrunError(f"the executor that the factory made could not run a cell: {_told(error)}") from error
            self._attempts.died(number, _told(error))
            yield number, task, None

    def _stop(self) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            stop(executor)

    def __exit__(self, *error: object) -> None:
        for future in self.futures:
            future.cancel()
        self._stop()


def stop(executor: Executor) -> None:
    """Shut an executor down. What it still runs is ended where it has processes of its own on this machine, and else
    waited for: no thread can be ended."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    for process in processes:
        process.terminate()
    executor.shutdown(wait=True)


def _is_a_death(error: BaseException) -> bool:
    known = isinstance(error, CancelledError | ConnectionError | EOFError)
    return known or any(each.__name__ in DEATHS for each in type(error).__mro__)


def _told(error: BaseException) -> str:
    said = one_line(f"{type(error).__name__}: {error}")
    return said if len(said) <= LONGEST_SAID else f"{said[:LONGEST_SAID]}..."

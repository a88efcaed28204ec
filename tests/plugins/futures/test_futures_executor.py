"""Cells on executors that a factory makes: the same bytes, the faults of work and of workers told apart."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import factories
import pytest

from cod_runner.api import BuildContext, CodrunError, SettingError, Workers
from cod_runner.testing.tasks import RefusedTask, halved
from codrun_futures.executor import Futures
from codrun_futures.plugin import FuturesOptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_runs import ran

DASK = "codrun_futures.dask:executor"
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason='needs `pip install "codrun[dask]"`'
)


@pytest.fixture(autouse=True)
def none_made() -> None:
    factories.MADE.clear()


def executor(factory: str, run: Path | None = None, said: list[str] | None = None, **options: Any) -> Futures:
    say = (lambda sentence: None) if said is None else said.append
    factory = factory if ":" in factory else f"factories:{factory}"
    return Futures(FuturesOptions(factory=factory, options=options), BuildContext(run=run, say=say))


def test_a_whole_run_in_threads_gives_the_bytes_that_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    expected = ran(tmp_path, "processes", jobs=1)
    chosen = "{use: futures, factory: 'factories:threads', options: {workers: 2}}"
    assert ran(tmp_path, chosen, jobs=2, allow_callables=["factories:threads"]) == expected
    assert list(tmp_path.rglob("futures")) == [] and len(factories.MADE) == 1


@pytest.mark.slow
def test_a_whole_run_in_two_processes_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Dask's: ``tests/plugins/test_executors_equal.py``."""
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    expected = ran(tmp_path, "processes", jobs=1)
    chosen = "{use: futures, factory: 'factories:processes', options: {workers: 2}}"
    assert ran(tmp_path, chosen, jobs=2, allow_callables=["factories:processes"]) == expected


@pytest.mark.slow
@pytest.mark.parametrize("factory", ["processes", pytest.param(DASK, marks=needs_dask)])
def test_a_killed_worker_s_task_is_begun_anew(tmp_path: Path, factory: str) -> None:
    said: list[str] = []
    tasks = [(tmp_path, number) for number in (1, 2, 3)]
    found = list(executor(factory, tmp_path, said, workers=1).map(factories.dies_once, tasks, 1))
    assert sorted(found) == [1, 2, 3]
    assert (tmp_path / "died").exists()
    if factory == "processes":  # Dask begins it anew by itself
        assert len(factories.MADE) == 2
        (death,) = said
        assert death.startswith(f"the worker process of the cell {tasks[1]} died (")


def test_an_exception_comes_home_as_itself(tmp_path: Path) -> None:
    with pytest.raises(RefusedTask, match="3 is odd"):
        list(executor("threads", tmp_path).map(halved, [2, 3, 4], 1))
    with pytest.raises(RuntimeError, match="Moody: 1 and 1"):
        list(executor("threads", tmp_path).map(factories.is_moody, [1], 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("factory", "options", "said"),
    [
        ("refuses", {}, "`factories:refuses` raised ValueError: no such queue"),
        ("lacking", {}, "the library is not installed"),
        ("threads", {"cores": 2}, "`factories:threads` raised TypeError: threads() got an unexpected keyword argument"),
        ("not_one", {}, "`factories:not_one` gave a `str`, and must give a `concurrent.futures.Executor`"),
        ("nothing", {}, "`factories:nothing` cannot be imported: AttributeError: module 'factories' has no attribute"),
        ("no_such_module:x", {}, "`no_such_module:x` cannot be imported: ModuleNotFoundError: No module named"),
        ("MADE", {}, "`factories:MADE` is a `list`, which cannot be called"),
    ],
)
def test_a_factory_that_gives_no_executor_is_a_fault_of_the_option(
    factory: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        list(executor(factory, **options).map(halved, [2], 1))
    assert str(caught.value).startswith(said) and caught.value.setting == ("factory",)


def test_what_the_machinery_cannot_do_is_not_taken_for_a_death() -> None:
    class Refusing(factories.ThreadPoolExecutor):
        def submit(self, *given: Any) -> Future[Any]:  # type: ignore[override]
            future: Future[Any] = Future()
            future.set_exception(TypeError("cannot pickle"))
            return future

    made = executor("threads")
    made._factory = Refusing
    with pytest.raises(CodrunError) as caught:
        list(made.map(halved, [2], 1))
    assert str(caught.value) == "the executor that the factory made could not run a cell: TypeError: cannot pickle"


def test_no_more_are_submitted_than_may_run_at_once() -> None:
    waiting: list[int] = []

    class Counting(factories.ThreadPoolExecutor):
        def submit(self, *given: Any) -> Future[Any]:  # type: ignore[override]
            waiting.append(self._work_queue.qsize())
            return super().submit(*given)

    made = executor("threads")
    made._factory = lambda: Counting(1)
    assert sorted(made.map(halved, [2, 4, 6, 8, 10, 12], 2)) == [(2 * each, each) for each in (1, 2, 3, 4, 5, 6)]
    assert max(waiting) <= 1


def test_workers_are_as_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2})
    context = BuildContext(device="cuda:1")
    plain = FuturesOptions(factory="factories:threads")
    told = FuturesOptions(factory="factories:threads", at_once=9, device="cpu")
    assert [Futures(each, context).workers() for each in (plain, told)] == [Workers(3, "cuda:1"), Workers(9, "cpu")]


def test_the_work_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    executor("threads", tmp_path).end_earlier_calls()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "futures").mkdir()
    (tmp_path / "futures" / f"{'0123' * 8}.pkl").touch()
    executor("threads", tmp_path).end_earlier_calls()
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_removed_from_a_folder_that_leads_elsewhere(tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "models", tmp_path / "run"
    elsewhere.mkdir()
    (elsewhere / "model.pkl").touch()
    run.mkdir()
    (run / "futures").symlink_to(elsewhere)
    executor("threads", run).end_earlier_calls()
    assert [each.name for each in elsewhere.iterdir()] == ["model.pkl"]

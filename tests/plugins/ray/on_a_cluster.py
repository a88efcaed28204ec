"""Cells on a cluster of two nodes: the contract, workers and nodes that die, and what comes home of an exception.

`test_ray_cluster.py` runs these tests in a process of their own: Ray reads its variables when it is imported first.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from executed_runs import contents, run

from cod_runner.api import BuildContext, CodrunError, SettingError, Workers
from cod_runner.testing.checks import check_component
from codrun_ray.executor import Ray
from codrun_ray.plugin import RayOptions, codrun_components


@pytest.fixture
def joined(cluster: Any) -> Iterator[Any]:
    """The cluster, with this process connected, as by a program that calls codrun from Ray's own."""
    import ray

    ray.init(cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()


def mapped(work: Callable[..., Any], tasks: list[Any], jobs: int = 2, **context: Any) -> list[Any]:
    return list(Ray(RayOptions(address="auto"), BuildContext(**context)).map(work, tasks, jobs))


def test_it_keeps_its_contract(joined: Any) -> None:
    (component,) = codrun_components()
    assert len(check_component(component)) > 4


def test_a_killed_worker_has_its_cell_begun_anew(
    cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from ray_work import dies_once

    said: list[str] = []
    assert mapped(dies_once, [tmp_path], say=said.append) == ["whole"]
    assert len(said) == 1 and said[0].endswith("; the cell begins anew, attempt 2 of 3")
    time.sleep(1.5)  # what Ray has to say comes later, in a thread of its own
    assert capfd.readouterr() == ("", "")


def test_a_cell_whose_worker_always_dies_ends_the_run(joined: Any, tmp_path: Path) -> None:
    from ray_work import always_dies

    with pytest.raises(CodrunError, match=r"died 3 times without an error message \(.+\)"):
        mapped(always_dies, [tmp_path])
    assert (tmp_path / "deaths").read_text() == "xxx"


def test_an_exception_comes_home_as_itself(joined: Any) -> None:
    from ray_work import Stubborn, raises

    with pytest.raises(Stubborn) as caught:
        mapped(raises, [0, 1, 2])
    assert type(caught.value) is Stubborn
    assert (str(caught.value), caught.value.place, caught.value.__notes__) == ("this one", "here", ["a note"])
    assert "in raises" in str(caught.value.__cause__), "the worker's own traceback"


def test_workers_end_when_the_results_are_not_wanted_any_more(joined: Any, tmp_path: Path) -> None:
    import os

    from ray_work import sleeps

    (tmp_path / "one").mkdir()
    results = iter(Ray(RayOptions(address="auto"), BuildContext()).map(sleeps, [tmp_path / "one"], 1))
    stopped = threading.Event()

    def interrupt() -> None:
        while not list((tmp_path / "one").iterdir()):
            time.sleep(0.05)
        stopped.set()
        import _thread

        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert stopped.is_set()
    pid = int(next((tmp_path / "one").iterdir()).name.removeprefix("pid-"))
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the worker lives on")


def test_what_workers_print_goes_to_the_runs_file(joined: Any, tmp_path: Path) -> None:
    from ray_work import speaks

    mapped(speaks, ["a", "b"], 1, run=tmp_path)
    assert (tmp_path / "workers.log").read_text() == "printed a\nwritten a\nprinted b\nwritten b\n"


def test_a_node_without_the_runs_folder_is_refused(joined: Any, tmp_path: Path) -> None:
    from ray_work import speaks

    with pytest.raises(CodrunError, match=r"has no folder .+: the run's folder and the store must lie on a disk that"):
        mapped(speaks, ["a"], run=tmp_path / "elsewhere")


def test_it_joins_and_leaves_a_cluster_by_its_address(cluster: Any) -> None:
    import ray
    from ray_work import raises

    assert not ray.is_initialized()
    executor = Ray(RayOptions(address=cluster.address), BuildContext())
    assert executor.workers() == Workers(2, "cpu")
    assert ray.is_initialized()
    assert sorted(executor.map(raises, [2, 4, 6], 2)) == [2, 4, 6]
    assert not ray.is_initialized()


def test_what_no_node_has_is_said_and_an_unknown_address_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    executor = Ray(RayOptions(address=cluster.address, gpus=1), BuildContext(say=said.append))
    assert executor.workers() == Workers(1, "cuda")
    results = executor.map(print, [1], 1)
    threading.Timer(3, __import__("_thread").interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        next(iter(results))
    assert said == ["no node of the Ray cluster has 1 CPU, 1 GPU; cells wait until one joins"]
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(SettingError, match="names a Ray Client server"):
        Ray(RayOptions(address="auto"), BuildContext()).workers()


def test_a_run_on_two_nodes_gives_the_same_bytes_as_one_cell_after_the_other(
    joined: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import state

    before = set(state.actors())
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "store"))
    on_two_nodes = contents(run(tmp_path / "ray", {"use": "ray", "address": "auto"}, 2))
    nodes = {actor["Address"]["NodeID"] for key, actor in state.actors().items() if key not in before}
    assert nodes == {node["NodeID"] for node in state.nodes() if node["Alive"]}
    assert len(nodes) == 2
    monkeypatch.setenv("CODRUN_HOME", str(tmp_path / "another store"))
    assert on_two_nodes == contents(run(tmp_path / "alone", {"use": "processes"}, 1))
    assert on_two_nodes == contents(run(tmp_path / "processes", {"use": "processes"}, 2))


@pytest.mark.parametrize("auto", [False, True])
def test_a_head_that_does_not_answer_is_a_fault_at_once(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, auto: bool
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        made = Ray(RayOptions(address="auto" if auto else address), BuildContext())
        with pytest.raises(
            SettingError, match=r"\(.*Connection refused\); start one with `ray start`, or omit"
        ) as caught:
            made.workers()
    assert caught.value.setting == ("address",)


# the last: Ray counts a lost node for a while
def test_both_nodes_work_at_once_and_a_node_that_goes_has_its_cell_begun_anew(joined: Any, tmp_path: Path) -> None:
    from ray_work import node_of

    said: list[str] = []
    third = joined.add_node(num_cpus=1, object_store_memory=80_000_000)
    joined.wait_for_nodes()
    tasks = [tmp_path / name for name in "abc"]
    for task in tasks:
        task.mkdir()
    executor = Ray(RayOptions(address="auto"), BuildContext(say=said.append))
    assert executor.workers() == Workers(3, "cpu")

    def nodes_of(task: Path) -> set[str]:
        return {file.name for file in task.iterdir()} - {"go"}

    def remove_the_third() -> None:
        while not all(map(nodes_of, tasks)):
            time.sleep(0.05)
        (orphan,) = (task for task in tasks if third.node_id in nodes_of(task))
        joined.remove_node(third, allow_graceful=False)
        for task in tasks:
            if task != orphan:
                (task / "go").touch()
        while not said:
            time.sleep(0.05)
        (orphan / "go").touch()

    remover = threading.Thread(target=remove_the_third)
    remover.start()
    found = list(executor.map(node_of, tasks, 3))
    remover.join()
    began = set().union(*map(nodes_of, tasks))
    assert len(began) == 3 and third.node_id in began, "each node had a cell"
    assert len(found) == 3 and set(found) == began - {third.node_id}
    assert len(said) == 1 and said[0].startswith("the worker process of the cell ")
    assert said[0].endswith("); the cell begins anew, attempt 2 of 3")

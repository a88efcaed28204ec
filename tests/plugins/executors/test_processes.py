"""The executor `processes`, with real worker processes: their environment, their deaths, and memory that runs out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tasks_for_workers import Task, Told, Work, gives_what_cannot_travel

from cod_runner.api import BuildContext, ChoosesWorkers, CodrunError, Workers
from codrun_executors import gpus, processes, worker_process
from codrun_executors.crew import Crew
from codrun_executors.places import Gpu, Place
from codrun_executors.plugin import ProcessOptions
from codrun_executors.processes import Processes

SAID: list[str] = []


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    SAID.clear()
    before = dict(os.environ)
    yield
    assert multiprocessing.active_children() == []
    assert {**os.environ, "PYTEST_CURRENT_TEST": ""} == {**before, "PYTEST_CURRENT_TEST": ""}


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Task]:
    return lambda name, *ways, seconds=0.0, after="": Task(name, tmp_path, ways, seconds, after)


def executor(device: str = "cpu", cell_bytes: int | None = None, **options: object) -> Processes:
    context = BuildContext(say=SAID.append, device=device, cell_bytes=cell_bytes)
    return Processes(ProcessOptions.model_validate(options), context)


def mapped(tasks: list[Task], jobs: int = 2, folder: Path | None = None) -> list[Told]:
    return list(executor().map(Work(folder or tasks[0].folder), tasks, jobs))


def attempts(task: Task) -> int:
    return len(list(task.folder.glob(f"{task.name}.*")))


def test_with_one_job_cells_run_in_this_process(task: Callable[..., Task]) -> None:
    told = list(executor().map(Work(task("a").folder), [task("a"), task("b")], 1))
    assert [(each.name, each.process) for each in told] == [("a", os.getpid()), ("b", os.getpid())]
    (alone,) = executor().map(Work(task("a").folder), [task("c")], 2)
    assert alone.process == os.getpid(), "so does a single cell"


def test_workers_are_sent_the_work_once_and_leave_ctrl_c_to_the_run(task: Callable[..., Task]) -> None:
    tasks = [task(f"t{number}", seconds=0.05) for number in range(8)]
    told = mapped(tasks)
    assert sorted(each.name for each in told) == [each.name for each in tasks]
    workers = {each.process for each in told}
    assert len(workers) == 2 and os.getpid() not in workers
    loaded = [name.name.split(".")[1] for name in tasks[0].folder.glob("loaded.*")]
    assert sorted(loaded) == sorted(map(str, workers))
    assert not any(each.handles_ctrl_c or each.torch for each in told)
    assert SAID == []


def test_no_more_workers_start_than_there_are_tasks(task: Callable[..., Task]) -> None:
    assert len({each.process for each in mapped([task("a", seconds=0.3), task("b", seconds=0.3)], jobs=40)}) == 2


def test_each_worker_sees_its_gpu_from_the_start(task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8f6d, MIG-1a2b/3/0 ,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    tasks = [task(f"t{number}", seconds=0.3) for number in range(6)]
    running = executor("cuda", gpus=[2, 1], per_gpu=1)
    assert running.workers() == Workers(at_once=2, device="cuda")
    seen = {each.process: each.environment for each in running.map(Work(tasks[0].folder), tasks, 2)}
    assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in seen.values()) == ["7", "MIG-1a2b/3/0"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-8f6d, MIG-1a2b/3/0 ,7"


def test_one_job_runs_in_this_process_only_where_it_sees_the_same_gpu(
    task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for options, here in (({}, True), ({"gpus": [1, 2]}, False), ({"gpus": [1]}, True)):
        (told,) = executor("cuda", **options).map(Work(task("a").folder), [task("a")], 1)
        assert (told.process == os.getpid()) is here
        assert here or told.environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert executor("cuda", gpus=[1]).workers() == Workers(1, "cuda:1")


def test_how_many_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setattr(processes, "free_memory", lambda: 20_000_000_000)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(gpus, "_free_bytes", lambda count: [10_000_000_000] * count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert isinstance(executor(), ChoosesWorkers)
    assert executor("cpu").workers() == Workers(8, "cpu")
    assert executor("cpu", cell_bytes=4_000_000_000).workers() == Workers(4, "cpu")
    assert executor("mps", cell_bytes=4_000_000_000).workers() == Workers(1, "mps")
    assert executor("cuda").workers() == Workers(2, "cuda"), "a cell of an unknown size: one on each"
    assert executor("cuda", cell_bytes=2_000_000_000).workers() == Workers(6, "cuda")
    assert executor("cuda:1", cell_bytes=2_000_000_000).workers() == Workers(3, "cuda:1")
    assert executor("cuda:1", gpus=[0]).workers() == Workers(1, "cuda:1"), "--device names one"
    with pytest.raises(CodrunError, match=r"executor.gpus: there is no GPU number 2; this process sees numbers 0 to 1"):
        executor("cuda", gpus=[0, 2]).workers()


def test_memory_that_decides_is_said_once(task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setattr(processes, "free_memory", lambda: 5_000_000_000)
    running = executor(cell_bytes=4_000_000_000)
    assert running.workers().at_once == 1
    list(running.map(Work(task("a").folder), [task("a"), task("b"), task("c")], 1))
    assert SAID == [
        "1 at once, not 3, for want of memory: a cell takes up to 4.0 GB, its process 0.5 GB, and 5.0 GB are free"
    ]


def test_a_gpu_says_how_much_of_its_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(number: int) -> tuple[int, int]:
        if number == 1:
            raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")
        return (7, 8)

    monkeypatch.setattr(torch.cuda, "mem_get_info", told)
    assert gpus._asked(3) == [7, None, 7], "the second is another process's alone"


@pytest.mark.slow
def test_gpus_are_asked_in_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: pytest.fail("asked here"))
    assert gpus._free_bytes(0) == []


def test_a_worker_that_dies_is_replaced_and_the_others_go_on(task: Callable[..., Task]) -> None:
    tasks = [task("crashing", "crashes", "leaves"), *(task(f"t{number}", seconds=0.1) for number in range(8))]
    told = mapped(tasks)
    assert sorted(each.name for each in told) == sorted(each.name for each in tasks)
    assert [attempts(each) for each in tasks] == [3] + [1] * 8
    assert SAID == [
        "the worker process of the cell crashing died (SIGSEGV, a crash in a library's native code); the cell begins "
        "anew, attempt 2 of 3",
        "the worker process of the cell crashing died (it left with exit code 7: some code of a component, or of a "
        "library, ended the process); the cell begins anew, attempt 3 of 3",
    ]


def test_a_cell_s_last_attempt_waits_until_the_others_are_done(task: Callable[..., Task]) -> None:
    mapped([task("crashing", "crashes", "leaves"), task("other", after="crashing.2", seconds=1)])
    other, last = (task("any").folder / name for name in ("other.1", "crashing.3"))
    assert other.stat().st_mtime_ns < last.stat().st_mtime_ns


def test_after_a_kill_fewer_run_at_once(task: Callable[..., Task]) -> None:
    tasks = [task("greedy", "killed"), *(task(f"t{number}", seconds=0.1) for number in range(8))]
    told = mapped(tasks, jobs=3)
    assert sorted(each.name for each in told) == sorted(each.name for each in tasks)
    assert SAID == [
        "the worker process of the cell greedy died (SIGKILL, often: out of memory); the cell begins anew, attempt 2 "
        "of 3",
        "from here on 2 at once, not 3, since memory ran out",
    ]
    assert len({each.process for each in told}) == 2, "two of the three went on, and none was started"


def test_the_third_death_of_a_cell_ends_the_run_after_the_others_are_done(task: Callable[..., Task]) -> None:
    tasks = [task("bad", "killed", "crashes", "killed"), *(task(f"t{number}") for number in range(5))]
    done: list[str] = []
    with pytest.raises(CodrunError) as caught:
        for each in executor().map(Work(tasks[0].folder), tasks, 2):
            done.append(each.name)
    assert sorted(done) == ["t0", "t1", "t2", "t3", "t4"]
    assert str(caught.value) == (
        "the worker process of the cell bad died 3 times without an error message (SIGKILL, often: out of memory); "
        "finished cells are not repeated when the same command is run again"
    )
    assert [attempts(each) for each in tasks] == [3, 1, 1, 1, 1, 1]


def test_a_dead_worker_s_own_child_hides_nothing(task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the connection open."""
    folder = task("forking").folder
    monkeypatch.setenv("CHILD_IN", str(folder))
    told = mapped([task("forking", "leaves_a_child"), task("other")])
    assert sorted(each.name for each in told) == ["forking", "other"]
    assert (folder / "child").exists(), "the child goes on still"
    (folder / "child").unlink()


def test_a_cell_that_runs_out_of_memory_beside_others_begins_anew_alone(task: Callable[..., Task]) -> None:
    tasks = [task("large", "out_of_memory", seconds=0.3), *(task(f"t{number}", seconds=0.3) for number in range(4))]
    told = mapped(tasks, jobs=3)
    assert sorted(each.name for each in told) == sorted(each.name for each in tasks)
    assert told[-1].name == "large"
    assert SAID == [
        "the cell large ran out of memory beside 2 others; it begins anew, alone, once the others are done",
        "from here on 2 at once, not 3, since memory ran out",
    ]
    assert (tasks[0].folder / "large.2").read_text() == f"{told[-1].process} 0", "nothing else was at work"
    assert told[-1].process not in {each.process for each in told[:-1]}, "a new process, whose memory is its own"


def test_cells_that_run_out_of_memory_together_each_begin_anew_alone(task: Callable[..., Task]) -> None:
    """The second fails when the first has left already."""

    def say(sentence: str) -> None:
        SAID.append(sentence.partition(";")[0])
        (task("b").folder / "said").touch()

    tasks = [task("a", "out_of_memory"), task("b", "out_of_memory", after="said")]
    told = Processes(ProcessOptions(), BuildContext(say=say)).map(Work(tasks[0].folder), tasks, 2)
    assert sorted(each.name for each in told) == ["a", "b"]
    assert SAID == [
        "the cell a ran out of memory beside 1 other",
        "from here on 1 at once, not 2, since memory ran out",
        "the cell b ran out of memory beside 1 other",
    ]


def test_a_worker_that_dies_between_two_tasks_costs_no_attempt(task: Callable[..., Task]) -> None:
    tasks = [task("a"), *(task(f"t{number}", seconds=0.2) for number in range(4))]
    results = executor().map(Work(tasks[0].folder), tasks, 2)
    first = next(results)  # whose worker has nothing to do until the next is asked for
    os.kill(first.process, signal.SIGKILL)
    os.waitid(os.P_PID, first.process, os.WEXITED | os.WNOWAIT)
    told = [first, *results]
    assert sorted(each.name for each in told) == sorted(each.name for each in tasks)
    assert len({each.process for each in told}) == 3
    assert SAID == []


def test_a_cell_that_runs_out_of_memory_alone_ends_the_run(task: Callable[..., Task]) -> None:
    tasks = [task("large", "out_of_memory", "out_of_memory"), task("other", seconds=0.2)]
    with pytest.raises(MemoryError, match="no more"):
        mapped(tasks)
    assert attempts(tasks[0]) == 2


def test_a_gpu_that_a_cell_has_to_itself_is_not_tried_twice(task: Callable[..., Task]) -> None:
    def say(sentence: str) -> None:
        SAID.append(sentence)
        (task("alone").folder / "said").touch()

    places = [Place(Gpu(number, str(number)), {"CUDA_VISIBLE_DEVICES": str(number)}) for number in (0, 0, 1)]
    tasks = [task("shared", "out_of_memory"), task("t0", seconds=1), task("alone", "out_of_memory", after="said")]
    crew = Crew(Work(tasks[0].folder), tasks, places, say)
    try:
        with pytest.raises(MemoryError):
            list(crew.results())
    finally:
        crew.disband(now=True)
    assert SAID == [
        "the cell shared ran out of memory of its GPU beside 1 other; it begins anew, alone, once the others are done",
        "from here on 2 at once, not 3, since memory ran out",
    ]
    assert (attempts(tasks[0]), attempts(tasks[2])) == (1, 1)


def test_an_exception_comes_home_with_its_traceback(task: Callable[..., Task]) -> None:
    with pytest.raises(ZeroDivisionError, match="on purpose") as caught:
        mapped([task("a", "fails"), task("b", seconds=30)])
    assert "tasks_for_workers.py" in str(caught.value.__cause__) and "in fails" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match=r"tasks_for_workers.Strange: one and other"):
        mapped([task("c", "strange"), task("d")])
    with pytest.raises(SystemExit) as left:
        mapped([task("e", "exits"), task("f")])
    assert left.value.code == 3
    with pytest.raises(ValueError, match="no plugin"):
        list(executor().map(Work(task("a").folder, loads="no plugin"), [task("g"), task("h")], 2))
    with pytest.raises(Exception, match="pickle"):
        list(executor().map(gives_what_cannot_travel, [task("i"), task("j")], 2))


def test_what_is_left_half_way_stops_the_workers(task: Callable[..., Task]) -> None:
    """As Ctrl-C does, which is raised wherever the run is."""
    results = executor().map(Work(task("a").folder), [task("a"), task("b", seconds=30), task("c", seconds=30)], 2)
    assert next(results).name == "a"
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert multiprocessing.active_children() == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tasks_for_workers import Task, Work
from cod_runner.api import BuildContext
from codrun_executors.plugin import ProcessOptions
from codrun_executors.processes import Processes

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    tasks = [Task("first", folder), *(Task(f"t{number}", folder, (), 60) for number in range(3))]
    for told in Processes(ProcessOptions(), BuildContext()).map(Work(folder), tasks, 2):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_run_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run([sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)], check=False)
    assert done.returncode == -9
    workers = {int(path.name.split(".")[1]) for path in tmp_path.glob("loaded.*")}
    assert workers
    until = time.monotonic() + 240
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker goes on"
        time.sleep(0.05)


def test_a_worker_that_does_not_leave_is_killed(task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "SECONDS_TO_END", 0.2)
    tasks = [task("a", after="deaf"), task("b", "ignores_the_end"), task("c", seconds=30)]
    monkeypatch.setenv("DEAF_IN", str(tasks[0].folder))
    results = executor().map(Work(tasks[0].folder), tasks, 2)
    assert next(results).name == "a"
    results.close()
    assert multiprocessing.active_children() == []

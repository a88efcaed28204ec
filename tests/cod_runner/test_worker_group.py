"""Processes that work together: what they tell arrives, and none is left however one of them, or their parent, ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cod_runner.errors import CodrunError, SettingError
from cod_runner.machine import cores
from cod_runner.worker_group import Place, Tell, Told, WorkerGroup, most_on_the_cpu, places_for, worker_group

pytestmark = pytest.mark.slow

TWO = places_for(2, None)
Group = Callable[[Callable[[Place, Tell], Any]], list[Told]]


def counts(place: Place, tell: Tell) -> int:
    for number in range(3):
        tell(number)
    return place.number * 10


def sees(place: Place, tell: Tell) -> tuple[str | None, bool]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def waits(place: Place, tell: Tell) -> None:
    tell(os.getpid())
    time.sleep(120)


def the_second_dies(place: Place, tell: Tell) -> None:
    tell("before")
    if place.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    raise RuntimeError("Connection closed by peer")  # as gloo says, often before the death is seen


def the_second_leaves(place: Place, tell: Tell) -> None:
    if place.number == 1:
        os._exit(3)
    time.sleep(120)


def the_second_refuses(place: Place, tell: Tell) -> None:
    if place.number == 1:
        time.sleep(0.2)
        raise SettingError("its `rows` are too few", "rows")
    raise RuntimeError("Connection closed by peer")


class Unpicklable(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def fails(place: Place, tell: Tell) -> None:
    raise Unpicklable("a bug", "of ours") if place.number else ValueError("another")


@dataclass(frozen=True)
class EndsWhenAsked:
    """Its first process puts its work in order when it is asked to end."""

    note: Path

    def __call__(self, place: Place, tell: Tell) -> None:
        def in_order(number: int, frame: object) -> None:
            self.note.write_text("in order")
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

        if place.number == 0:
            signal.signal(signal.SIGTERM, in_order)
        tell(os.getpid())
        time.sleep(120)


def alive(process: int) -> bool:
    """A zombie is not, wherever its parent waits for it late."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def none_is_left(processes: list[int]) -> bool:
    until = time.monotonic() + 100
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, processes))


def started(work: Callable[[Place, Tell], Any], told: list[Told]) -> list[int]:
    """Process numbers; what was told before the end is added to ``told``."""
    with worker_group(work, TWO, "that count", "run it again") as group:
        numbers = [member.process.pid or 0 for member in group._members]
        try:
            told += group.told()
        finally:
            assert len(numbers) == 2
    assert none_is_left(numbers)
    return numbers


def test_what_they_tell_arrives_in_the_order_of_each_and_what_they_return_last() -> None:
    told: list[Told] = []
    started(counts, told)
    for number in (0, 1):
        mine = [each for each in told if each.number == number]
        assert mine == [*(Told(number, count) for count in range(3)), Told(number, number * 10, last=True)]


def test_each_sees_its_own_gpu_and_leaves_ctrl_c_to_the_parent() -> None:
    before = dict(os.environ)
    with worker_group(sees, places_for(2, ["GPU-a", "7"]), "that see", "run it again") as group:
        seen = {told.number: told.content for told in group.told()}
    assert dict(os.environ) == before
    assert [seen[number] for number in (0, 1)] == [("GPU-a", True), ("7", True)]


def test_a_death_is_told_in_one_sentence_before_what_the_others_make_of_it() -> None:
    told: list[Told] = []
    with pytest.raises(CodrunError) as caught:
        started(the_second_dies, told)
    assert str(caught.value) == "process 2 of the 2 that count died (SIGKILL, often: out of memory); run it again"
    assert Told(1, "before") in told


def test_a_death_by_exit_code_while_the_other_waits_for_ever() -> None:
    with pytest.raises(CodrunError) as caught:
        started(the_second_leaves, [])
    assert "process 2 of the 2 that count died (it left with exit code 3: some code of a component" in str(caught.value)


def test_a_foreseen_error_comes_home_whole_before_any_other() -> None:
    with pytest.raises(SettingError, match="its `rows` are too few") as caught:
        started(the_second_refuses, [])
    assert caught.value.setting == ("rows",)


def test_an_unforeseen_error_brings_its_traceback() -> None:
    with pytest.raises((ValueError, RuntimeError)) as caught:
        started(fails, [])
    assert re.search(r'test_worker_group.py", line \d+, in fails', str(caught.value.__cause__))


def test_one_that_is_asked_to_end_puts_its_work_in_order(tmp_path: Path) -> None:
    numbers: list[int] = []
    with worker_group(EndsWhenAsked(tmp_path / "note"), TWO, "that wait", "run it again") as group:
        for told in group.told():
            numbers.append(told.content)
            if len(numbers) == 2:
                group.ask_to_end()
    assert (tmp_path / "note").read_text() == "in order"
    assert none_is_left(numbers)


def interrupted(group: WorkerGroup) -> list[int]:
    """Process numbers of a group that a Ctrl-C ends."""
    numbers: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        for told in group.told():
            numbers.append(told.content)
            if len(numbers) == 2:
                signal.raise_signal(signal.SIGINT)
    return numbers


def test_ctrl_c_leaves_no_process() -> None:
    with worker_group(waits, TWO, "that wait", "run it again") as group:
        numbers = interrupted(group)
    assert none_is_left(numbers)


HEAD = """
import sys
sys.path.insert(0, {here!r})
from test_worker_group import TWO, waits
from cod_runner.worker_group import worker_group

if __name__ == "__main__":
    with worker_group(waits, TWO, "that wait", "run it again") as group:
        for told in group.told():
            print(told.content, flush=True)
"""


def test_kill_9_of_the_parent_leaves_no_process(tmp_path: Path) -> None:
    script = tmp_path / "head.py"
    script.write_text(HEAD.format(here=str(Path(__file__).parent)))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        numbers = [int(head.stdout.readline()) for _ in TWO]
        assert all(map(alive, numbers))
        head.kill()
    assert none_is_left(numbers)


def test_no_recipe_starts_more_than_there_are_cores() -> None:
    assert most_on_the_cpu() == max(2, len(os.sched_getaffinity(0)))
    assert [Place(0, of).cores for of in (1, 2, 1_000)] == [cores(), max(1, cores() // 2), 1]

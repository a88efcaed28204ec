"""Work for Ray's workers, which import this module by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


class Stubborn(Exception):
    """Has what an exception may have beside its sentence."""

    def __init__(self, sentence: str, *, place: str = "") -> None:
        super().__init__(sentence)
        self.place = place


def wait_for(path: Path, seconds: float = 240) -> None:
    """Until the file is there; gives up in time for a test to fail."""
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path} has not come")
        time.sleep(0.01)


def node_of(task: Path) -> str:
    """The node's id, told in the folder too; ends when the file `go` is in it."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    (task / node).touch()
    wait_for(task / "go")
    return str(node)


def dies_once(task: Path) -> str:
    """Killed on the first attempt, as by a kernel without memory."""
    try:
        (task / "killed").touch(exist_ok=False)
    except FileExistsError:
        return "whole"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def always_dies(task: Path) -> None:
    with (task / "deaths").open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def raises(task: int) -> int:
    if task == 1:
        error = Stubborn("this one", place="here")
        error.add_note("a note")
        raise error
    return task


def speaks(task: str) -> int:
    """Writes to both streams, from Python and below it."""
    print(f"printed {task}")
    os.write(2, f"written {task}\n".encode())
    return os.getpid()


def sleeps(task: Path) -> None:
    """Tells its process, and never ends by itself."""
    (task / f"pid-{os.getpid()}").touch()
    time.sleep(600)

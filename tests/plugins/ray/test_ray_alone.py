"""A Ray of the run's own on this machine: it leaves nothing behind, however the run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for processes")]
HERE = Path(__file__).parent
PROGRAM = str(HERE / "run_alone.py")


@pytest.fixture(autouse=True)
def ray_is_installed() -> None:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")


def start(work: str, folder: Path, home: Path) -> subprocess.Popen[str]:
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    return subprocess.Popen(
        [sys.executable, PROGRAM, work, str(folder)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def started_by(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def until(holds: Callable[[], bool], seconds: float = 240) -> None:
    last = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < last, "it has not come about"
        time.sleep(0.1)


def test_it_changes_nothing_in_its_process_prints_nothing_and_leaves_no_file(short_folder: Path) -> None:
    program = start("dies_once", short_folder, short_folder / "h")
    out, err = program.communicate(timeout=240)
    assert err == ""
    assert json.loads(out) == {"found": ["whole"], "changed": {}}
    assert list((short_folder / "h").iterdir()) == []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_listens_to_this_machine_alone_and_no_process_outlives_it(short_folder: Path, end: signal.Signals) -> None:
    program = start("sleeps", short_folder, short_folder / "h")
    until(lambda: bool(list(short_folder.glob("pid-*"))), 240)
    processes = started_by(program.pid)
    worker = int(next(short_folder.glob("pid-*")).name.removeprefix("pid-"))
    assert worker in {process.pid for process in processes}
    listening = [each.laddr for process in processes for each in process.net_connections() if each.status == "LISTEN"]
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    # after SIGKILL two of Ray's own try for a minute to tell the head that its node is gone, and then end too
    ending = [process for process in processes if end != signal.SIGKILL or "Agent" not in process.cmdline()[0]]
    assert len(ending) >= len(processes) - 2
    os.kill(program.pid, end)
    _, err = program.communicate(timeout=240)
    assert program.returncode == -end
    if end == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert list((short_folder / "h").iterdir()) == []
    until(lambda: not any(map(is_alive, ending)))

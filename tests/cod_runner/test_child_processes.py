"""How a process that this one starts begins and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cod_runner.child_processes import how_it_ended, starting_workers

SAYS = "import os, signal; print(os.environ.get('OF_A_WORKER'), signal.SIGINT in signal.pthread_sigmask(0, []))"


def test_what_starts_inside_has_its_environment_and_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_A_WORKER", "before")
    with starting_workers({"OF_A_WORKER": "inside"}):
        said = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["inside", "True"]
    assert os.environ["OF_A_WORKER"] == "before"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_variable_that_was_not_there_is_gone_again_also_after_a_fault() -> None:
    with pytest.raises(ZeroDivisionError), starting_workers({"OF_A_WORKER": "1"}):
        assert 1 / 0
    assert "OF_A_WORKER" not in os.environ


WRITES = """
import sys
from collections import Counter
from pathlib import Path
from cod_runner.child_processes import write_output_to
write_output_to(Path(sys.argv[1]))
for _ in range(2000):
    print(sys.argv[2] * 20)
    print(sys.argv[2] * 20, file=sys.stderr)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_of_several_processes_in_one_file_stay_whole(tmp_path: Path, unbuffered: str) -> None:
    file = tmp_path / "workers.log"
    variables = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, str(file), letter], env=variables) for letter in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = Counter(file.read_text().splitlines())
    assert len(lines) == 3 and set(lines.values()) == {4000}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "SIGKILL, often: out of memory"),
        (-11, "SIGSEGV, a crash in a library's native code"),
        (-15, "SIGTERM"),
        (-40, "signal 40"),
        (3, "it left with exit code 3: some code of a component, or of a library, ended the process"),
    ],
)
def test_an_exit_code_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words

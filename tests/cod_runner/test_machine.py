"""How many threads fine-tune a teacher."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cod_runner.machine import cores, finetuning_threads


@pytest.mark.parametrize(
    ("variable", "threads"),
    [(None, 4), ("1", 1), (" 2 ", 2), ("3,2,1", 3), ("64", 4), ("0", 4), ("-1", 4), ("", 4), ("all", 4), ("²", 4)],
)
def test_the_cores_that_this_process_may_use_or_fewer_by_the_variable(
    variable: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {1, 2, 5, 7}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert cores() == 4
    assert finetuning_threads() == threads


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_threads_wait_without_spinning_unless_the_user_says_so(own: str | None) -> None:
    """OpenMP reads the variable when torch is imported, so it is there before."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = "import os, sys, cod_runner; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", command],
        env=environment | ({"OMP_WAIT_POLICY": own} if own else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [own or "PASSIVE", "False"]

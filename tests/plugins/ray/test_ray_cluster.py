"""The tests on a cluster, in a process that has not imported Ray for another one before."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("on_a_cluster.py")


@pytest.mark.long
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_all_that_needs_a_cluster_of_two_nodes() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", str(TESTS)]
    done = subprocess.run(
        command, cwd=TESTS.parent, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout

"""Ray starts several processes, and loads slowly: one cluster of two nodes serves all tests of this folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from codrun_ray import session

OBJECT_STORE_BYTES = 80_000_000
sys.path.append(str(Path(__file__).parents[1]))  # for `executed_runs`, which other folders share


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and a second node, with a CPU each, on the loopback address; this process is not connected to it."""
    if find_spec("ray") is None:  # not imported yet: Ray reads the variables below when it is
        pytest.skip("Ray is not installed")
    folder = Path(tempfile.mkdtemp(prefix="codrun-t-", dir="/tmp"))
    here = str(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        (folder / "ray").mkdir()
        patch.setenv("RAY_TMPDIR", str(folder))  # where a cluster notes its address for `auto`
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if "ray" not in sys.modules:  # it reads this when it is imported first
            patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", session._token())
        patch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))  # workers import the tests' own work
        patch.syspath_prepend(here)
        from ray.cluster_utils import Cluster

        wanted = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES, "temp_dir": str(folder / "ray")}
        made = Cluster(initialize_head=True, head_node_args={**wanted, "include_dashboard": False})
        try:
            made.add_node(**wanted)
            yield made
        finally:
            made.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """One with a path short enough for sockets, which those of pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="codrun-t-", dir="/tmp") as folder:
        yield Path(folder)

"""Free memory, within the limits of Linux's control groups: of files that are laid out as its file system is."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from codrun_executors import memory
from codrun_executors.memory import free_in_groups, free_memory


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_group_and_the_groups_it_is_in_each_bound_it(tmp_path: Path) -> None:
    root = lay(tmp_path, {
        "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
        "sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max\n",
        "sys/fs/cgroup/slurm/job_7/step_0/memory.current": "100\n",
        "sys/fs/cgroup/slurm/job_7/memory.max": "5000\n",
        "sys/fs/cgroup/slurm/job_7/memory.current": "3000\n",
        "sys/fs/cgroup/slurm/job_7/memory.stat": "anon 1500\ninactive_file 1200\nactive_file 300\n",
        "sys/fs/cgroup/slurm/memory.max": "9000\n",
        "sys/fs/cgroup/slurm/memory.current": "8000\n",
    })  # fmt: skip
    assert list(free_in_groups(root)) == [3200, 1000]


def test_a_container_sees_its_group_alone(tmp_path: Path) -> None:
    """Its path is that of the machine, or the root."""
    for path in ("/docker/3f2a", "/"):
        root = lay(tmp_path / path.strip("/").replace("/", "-"), {
            "proc/self/cgroup": f"0::{path}\n",
            "sys/fs/cgroup/memory.max": "4000\n",
            "sys/fs/cgroup/memory.current": "4500\n",
            "sys/fs/cgroup/memory.stat": "inactive_file 200\n",
        })  # fmt: skip
        assert list(free_in_groups(root)) == [0], "more is in use than its limit: none is free"


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    root = lay(tmp_path, {
        "proc/self/cgroup": "9:name=systemd:/\n8:pids:/\n4:cpu,memory:/jobs/7\n0::/\n",
        "sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes": "4000\n",
        "sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes": "1000\n",
        "sys/fs/cgroup/memory/jobs/7/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    })  # fmt: skip
    assert list(free_in_groups(root)) == [3500, 9223372036854770712]


def test_without_control_groups(tmp_path: Path) -> None:
    assert list(free_in_groups(tmp_path)) == []
    assert list(free_in_groups(lay(tmp_path, {"proc/self/cgroup": "0::/\n"}))) == []


def test_free_is_what_the_tightest_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    available = psutil.virtual_memory().available
    assert 0 < free_memory() < psutil.virtual_memory().total
    monkeypatch.setattr(memory, "free_in_groups", lambda root: iter([available * 4, 1234]))
    assert free_memory() == 1234
    monkeypatch.setattr(memory, "free_in_groups", lambda root: iter([available * 4]))
    assert available / 2 < free_memory() <= available * 2

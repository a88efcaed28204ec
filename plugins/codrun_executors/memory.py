"""How much memory of this machine is free for new processes, in what its containers and jobs may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil


def free_memory() -> int:
    """Bytes that can be taken without swapping, on the machine and in every control group of Linux that bounds this
    process (a container, a Slurm job, a systemd slice)."""
    return min([psutil.virtual_memory().available, *free_in_groups(Path("/"))])


def free_in_groups(root: Path) -> Iterator[int]:
    """Of each control group with a limit that this process is in, below ``root``, the machine's file system: the limit
    less what is in use, of which the file cache that nothing has touched lately counts as free."""
    for folder, limit, usage, unused in _groups(root):
        bytes_at_most, in_use = _number(folder / limit), _number(folder / usage)
        if bytes_at_most is not None and in_use is not None:
            yield max(0, bytes_at_most - in_use + _field(folder / "memory.stat", unused))


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """The folders of the process's groups, innermost first, with the names of what each says, in version 2 or 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # in a container the path may be the machine's, of which only the innermost group is there, as the mount itself
        inside = PurePosixPath(path.lstrip("/"))
        for folder in dict.fromkeys([mount / inside, *(mount / above for above in inside.parents), mount]):
            yield folder, *names


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no file, or it says ``max``."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None


def _field(path: Path, name: str) -> int:
    """A number of a file of names and numbers; 0 where it has none of the name."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    numbers = [line.split()[1] for line in lines if line.split()[:1] == [name] and len(line.split()) == 2]
    return int(numbers[0]) if numbers and numbers[0].isdigit() else 0

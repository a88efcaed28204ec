"""What this machine is: its cores and what is installed; asked by plans and records, so without torch."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def finetuning_threads() -> int:
    """Threads that fine-tune a teacher: all cores that this process may use, or fewer if ``OMP_NUM_THREADS`` says so.

    Part of the teacher's key, for sums over threads round differently. Students and the teacher's answers are computed
    on one thread each, so the variable changes nothing about them.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # further ones are of nested threads
    return min(int(first), cores()) if first.isascii() and first.isdigit() and int(first) > 0 else cores()


def provenance() -> dict[str, Any]:
    """Where a run ran: versions, git commit of the working folder, machine. Nothing secret, no absolute paths."""
    versions = {}
    for name in ("codrun", "torch", "transformers", "datasets", "litellm", "pydantic", "tokenizers", "onnxruntime"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "git_commit": _git_commit(),
        "machine": {
            "system": platform.system(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
    }


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

"""A program whose cells run on a Ray of its own; prints what it changed in its process, as JSON. Started by tests."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from ray_work import dies_once, sleeps

from cod_runner.api import BuildContext
from codrun_ray.executor import Ray
from codrun_ray.plugin import RayOptions


def state() -> dict[str, Any]:
    """What a library has no business to change in the process that imports it."""
    return {
        "signals": [str(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)],
        "environment": dict(os.environ),
        "hook": str(sys.excepthook),
        "faulthandler": faulthandler.is_enabled(),
        "logging": [logging.getLogger().level, list(map(str, logging.getLogger().handlers))],
        "threads": threading.active_count(),
        "folder": str(Path.cwd()),
    }


def main(work: str, folder: Path) -> None:
    before = state()
    executor = Ray(RayOptions(), BuildContext(say=lambda sentence: None))
    found = list(executor.map({"dies_once": dies_once, "sleeps": sleeps}[work], [folder], 2))
    after = state()
    changed = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    print(json.dumps({"found": found, "changed": changed}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

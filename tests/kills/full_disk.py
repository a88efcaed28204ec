"""Runs a tiny recipe in forked children whose files may not grow beyond a limit, as on a full disk, and then without:
``python full_disk.py FOLDER BYTES...``. Prints a JSON line for each limit."""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

from killed_recipe import RECIPE
from killed_runs import child, ended, left, run


def main(root: Path, limits: list[int]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "tiny.yaml").write_text(RECIPE)
    for limit in limits:
        folder = root / str(limit)
        folder.mkdir()

        def limited(limit: int = limit, folder: Path = folder) -> int:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return run(folder)

        full = ended(child(limited))
        told = {"limit": limit, "full": full, "between": left(folder)}
        again = ended(child(lambda folder=folder: run(folder)))  # type: ignore[misc]
        print(json.dumps({**told, "again": again, "left": left(folder)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(each) for each in sys.argv[2:]])

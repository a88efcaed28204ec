"""Runs a tiny recipe in forked children, kills each with ``kill -9`` at a chosen moment or after a delay, and runs it
again: ``python killed_runs.py FOLDER MOMENT...``.

A moment is the number of a call that changes a file's name or waits for the disk, or ``12ms``, or ``PART`` of a path
that is about to be replaced (``teachers``, ``students``). Prints a JSON line for each: what was done when it was
killed, the exit code of the second run, whether its cells are equal, and what is left behind. Without moments it prints
the number of calls. Forked, since importing torch takes longer than the run.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from killed_recipe import RECIPE

from cod_runner.cli.program import call

WATCHED = ("replace", "fsync", "mkdir", "unlink", "rmdir", "rename")
TEMPORARY = re.compile(r"^\.codrun-partial-|^\..+\.[a-z0-9_]{8}$")


def run(folder: Path) -> int:
    """The recipe with its store and its run's folder below ``folder``."""
    os.environ["CODRUN_HOME"] = str(folder / "home")
    torch.set_num_threads(1)
    return call([str(folder.parent / "tiny.yaml"), "--out", str(folder / "run"), "--jobs", "1", "--quiet", "--json"])


def killing(moment: str, note: Path) -> Callable[[], int]:
    """Watch the calls of this process; returns how many there were so far, and kills it when its moment comes."""
    seen = 0

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            path = str(arguments[-1]) if arguments else ""
            if moment == str(seen) or (name == "replace" and moment.isalpha() and f"/{moment}" in path):
                note.write_text(f"{name} {path}")
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return instead

    for name in WATCHED:
        setattr(os, name, watched(name, getattr(os, name)))
    return lambda: seen


def child(work: Callable[[], int]) -> int:
    """Process number of a forked child that ends with the code that ``work`` returns; its words are discarded."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        code = 70
        try:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                code = work()
        except Exception:  # noqa: BLE001 - a fork must not return into the code of its parent
            traceback.print_exc()
        finally:
            os._exit(code)
    return number


def ended(number: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def cells(folder: Path) -> list[dict[str, Any]]:
    """What must be equal: every line of ``cells.jsonl`` and of ``counterfactuals.jsonl``, without times."""
    lines = []
    for name in ("cells.jsonl", "counterfactuals.jsonl"):
        for text in (folder / "run" / name).read_text(encoding="utf-8").splitlines():
            lines.append({key: value for key, value in json.loads(text).items() if "seconds" not in key})
    return sorted(lines, key=lambda line: json.dumps(line, sort_keys=True))


def left(folder: Path) -> list[str]:
    """Temporary files and the lock files of processes that are gone."""
    found = [path for path in folder.rglob("*") if TEMPORARY.search(path.name)]
    found += [*folder.glob("home/.users/*"), *folder.glob("home/llm.sqlite.owners/*.lock")]
    return sorted(str(path.relative_to(folder)) for path in found)


def main(root: Path, moments: list[str]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "tiny.yaml").write_text(RECIPE)
    reference, counted = root / "reference", root / "counted"

    def first() -> int:
        calls = killing("never", root / "never")
        code = run(reference)
        counted.write_text(str(calls()))
        return code

    assert ended(child(first)) == 0
    print(json.dumps({"calls": int(counted.read_text())}), flush=True)
    for index, moment in enumerate(moments):
        folder, note = root / f"{index}-{moment}", root / f"{index}-{moment}.killed"
        folder.mkdir()

        def once(moment: str = moment, folder: Path = folder, note: Path = note) -> int:
            killing(moment, note)
            return run(folder)

        number = child(once)
        if moment.endswith("ms"):
            time.sleep(int(moment.removesuffix("ms")) / 1000)
            os.kill(number, signal.SIGKILL)
        before = ended(number)
        between = left(folder)
        code = ended(child(lambda folder=folder: run(folder)))  # type: ignore[misc]
        told = {
            "moment": moment, "killed": note.read_text() if note.exists() else before, "between": between,
            "code": code, "equal": code == 0 and cells(folder) == cells(reference), "left": left(folder),
        }  # fmt: skip
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

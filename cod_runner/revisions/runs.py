"""A recipe run at one revision, by a process that has the revision's code and files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cod_runner.errors import CodrunError, ExpectationMissed, RecipeError
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.revisions.flags import Flags
from cod_runner.revisions.source import Developed
from cod_runner.runs.failed import failed_in_words
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.reading import read_record_file, read_run

PROGRAM = "import sys; from cod_runner.cli import main; sys.argv[0] = 'codrun'; main()"
INTERRUPTED = 130
SECONDS_TO_END = 15.0
"""For a run that was interrupted, until it is killed; what it has finished is on disk all the while."""


@dataclass(frozen=True)
class Side:
    """One revision: its files, and the environment in which Python has its code."""

    name: str
    """``main``, ``working tree``."""
    state: str
    """``1a2b3c4d5e6f``, ``1a2b3c4d5e6f with changes``."""
    tree: Path
    """The folder of its files."""
    top: Path
    """The folder of the user's working tree."""
    folder: Path
    """Where its runs lie; absolute."""
    environment: Mapping[str, str] = field(hash=False, compare=False)
    developed: list[Developed] = field(hash=False, compare=False)

    def run_of(self, recipe: Path, flags: Flags) -> Path:
        """The folder of a recipe's run."""
        name = recipe.stem + (f"-{flags.profile}" if flags.profile else "")
        return self.folder / recipe.parent / name

    @property
    def working_folder(self) -> Path:
        """The user's, as this side has it."""
        here = Path.cwd().resolve()
        moved = self.tree / here.relative_to(self.top) if here.is_relative_to(self.top) else self.tree
        return moved if moved.is_dir() else self.tree

    def call(self, command: str, recipe: Path, words: Sequence[str], flags: Flags) -> list[str]:
        """The command line of `codrun COMMAND RECIPE` with this side's code."""
        written = os.path.relpath(self.tree / recipe, self.working_folder)
        out = f"--out={self.run_of(recipe, flags)}"
        return [sys.executable, "-P", "-c", PROGRAM, command, out, *words, "--", written]

    def folders(self, flags: Flags) -> tuple[Path, ...]:
        """``--allow-folder``, and the same folders of the worktree."""
        found = []
        for each in flags.allow_folders:
            real = each.resolve()
            found.append(real)
            if self.tree != self.top and real.is_relative_to(self.top):
                found.append(self.tree / real.relative_to(self.top))
        return tuple(found)


@dataclass(frozen=True)
class PlannedRun:
    """A recipe at one side, before it runs."""

    side: Side
    recipe: Path
    flags: Flags
    cells: int
    done: int
    calls: tuple[str, ...]
    """Paid or counted calls of models, in words."""

    def __str__(self) -> str:
        calls = f"; model calls: {'; '.join(self.calls)}; the recipe's budget holds for each side" if self.calls else ""
        return f"{self._what}: {self.cells} cells, {self.done} done, {self.cells - self.done} to run{calls}"

    @property
    def _what(self) -> str:
        return f"{self.recipe.as_posix()} at {self.side.name}"

    def run(self, progress: Progress) -> list[str]:
        """Run it unless all its cells are done; what must be said of the run.

        Raises :class:`CodrunError` where it failed, :class:`KeyboardInterrupt` where it was interrupted.
        """
        side, folder = self.side, self.side.run_of(self.recipe, self.flags)
        if self.cells == self.done and _has_ended(folder):
            return []
        progress.say(f"{self._what}: running")
        code = _run(side.call("run", self.recipe, self.flags.of_a_run(side.folders(self.flags)), self.flags), side)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code == ExpectationMissed.exit_code:
            return [f"{self._what}: an expectation of the recipe was missed."]
        if code == CodrunError.exit_code and (lacks := _lacks(folder)):
            return [f"{self._what}: {lacks}."]
        if code == RecipeError.exit_code:
            raise RecipeError(f"{self._what} cannot run, for the cause above")
        if code != 0:
            raise CodrunError(f"{self._what} failed (exit code {code}), for the cause above; the same command goes on")
        return []


def planned_run(side: Side, recipe: Path, flags: Flags) -> PlannedRun:
    """Plan a recipe with the side's own code, in about a second; raises :class:`RecipeError` for a faulty one."""
    words = ["--json", *flags.of_a_plan(side.folders(flags))]
    done = subprocess.run(
        side.call("plan", recipe, words, flags),
        cwd=side.working_folder,
        env=dict(side.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode(errors="replace").strip()
    if said.startswith("Usage:"):
        said = said.splitlines()[-1].removeprefix("Error: ")
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode != 0:
        raise RecipeError(f"{recipe.as_posix()} at {side.name} cannot run: {said or f'exit code {done.returncode}'}")
    try:
        plan = json.loads(done.stdout)
        calls = [*plan.get("calls", []), *(query.get("calls") for query in plan.get("queries", []))]
        told = tuple(_calls_in_words(each) for each in calls if each)
        return PlannedRun(side, recipe, flags, len(plan["cells"]), int(plan["done"]), told)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CodrunError(f"codrun's code at {side.name} writes a plan that this version cannot read") from error


def _run(call: Sequence[str], side: Side) -> int:
    """Run a process whose standard error is ours; one that is interrupted is waited for."""
    process = subprocess.Popen(
        call,
        cwd=side.working_folder,
        env=dict(side.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let an interrupted run end in its own way; from a terminal it was interrupted together with this process."""
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(timeout=1)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(timeout=SECONDS_TO_END)
    if process.poll() is None:
        process.kill()
        process.wait()


def _has_ended(folder: Path) -> bool:
    record = read_record_file(RunFolder(folder).record)
    return record is not None and record.get("finished") is not None


def _lacks(folder: Path) -> str:
    """Which cells could not run or failed, where all others ran; "" where the run failed otherwise."""
    if not _has_ended(folder):
        return ""
    run = read_run(folder, Registry())
    lacking = sum(each.cells for each in run.record.left_out) + len(run.record.failed)
    if len(run.rows) + lacking != len(run.record.cell_keys or ()):
        return ""
    return "; ".join(filter(None, (run.record.left_out_in_words, failed_in_words(run.record.failed))))


def _calls_in_words(calls: Mapping[str, Any]) -> str:
    """``openai/gpt-4o-mini: 20 to 60 calls, $0.01 to $0.02``."""
    least, most = calls["usd_low"], calls["usd_high"]
    price = "price unknown" if least is None or most is None else f"${least:,.2f} to ${most:,.2f}"
    return f"{calls['model']}: {calls['calls_low']:,} to {calls['calls_high']:,} calls, {price}"

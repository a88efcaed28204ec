"""What STUDENT_OR_RUN of the command line names: a student's folder, or some of the students of a run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cod_runner.errors import RecipeError
from cod_runner.registry import Registry
from cod_runner.runs.choice import choose
from cod_runner.runs.reading import RunFiles, read_run
from cod_runner.runs.records import CellRow
from cod_runner.runs.student_record import FILE

SeedRule = Literal["average", "best"]
MOST_LISTED = 6


@dataclass(frozen=True)
class CellFilter:
    """What the flags ask of a run; None: anything."""

    method: str | None = None
    arm: str | None = None
    k: int | None = None
    seed: int | None = None
    seeds: SeedRule | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def takes(self, row: CellRow) -> bool:
        """Whether the flags leave this cell."""
        pairs = ((self.method, row.method), (self.arm, row.arm), (self.k, row.k), (self.seed, row.seed))
        return all(wanted is None or wanted == there for wanted, there in pairs)


@dataclass(frozen=True)
class Located:
    """The students that were named."""

    folders: tuple[Path, ...]
    """One, or one for each seed whose probabilities are to be averaged."""
    said: str = ""
    """How they were chosen, in a sentence; "" where the user named one."""
    run: RunFiles | None = None
    """The run they are of, where it is known."""


def students_at(where: Path, wanted: CellFilter, registry: Registry) -> Located:
    """The students of a student's folder, an exported one or its file, or of a run's folder, of which ``wanted`` must
    leave cells that differ by seed alone.

    Raises :class:`RecipeError` that says what ``where`` is instead, or what there is to choose from.
    """
    folder = _folder_of(where)
    if (folder / FILE).is_file():
        if wanted:
            raise RecipeError(
                f"{folder} is one student; --method, --arm, --k, --seed and --seeds choose among those of a run: name "
                "the run's folder, or omit them"
            )
        return Located((folder,), run=_run_of(folder, registry))
    run = read_run(folder, registry)
    saved = saved_rows(run)
    left = [row for row in saved if wanted.takes(row)]
    if not left:
        raise RecipeError(f"{folder} has no student {_asked(wanted)}; there {listed(saved)}")
    if len({(row.method, row.arm, row.k) for row in left}) > 1:
        raise RecipeError(
            f"{folder} has students of several settings: choose one with --method, --arm and --k; there "
            f"{listed(left)}; `codrun pick {folder}` says which to take"
        )
    return _of_seeds(run, left, wanted)


def saved_rows(run: RunFiles) -> list[CellRow]:
    """The cells of a run whose students are on disk, in the order of the file; raises :class:`RecipeError` where none
    is."""
    saved = [
        row
        for row in run.rows
        if (folder := folder_of(run, row)).parent == run.folder / "students" and (folder / FILE).is_file()
    ]
    if not saved:
        older = run.rows and any((run.folder / "students").glob("*/config.json"))
        why = "its students were saved by an earlier version, without student.json" if older else "no student was saved"
        cure = "run the recipe again, with `--fresh` where its cells are finished"
        if run.record.not_kept:
            why, cure = "its recipe kept none", "run it with `--students best`, which trains the chosen one again"
        raise RecipeError(f"{run.folder} has no student that can be opened ({why}); {cure}")
    return saved


def folder_of(run: RunFiles, row: CellRow) -> Path:
    """Where the student of a cell is saved."""
    return run.folder / "students" / row.name


def _of_seeds(run: RunFiles, rows: Sequence[CellRow], wanted: CellFilter) -> Located:
    """Of students that differ by seed alone, those that the flags want."""
    first = rows[0]
    setting = f"{first.method} {first.arm} k={first.k}"
    if len(rows) == 1:
        only = "" if wanted.seed is not None else ", the only one saved"
        return Located((folder_of(run, first),), f"student: {setting} seed {first.seed}{only}", run)
    if wanted.seeds == "average":
        seeds = ", ".join(str(row.seed) for row in rows)
        said = f"students: {setting}, probabilities averaged over the seeds {seeds}"
        return Located(tuple(folder_of(run, row) for row in rows), said, run)
    choice = choose(rows, without_teacher=run.record.without_teacher or ())
    by = f"the smallest loss on {choice.held_out_rows} held-out rows" if choice.held_out_rows else "the smallest number"
    said = f"student: {setting} seed {choice.row.seed}, of {len(rows)} seeds the one with {by}"
    return Located((folder_of(run, choice.row),), said, run)


def _folder_of(where: Path) -> Path:
    """The folder that is meant; raises :class:`RecipeError` for what is neither a student nor a run."""
    try:
        if where.is_dir():
            if (where / FILE).is_file() or (where / "recipe.yaml").is_file():
                return where
            raise RecipeError(f"{where} is neither a student's folder nor a run's: {_told_of(where)}")
        if where.is_file():
            if (where.parent / FILE).is_file():
                return where.parent
            raise RecipeError(f"{where} is a file, and neither a student nor a run: {_told_of_file(where)}")
    except OSError as error:
        raise RecipeError(f"{str(where)[:80]} cannot be read ({error.strerror})") from error
    near = _near(where)
    hint = f"; did you mean {near}?" if near else "; name a folder like runs/NAME or runs/NAME/students/CELL"
    raise RecipeError(f"{where}: there is no such folder{hint}")


def _told_of(folder: Path) -> str:
    """What a folder is, and what to name instead."""
    if folder.name == "students" and (folder.parent / "recipe.yaml").is_file():
        return f"name {folder.parent}, or one of the folders in it"
    runs = sorted(path.parent for path in folder.glob("*/recipe.yaml"))
    students = sorted(path.parent for path in folder.glob(f"*/{FILE}"))
    if found := [str(path) for path in (*runs, *students)]:
        more = f", and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
        return f"it holds {', '.join(found[:MOST_LISTED])}{more}; name one of them"
    if (folder / "config.json").is_file():
        return (
            f"it is a checkpoint without {FILE}, which codrun writes beside each student; name one like "
            "runs/NAME/students/CELL, or run its recipe again with this version"
        )
    return f"it has neither {FILE} nor recipe.yaml; name one like runs/NAME or runs/NAME/students/CELL"


def _told_of_file(path: Path) -> str:
    if path.suffix in (".yaml", ".yml"):
        if path.name == "recipe.yaml":
            return f"name {path.parent}"
        return f"run it with `codrun {path}`, and name the run's folder"
    if (path.parent / "recipe.yaml").is_file():
        return f"name the run's folder, {path.parent}"
    return f"an exported model has a {FILE} beside it, and this one has none"


def _near(where: Path) -> str | None:
    """The name beside it that is most like it."""
    try:
        names = [path.name for path in where.parent.iterdir()] if where.parent.is_dir() else []
    except OSError:
        return None
    found = difflib.get_close_matches(where.name, names, 1)
    return str(where.parent / found[0]) if found else None


def _run_of(student: Path, registry: Registry) -> RunFiles | None:
    """The run that a student lies in; None where it was moved."""
    folder = student.parent.parent
    if student.parent.name == "students" and (folder / "recipe.yaml").is_file():
        return read_run(folder, registry)
    return None


def _asked(wanted: CellFilter) -> str:
    flags = {name: value for name, value in vars(wanted).items() if name != "seeds" and value is not None}
    return "with " + " ".join(f"--{name} {value}" for name, value in flags.items())


def listed(rows: Sequence[CellRow]) -> str:
    """For example "are the methods hard, kd; the arms plain, cod; k 8, 16; the seeds 0, 1, 2"."""

    def several(one: str, many: str, values: Sequence[object]) -> str:
        distinct = [str(value) for value in dict.fromkeys(values)]
        return f"{one if len(distinct) == 1 else many} {', '.join(distinct)}"

    parts = (
        several("the method", "the methods", [row.method for row in rows]),
        several("the arm", "the arms", [row.arm for row in rows]),
        several("k", "k", sorted(row.k for row in rows)),
        several("the seed", "the seeds", sorted(row.seed for row in rows)),
    )
    return f"are {'; '.join(parts)}"

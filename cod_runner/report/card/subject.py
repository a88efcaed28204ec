"""What a model card is about: one student, the run that it is of, and what is known of both."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeAlias, TypeVar

from cod_runner.recipe.arms import Arm
from cod_runner.recipe.grammar import Card, Recipe
from cod_runner.report.card.libraries import Library
from cod_runner.report.contents import Report
from cod_runner.report.statistics import PairedComparison, Summary, compare_pairs, summarise
from cod_runner.report.table import arm_name
from cod_runner.report.text import markdown_line
from cod_runner.runs.origins import OriginRecord
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord
from cod_runner.runs.student_record import StudentRecord

T = TypeVar("T")
Place: TypeAlias = tuple[str, str, int]
"""(method, arm, k): a setting, of which there is a student for each seed."""
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s,)\]}]+")


class RunStudents:
    """All students of a run, and what the cards of several of them say, which is worked out once."""

    def __init__(self, folder: Path, rows: Sequence[CellRow]) -> None:
        """``folder`` is the run's."""
        self.folders = _names_in(folder / "students")
        """Names of all folders beside a student's, sorted."""
        self.finished: dict[Place, list[CellRow]] = {}
        """By setting."""
        for row in rows:
            self.finished.setdefault((row.method, row.arm, row.k), []).append(row)
        self._known: dict[tuple[Hashable, ...], Any] = {}

    def once(self, what: tuple[Hashable, ...], work_out: Callable[[], T]) -> T:
        """What ``work_out`` gives; it is called the first time that anybody asks for ``what``."""
        if what not in self._known:
            self._known[what] = work_out()
        found: T = self._known[what]
        return found


@dataclass(frozen=True)
class Subject:
    """One student of a run."""

    report: Report
    row: CellRow
    student: StudentRecord
    folder: Path
    """Of the student."""
    library: Library
    """What opens the folder."""
    run: RunStudents
    """It and all others."""

    @property
    def beside_it(self) -> list[Path]:
        """Folders whose names begin with the student's and a hyphen: what was exported of it."""
        begins, folders, found = f"{self.folder.name}-", self.run.folders, []
        for place in range(bisect_left(folders, begins), len(folders)):
            if not folders[place].startswith(begins):
                break
            found.append(self.folder.parent / folders[place])
        return found

    @property
    def recipe(self) -> Recipe:
        return self.report.recipe

    @property
    def record(self) -> RunRecord:
        return self.report.record

    @property
    def arm(self) -> Arm:
        return self.recipe.arms[self.row.arm]

    @property
    def card(self) -> Card:
        """What the recipe's author says of the students."""
        return self.recipe.card or Card()

    @property
    def metrics(self) -> list[MetricRecord]:
        return [self.record.metric(use.use) for use in self.recipe.evaluate.metrics]

    @property
    def reads_vectors(self) -> bool:
        return self.data.get("inputs") == "vectors"

    @property
    def data_set(self) -> str:
        """What people know its data by: the name of their file, or of the component that has a data set of its own."""
        path = (self.recipe.dataset.options or {}).get("path")
        return (PurePath(path).name if isinstance(path, str) else "") or self.recipe.dataset.use

    @property
    def fold(self) -> int | None:
        """The fold that it was measured on; None without folds."""
        return self.recipe.evaluate.fold_of(self.row.seed)

    @property
    def data(self) -> Mapping[str, Any]:
        """What is known of the data, of its own fold where there are folds."""
        own = None if self.fold is None else self.record.folds.get(self.fold)
        return self.record.data if own is None else {**self.record.data, **own.data}

    @property
    def teacher(self) -> Mapping[str, Any]:
        """What is known of its teacher: there is one for each fold."""
        own = None if self.fold is None else self.record.folds.get(self.fold)
        return self.record.teacher if own is None else own.teacher

    @property
    def teacher_accuracy(self) -> float | None:
        value = self.teacher.get("accuracy")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def evaluation_rows(self) -> int | None:
        """How many rows it was measured on."""
        rows = self.data.get("evaluation rows")
        return rows if isinstance(rows, int) else None

    def origins(self, *roles: str) -> list[OriginRecord]:
        """What of other people's came in by the components of these kinds."""
        return [origin for origin in self.record.origins or () if origin.role in roles]

    @property
    def base(self) -> OriginRecord | None:
        """The checkpoint that its weights started from."""
        role = "teacher" if self.record.student_from_teacher else "student"
        return next((origin for origin in self.origins(role) if origin.what == "checkpoint"), None)

    @property
    def setting(self) -> str:
        """``kd +CoD``: its method and arm."""
        return setting_name(self.row.method, self.row.arm)

    def seeds_of(self, method: str, arm: str) -> Sequence[CellRow]:
        """The finished students of another setting at this one's k, or of its own."""
        return self.run.finished.get((method, arm, self.row.k), ())

    def summary(self, method: str, arm: str, metric: MetricRecord) -> Summary | None:
        """Over the seeds of a setting at this one's k; None where none was measured."""

        def work_out() -> Summary | None:
            cells = self.seeds_of(method, arm)
            return summarise([row.metrics[metric.name] for row in cells if metric.name in row.metrics])

        return self.run.once(("summary", method, arm, self.row.k, metric.name), work_out)

    def beside(self, method: str, arm: str, metric: MetricRecord) -> PairedComparison | None:
        """Its own setting less another at the same k, seed by seed; None without a seed that both have."""

        def work_out() -> PairedComparison | None:
            own = {row.seed: row.metrics for row in self.seeds_of(self.row.method, self.row.arm)}
            other = {row.seed: row.metrics for row in self.seeds_of(method, arm)}
            common = [seed for seed in own if seed in other and metric.name in own[seed] and metric.name in other[seed]]
            differences = [own[seed][metric.name] - other[seed][metric.name] for seed in sorted(common)]
            return compare_pairs(differences, metric.higher_is_better)

        of = (self.row.method, self.row.arm, self.row.k, method, arm, metric.name)
        return self.run.once(("beside", *of), work_out)

    def measured(self, name: str) -> float | int | None:
        """A number of the student's line in ``cells.jsonl`` that not every run has; None where it is not there."""
        value: Any = self.row.to_json().get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _names_in(folder: Path) -> list[str]:
    """What lies in a folder, sorted; nothing where there is none."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def setting_name(method: str, arm: str) -> str:
    """``kd +CoD``."""
    return f"{method} {arm_name(arm)}"


def public(text: str) -> str:
    """A line of a recipe as a card may show it: escaped, and without addresses, which may be nobody else's business."""
    return markdown_line(_ADDRESS.sub("(address left out)", text))


def number(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


def count(value: int, one: str, many: str = "") -> str:
    """``1 seed``, ``2 seeds``, ``1,706 rows``."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"

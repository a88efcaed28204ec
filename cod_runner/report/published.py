"""A run next to published numbers, which come from a CSV (``recipes/paper/published.csv``)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cod_runner.errors import DataError
from cod_runner.plain_text import one_line
from cod_runner.recipe.grammar import Use
from cod_runner.report.protocol import component_in_words
from cod_runner.report.statistics import Summary, summarise
from cod_runner.report.table import ACCURACY, paired_gains
from cod_runner.report.terminal import rich_grid
from cod_runner.report.text import number_and_deviation, signed
from cod_runner.runs.reading import RunFiles
from cod_runner.text_files import read_text

PUBLISHED_COLUMNS = ("dataset", "teacher", "student", "method", "arm", "k", "mean", "sd", "source")


@dataclass(frozen=True)
class PublishedNumber:
    """One accuracy of a paper's table."""

    dataset: str
    teacher: str
    student: str
    method: str
    arm: str
    k: int
    mean: float
    sd: float | None
    source: str

    @property
    def place(self) -> tuple[str, str, int]:
        return self.method.lower(), self.arm, self.k


@dataclass(frozen=True)
class PublishedLine:
    """A published number and ours."""

    published: PublishedNumber
    ours: Summary


@dataclass(frozen=True)
class PublishedGain:
    """What +CoD changed: our gain, and the difference of the published means."""

    method: str
    k: int
    ours: Summary
    published: float


@dataclass(frozen=True)
class PublishedComparison:
    """Accuracies of a run next to the published ones."""

    run: str
    lines: tuple[PublishedLine, ...]
    """Empty where nothing is comparable."""
    gains: tuple[PublishedGain, ...]
    notes: tuple[str, ...]


def read_published(path: Path) -> list[PublishedNumber]:
    """Read the CSV; raise :class:`DataError` that names file and row."""
    if not path.is_file():
        raise DataError(f"{path} cannot be read: there is no such file")
    try:
        reader = csv.DictReader(StringIO(read_text(path), newline=""))
        missing = [name for name in PUBLISHED_COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(f'`{name}`' for name in missing)}; published numbers need the "
                f"columns {', '.join(PUBLISHED_COLUMNS)}"
            )
        return [_published_number(path, reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV in UTF-8: {error}") from error


def _published_number(path: Path, line: int, row: dict[str, str | None]) -> PublishedNumber:
    text = {name: (row[name] or "").strip() for name in PUBLISHED_COLUMNS}
    try:
        k, mean, sd = int(text["k"]), float(text["mean"]), float(text["sd"]) if text["sd"] else None
    except ValueError as error:
        raise DataError(f"{path}:{line}: k must be a whole number, mean and sd numbers ({error})") from error
    if not math.isfinite(mean) or text["arm"] not in ("plain", "cod"):
        raise DataError(f"{path}:{line}: `mean` must be finite and `arm` plain or cod")
    names = {name: text[name] for name in ("dataset", "teacher", "student", "method", "arm", "source")}
    return PublishedNumber(**names, k=k, mean=mean, sd=sd)


def compare_published(run: RunFiles, path: Path) -> PublishedComparison:
    """Compare a run's accuracies with those published for its data set.

    The recipe's data set is matched by name: its component, or an option's value (or the last part of one, as in
    ``owner/name``), has the published name; models are matched likewise. Numbers published for the run's own teacher
    and student are used; if there are none, those for other models, with a note.
    """
    numbers = read_published(path)
    known = list(dict.fromkeys(number.dataset for number in numbers))
    name = _dataset_of(run.recipe.dataset, known)
    run_name = run.folder.resolve().name
    here = [number for number in numbers if number.dataset == name]
    if not here:
        own = run.recipe.dataset.use
        note = f"Nothing is comparable: numbers are published for {', '.join(known) or 'no data set'}, not for {own}."
        return PublishedComparison(run_name, (), (), (note,))
    notes = []
    teacher, student = run.recipe.teacher, run.recipe.student
    same = [number for number in here if number.teacher in _named(teacher) and number.student in _named(student)]
    if not same:
        ours = f"{component_in_words(teacher)} to {component_in_words(student)}"
        others = dict.fromkeys(f"{number.teacher} to {number.student}" for number in here)
        notes.append(f"Other models: this run distils {ours}, the published numbers {'; '.join(others)}.")
    chosen = same or here
    lines = _lines(run, chosen)
    if not lines:
        places = ", ".join(dict.fromkeys(number.method for number in chosen))
        k = ", ".join(str(k) for k in sorted({number.k for number in chosen}))
        notes = [f"Nothing is comparable: for {name}, {places} at k {k} are published; the run has no such cell."]
        return PublishedComparison(run_name, (), (), tuple(notes))
    notes += _notes_on_comparability(run, name)
    notes += [f"Source: {source}" for source in dict.fromkeys(line.published.source for line in lines)]
    return PublishedComparison(run_name, tuple(lines), tuple(_gains(run, lines)), tuple(notes))


def _lines(run: RunFiles, numbers: Sequence[PublishedNumber]) -> list[PublishedLine]:
    """The published numbers of which the run has a finished cell, each beside ours."""
    measured: dict[tuple[str, str, int], list[float]] = {}
    for row in run.rows:
        if ACCURACY in row.metrics:
            measured.setdefault((row.method.lower(), row.arm, row.k), []).append(row.metrics[ACCURACY])
    found = [(number, summarise(measured.get(number.place, ()))) for number in numbers]
    return [PublishedLine(number, ours) for number, ours in found if ours is not None]


def _notes_on_comparability(run: RunFiles, name: str | None) -> Iterator[str]:
    """In what ours and the published numbers, of the data set ``name``, were measured differently."""
    yield (
        "Ours are optimistic: the best epoch was chosen on the reported split, as the published scripts do."
        if run.record.optimistic or run.recipe.evaluate.select == "best_reported"
        else "The published scripts report the best epoch on the reported split; this run does not."
    )
    if run.recipe.dataset.use != name:
        yield (
            f"Our data set is taken for `{name}` by its name alone; its filters and splits may not be the published "
            "ones."
        )


def _gains(run: RunFiles, lines: Sequence[PublishedLine]) -> list[PublishedGain]:
    by_models: dict[tuple[str, str], dict[tuple[str, str, int], float]] = {}
    for line in lines:
        number = line.published
        by_models.setdefault((number.teacher, number.student), {})[number.place] = number.mean
    gains = []
    for means in by_models.values():
        for gain in paired_gains(run.rows, run.record.metric(ACCURACY)):
            places = [(gain.method.lower(), arm, gain.k) for arm in ("plain", "cod")]
            if all(place in means for place in places):
                published = means[places[1]] - means[places[0]]
                gains.append(PublishedGain(gain.method, gain.k, gain.pairs.summary, published))
    return gains


def _dataset_of(dataset: Use, known: Sequence[str]) -> str | None:
    for name in _named(dataset):
        last = name.rsplit("/", 1)[-1].lower().replace("-", "").replace("_", "")
        if last in known:
            return last
    return None


def _named(component: Use) -> list[str]:
    """Every name that a recipe gives a component: its own, and each option's value that is a string."""
    return [component.use, *(value for value in component.options.values() if isinstance(value, str))]


LINE_COLUMNS = ("method", "arm", "k", "ours", "seeds", "published", "ours - published")
GAIN_COLUMNS = ("method", "k", "our gain", "published gain")


def _line_grid(comparison: PublishedComparison) -> list[list[str]]:
    return [
        [
            line.published.method, line.published.arm, str(line.published.k),
            number_and_deviation(line.ours, sign=False), str(line.ours.n),
            f"{line.published.mean:.3f}" + ("" if line.published.sd is None else f" ± {line.published.sd:.3f}"),
            signed(line.ours.mean - line.published.mean),
        ]
        for line in comparison.lines
    ]  # fmt: skip


def _gain_grid(comparison: PublishedComparison) -> list[list[str]]:
    return [
        [gain.method, str(gain.k), number_and_deviation(gain.ours), signed(gain.published)] for gain in comparison.gains
    ]


def show_published(console: Console, comparison: PublishedComparison) -> None:
    """Print the comparison."""
    if comparison.lines:
        console.print(rich_grid("Accuracy", LINE_COLUMNS, _line_grid(comparison), signed_column=6))
    if comparison.gains:
        console.print(rich_grid("What +CoD changes", GAIN_COLUMNS, _gain_grid(comparison), signed_column=2))
    for note in comparison.notes:
        console.print(Text(one_line(f"note: {note}"), style="yellow"))

"""`codrun predict`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from cod_runner.cli.options import AllowFolderOption, AllowLocalPluginsOption, JsonOption, OfflineOption, QuietOption
from cod_runner.errors import CodrunError, DataError, RecipeError
from cod_runner.plain_text import json_line, one_line

if TYPE_CHECKING:
    from io import BufferedReader

    from cod_runner.deployment.answering import Decision
    from cod_runner.deployment.located import Located
    from cod_runner.deployment.predicting import Answer, Prediction, Predictor
    from cod_runner.deployment.tables import Table
    from cod_runner.deployment.teacher import TeacherAnswers
    from cod_runner.permissions import Permissions
    from cod_runner.progress import Progress
    from cod_runner.registry import Registry

WIDEST_LABEL = 24
"""Columns of a terminal."""


class Interrupted(CodrunError):
    """Ctrl-C before all rows of a file were there."""

    exit_code = 130


StudentOrRun = Annotated[
    Path,
    typer.Argument(
        metavar="STUDENT_OR_RUN", help="a student's folder, an exported one, or a run's folder", show_default=False
    ),
]
MethodOption = Annotated[str | None, typer.Option("--method", help="of a run: the students of this method")]
ArmOption = Annotated[str | None, typer.Option("--arm", help="of a run: the students of this arm")]
OneKOption = Annotated[int | None, typer.Option("--k", help="of a run: the students of this k")]


def predict(
    context: typer.Context,
    where: StudentOrRun,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="texts; a single - reads one a line from standard input"),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="a .csv, .tsv, .jsonl or .parquet file of texts")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="with --file: its columns and the answers, by the same suffixes"),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="COLUMN", help="the column of the texts; else the longest ones")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="whether a CSV file's first row names the columns; else guessed"),
    ] = None,
    method: MethodOption = None,
    arm: ArmOption = None,
    k: OneKOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="of a run: the student of this seed")] = None,
    seeds: Annotated[
        Literal["best", "average"] | None,
        typer.Option("--seeds", help="of a run: the seed that `codrun pick` takes, or the mean of all probabilities"),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="with --precision or --recall: the label that is given more carefully")
    ] = None,
    precision: Annotated[
        float | None, typer.Option("--precision", help="give --label only where it is right this often, such as 0.9")
    ] = None,
    recall: Annotated[
        float | None, typer.Option("--recall", help="give --label so readily that this share of it is found")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="the word of the run's teacher beside it; what would cost is not asked")
    ] = False,
    allow_folder: AllowFolderOption = None,
    allow_local_plugins: AllowLocalPluginsOption = False,
    offline: OfflineOption = False,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu (one thread), cuda, cuda:1, mps or auto; by default cpu")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="texts that are computed at once")] = 32,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Classify texts with a student: label and probabilities.

    It may be named in three ways:

    - `codrun predict runs/x/students/kd-cod-k16-s0 "a text" "another"`: one student
    - `codrun predict runs/x --method kd --arm cod --k 16 "a text"`: of a run; of several seeds the one that
      `codrun pick` takes, `--seed N`, or `--seeds average`
    - `codrun predict exported/ "a text"`: what `codrun export` wrote; needs no torch

    Many texts: `codrun predict STUDENT --file in.csv --out out.csv` keeps every column and row in its order, and adds
    `predicted`, `probability` and one `probability_LABEL` each. A file may be larger than memory. `out.csv` appears
    when all of it is there: after Ctrl-C nothing is changed. `cat texts.txt | codrun predict STUDENT -` answers line by
    line.

    `--label spam --precision 0.9` gives that label only above the threshold that reached this precision on rows that
    were held out of training, and else the likeliest of the others; `--recall 0.95` likewise.

    `--teacher` shows what the run's teacher says beside it: its stored answers, and for other texts the teacher itself
    where it runs on this machine; one that may cost money is not asked.

    `--json` prints a line for each text: `{"text": ..., "label": ..., "probabilities": {...}}`.
    """
    from cod_runner.deployment.answering import open_ensemble
    from cod_runner.deployment.located import CellFilter, students_at
    from cod_runner.deployment.predicting import Predictor
    from cod_runner.permissions import read_permissions
    from cod_runner.progress import Progress

    given = _checked_call(texts or [], file, out, text)
    if [precision, recall].count(None) != (2 if label is None else 1):
        raise typer.BadParameter("--label LABEL goes with one of --precision 0.9 and --recall 0.9")
    progress = Progress(quiet=quiet)
    source = None if file is None else _source(file, out, text, header, progress)
    located = students_at(where, CellFilter(method, arm, k, seed, seeds), context.obj)
    with progress.bar("loading the student"):  # seconds, of torch's import most of all
        ensemble = open_ensemble(located.folders, context.obj, device, batch_size)
    for sentence in filter(None, (located.said, ensemble.sentence())):
        progress.say(sentence)
    decision = None if label is None else _decision(located, label, precision, recall, progress)
    permissions = read_permissions((), allow_folder or [], local_plugins=allow_local_plugins)
    beside = _teacher(located, context.obj, progress, offline, permissions) if teacher else None
    predictor = Predictor(ensemble, decision, beside)
    with _until_nobody_reads():
        if source is not None:
            _answer_file(source, out, predictor, progress, as_json)
        else:
            shown = _Lines(predictor, as_json)
            for block in _lines_of_standard_input() if given == ["-"] else [given]:
                shown.show(predictor.answers(block))
    if predictor.unasked:
        progress.warn(f"the teacher was not asked about {predictor.unasked:,} of the texts, since that may cost money")
    if predictor.empty:
        progress.warn(f"{predictor.empty:,} of the texts {'is' if predictor.empty == 1 else 'are'} empty: no label")


def _decision(
    located: Located, label: str, precision: float | None, recall: float | None, progress: Progress
) -> Decision:
    """The threshold of one label; what it reaches on held-out rows is said."""
    from cod_runner.deployment.answering import Decision
    from cod_runner.deployment.thresholds import threshold_for
    from cod_runner.runs.student_record import read_student_record

    record = read_student_record(located.folders[0])
    if record is None or len(located.folders) > 1:
        raise RecipeError("a threshold is that of one student; give --seed N rather than --seeds average")
    try:
        found = threshold_for(record, label, precision=precision, recall=recall)
    except CodrunError as error:
        raise RecipeError(str(error)) from error
    for sentence in found.sentences:
        progress.say(sentence)
    return Decision(record.labels.index(label), found.value)


def _teacher(
    located: Located, registry: Registry, progress: Progress, offline: bool, permissions: Permissions
) -> TeacherAnswers:
    """The teacher of the students' run; raises :class:`RecipeError` for a student that lies in no run."""
    from cod_runner.deployment.evaluation import run_recipe
    from cod_runner.deployment.teacher import TeacherAnswers, find_teacher, is_paid
    from cod_runner.runs.student_record import read_student_record

    run, record = located.run, read_student_record(located.folders[0])
    if run is None or record is None:
        raise RecipeError(f"--teacher needs the run: {located.folders[0]} does not lie in one; name runs/NAME")
    if is_paid(run_recipe(run.folder, registry, permissions), registry):
        progress.say("teacher: what it said during the run; it is not asked again, since that may cost money")
        return TeacherAnswers(run, record, registry, None)
    found = find_teacher(run, record, registry, progress=progress, offline=offline, permissions=permissions)
    return TeacherAnswers(run, record, registry, found)


def _checked_call(texts: list[str], file: Path | None, out: Path | None, text: str | None) -> list[str]:
    """The texts, if the call makes sense."""
    if file is not None and texts:
        raise typer.BadParameter("give texts or --file, not both")
    if file is None and (out is not None or text is not None):
        raise typer.BadParameter("--out and --text go with --file FILE")
    if file is None and not texts:
        raise typer.BadParameter('give texts ("..."), --file FILE, or - to read them from standard input')
    if "-" in texts and len(texts) > 1:
        raise typer.BadParameter("- reads the texts from standard input, so it stands alone")
    return texts


def _source(
    file: Path, out: Path | None, text: str | None, header: bool | None, progress: Progress
) -> tuple[Table, str]:
    """(the file, its column of texts); whatever is wrong with the call is said before a model is opened."""
    from cod_runner.deployment.row_writer import check_out
    from cod_runner.deployment.tables import opened_table, text_column

    table = opened_table(file, header)
    column, how = text_column(table, text)
    if out is not None:
        check_out(out, table)
    progress.say(f"{file.name}: {table.form}; {how}")
    for doubt in table.sample.doubts:
        progress.say(doubt)
    return table, column


def _answer_file(
    source: tuple[Table, str], out: Path | None, predictor: Predictor, progress: Progress, as_json: bool
) -> None:
    """Classify the rows of a file, into ``out`` or onto the terminal."""
    from cod_runner.deployment.predicting import blocks, new_columns
    from cod_runner.deployment.row_writer import row_writer

    table, column = source
    if out is None:
        shown = _Lines(predictor, as_json)
        for block in blocks(table.rows()):
            shown.show(predictor.answers([_text_of(row.get(column)) for row in block]))
        return
    columns, changed = new_columns(predictor.labels, table.columns, predictor.asks_teacher)
    if changed:
        progress.warn(changed)
    done, counts = 0, dict.fromkeys(predictor.labels, 0)
    try:
        with progress.bar(f"classifying {table.path.name}") as step, row_writer(out, table, columns.names) as write:
            for block in blocks(table.rows()):
                answers = predictor.answers([_text_of(row.get(column)) for row in block])
                write([{**row, **columns.cells(answer)} for row, answer in zip(block, answers, strict=True)])
                for answer in answers:
                    if answer.student is not None:
                        counts[answer.student.label] += 1
                done += len(block)
                step(done, max(done, table.lines))
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted after {done:,} rows; {out} is not written, since it appears when all of them are there"
        ) from None
    split = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    progress.say(f"wrote {out}: {done:,} rows ({split}), with the new columns {', '.join(columns.names)}")


def _text_of(value: object) -> str:
    """A cell as a text; what is missing is empty."""
    return "" if value is None else value if isinstance(value, str) else str(value)


class _Lines:
    """Prints one line for each text."""

    def __init__(self, predictor: Predictor, as_json: bool) -> None:
        self._predictor, self._as_json = predictor, as_json
        self._width = min(WIDEST_LABEL, max(len(one_line(label)) for label in predictor.labels))
        self._columns = os.get_terminal_size().columns if sys.stdout.isatty() else None

    def show(self, answers: Iterable[Answer]) -> None:
        """Print and flush; a text is one line whatever it contains, cut off where a terminal's line ends."""
        from cod_runner.deployment.predicting import as_json

        for answer in answers:
            if self._as_json:
                line = json_line(as_json(answer, self._predictor.labels, self._predictor.asks_teacher))
            else:
                line = "  ".join([*self._said(answer), one_line(answer.text)]).rstrip()
                if self._columns is not None and len(line) > self._columns:
                    line = line[: self._columns - 1] + "…"
            sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _said(self, answer: Answer) -> list[str]:
        if answer.student is None:
            return [f"{'-':<{self._width}} {'':5}"]
        found = [self._prediction(answer.student)]
        if len(self._predictor.labels) > 2:
            ranked = sorted(zip(answer.student.probabilities, self._predictor.labels, strict=True), reverse=True)
            second = next((p, label) for p, label in ranked if label != answer.student.label)
            found.append(f"({one_line(second[1])} {second[0]:.3f})")
        if self._predictor.asks_teacher:
            found.append(f"teacher: {'-' if answer.teacher is None else self._prediction(answer.teacher)}")
        return found

    def _prediction(self, said: Prediction) -> str:
        return f"{one_line(said.label)[:WIDEST_LABEL]:<{self._width}} {said.probability:.3f}"


def _lines_of_standard_input() -> Iterator[list[str]]:
    """Texts, one a line, as soon as they are there; raises :class:`DataError` for a line that is not UTF-8."""
    number, left, source = 0, b"", cast("BufferedReader", sys.stdin.buffer)
    while True:
        chunk = source.read1(1 << 16)
        *whole, left = (left + chunk).split(b"\n")
        if not chunk and left:
            whole, left = [left], b""
        found = []
        for line in whole:
            number += 1
            try:
                found.append(line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r"))
            except UnicodeDecodeError as error:
                raise DataError(
                    f"line {number} of standard input is not UTF-8 (byte 0x{line[error.start]:02x}); convert it, as "
                    "with `iconv -f cp1252 -t utf-8`"
                ) from error
        if found:
            yield found
        if not chunk:
            return


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End quietly where the reader of a pipe has gone, as after `| head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the end goes nowhere

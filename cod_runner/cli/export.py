"""`codrun export`: a student as a file that runs without codrun."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cod_runner.cli.options import JsonOption, NewFolderOption, OfflineOption, QuietOption
from cod_runner.cli.predict import ArmOption, MethodOption, OneKOption, StudentOrRun
from cod_runner.errors import CodrunError
from cod_runner.plain_text import json_text, one_line

if TYPE_CHECKING:
    from cod_runner.deployment.evaluation import Evaluation
    from cod_runner.deployment.exporting import Export
    from cod_runner.deployment.located import Located
    from cod_runner.progress import Progress
    from cod_runner.registry import Registry
    from cod_runner.runs.student_record import StudentRecord
    from cod_runner.terminal import Terminal


def export(
    context: typer.Context,
    where: StudentOrRun,
    to: Annotated[str, typer.Option("--to", help="an exporter: `codrun plugins` lists them", show_default=False)],
    int8: Annotated[bool, typer.Option("--int8", help="weights in 8 bits: smaller and faster, less exact")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="an option of the exporter; may be repeated"),
    ] = None,
    out: NewFolderOption = None,
    method: MethodOption = None,
    arm: ArmOption = None,
    k: OneKOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="of a run: the student of this seed")] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="evaluation rows, at most, on which both forms are measured")
    ] = 2000,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export")] = False,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a student in another form, with tokenizer, labels and temperature; compare the two, and measure both on the
    run's evaluation split."""
    from cod_runner.deployment import export_destination
    from cod_runner.deployment.exporting import export_student
    from cod_runner.deployment.located import CellFilter, students_at
    from cod_runner.progress import Progress
    from cod_runner.terminal import Terminal

    registry: Registry = context.obj
    progress = Progress(quiet=quiet)
    options = export_destination.exporter_options(registry, to, settings or [], int8=int8)
    located = students_at(where, CellFilter(method, arm, k, seed), registry)
    (student,) = located.folders
    if located.said:
        progress.say(located.said)
    record = export_destination.record_to_export(student)
    folder = out or export_destination.export_folder(student, to, options)
    export_destination.refuse_what_is_there(folder, student, replaceable=force)
    destination = export_destination.Destination(to, options, folder, force)
    evaluation = _evaluation(located, record, registry, rows, offline, progress)
    found = export_student(student, destination, registry, evaluation, progress)
    for note in found.notes:
        progress.warn(note)
    if as_json:
        typer.echo(json_text({**asdict(found), "folder": str(found.folder)}))
    else:
        _show(Terminal(), found)


def _evaluation(
    located: Located, record: StudentRecord, registry: Registry, rows: int, offline: bool, progress: Progress
) -> Evaluation | None:
    """The rows to measure on; None, with a sentence, where there are none."""
    from cod_runner.deployment.evaluation import evaluation_of

    if located.run is None:
        progress.warn("accuracy and agreement are not measured: the folder of the student's run is not around it")
        return None
    try:
        return evaluation_of(located.run, record, registry, offline=offline, progress=progress).fewer(rows)
    except CodrunError as error:
        progress.warn(f"accuracy and agreement are not measured: {error}")
        return None


def _show(terminal: Terminal, export: Export) -> None:
    from rich.text import Text

    from cod_runner.report.terminal import rich_grid

    before, after = export.before, export.after
    body = [
        ["file", before.file, after.file],
        ["MB", f"{before.bytes / 1e6:.1f}", f"{after.bytes / 1e6:.1f} ({after.bytes / before.bytes:.0%})"],
    ]
    if before.milliseconds is not None and after.milliseconds is not None:
        times = before.milliseconds / after.milliseconds
        speed = f"{times:.1f} times as fast" if times >= 1 else f"{1 / times:.1f} times as slow"
        shown = f"{before.milliseconds:.2f} ms", f"{after.milliseconds:.2f} ms ({speed})"
        body.append(["one text, one thread, p50", *shown])
    if export.rows:
        body.append([f"accuracy, {export.rows:,} rows", _share(before.accuracy), _share(after.accuracy)])
        body.append(["agreement with the teacher", _share(before.agreement), _share(after.agreement)])
        body.append(["same label as the student", "", _share(export.same_label)])
    report = export.report
    body.append([f"largest difference of logits, {report.compared:,} inputs", "", f"{report.largest_difference:.1e}"])
    body.append(["another label among these", "", str(report.disagreeing)])
    terminal.print(rich_grid("exported", ["", "student", "export"], body))
    terminal.print(Text(one_line(f"written: {export.folder}")))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""What `codrun bench` measures of a run: its teacher, a student, that student exported, and exports made before."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cod_runner.deployment.benching import Bench, Entry, Result, measured
from cod_runner.deployment.contender import Contender
from cod_runner.deployment.evaluation import Evaluation, evaluation_of, run_recipe
from cod_runner.deployment.export_destination import Destination
from cod_runner.deployment.exporting import export_student
from cod_runner.deployment.picking import size_of
from cod_runner.deployment.teacher import FoundTeacher, find_teacher, is_paid
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.machine import cores
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.progress import Progress
from cod_runner.registry import Registry
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.student_record import StudentRecord, read_student_record

INT8 = "int8"
"""The option of an exporter that has a second, smaller form."""


def bench_run(
    run: RunFiles,
    student: Path,
    exported: Sequence[Path],
    registry: Registry,
    *,
    texts: int,
    threads: int,
    progress: Progress,
    offline: bool = False,
    permissions: Permissions = NO_PERMISSIONS,
) -> Bench:
    """Measure the student of a run beside its teacher; raises :class:`CodrunError` where neither can be measured."""
    record = _record(student)
    evaluation = evaluation_of(run, record, registry, offline=offline, progress=progress, permissions=permissions)
    notes = [evaluation.without_teacher] if evaluation.without_teacher else []
    notes += _busy()
    stored: list[Result] = []
    teachers: list[Entry] = []
    try:
        if is_paid(run_recipe(run.folder, registry, permissions), registry):
            stored = [_paid_teacher(run, evaluation)]
            notes.append("the teacher is paid, so it was not asked: its accuracy is that of its stored answers")
        else:
            found = find_teacher(run, record, registry, progress=progress, offline=offline, permissions=permissions)
            teachers = _teachers(found, threads)
    except CodrunError as error:
        notes.append(f"the teacher is not measured: {error}")
    with tempfile.TemporaryDirectory(prefix="codrun-bench-") as folder:
        made, failed = _exported_here(student, registry, Path(folder), progress)
        notes += failed
        given = [Entry(Contender(each.name, each), _exporter_of(each, record), size_of(each)) for each in exported]
        if threads > 1 and (made or given):
            notes.append(f"--threads {threads} is of torch; an exported student runs on one thread")
        entries = [*teachers, *_students(student, threads), *made, *given]
        results, missing = measured(entries, evaluation, texts, progress)
    if not results:
        raise CodrunError("; ".join([*notes, *missing]))
    teacher_names = {entry.contender.name for entry in teachers}
    return Bench(
        results=(*stored, *_with_parameters(results, {entry.contender.name for entry in made})),
        student=record.cell,
        rows=len(evaluation.examples),
        texts=min(texts, len(evaluation.examples)),
        threads=threads,
        teacher=next((each for each in results if each.name in teacher_names and each.device == "cpu"), None),
        notes=(*notes, *missing),
    )


def _teachers(found: FoundTeacher, threads: int) -> list[Entry]:
    """The teacher, once on each device."""
    weights = found.source.weights
    bytes_on_disk = None if weights is None else size_of(weights)
    return [
        Entry(
            Contender(
                f"teacher{suffix}",
                teacher=replace(found, worker=replace(found.worker, device=device)),
                device=device,
                threads=threads,
            ),
            "torch",
            bytes_on_disk,
            is_teacher=True,
        )
        for device, suffix in _devices()
    ]


def _students(student: Path, threads: int) -> list[Entry]:
    """The student as it was saved, once on each device."""
    return [
        Entry(Contender(f"student{suffix}", student, device=device, threads=threads), "torch", size_of(student))
        for device, suffix in _devices()
    ]


def _exported_here(
    student: Path, registry: Registry, folder: Path, progress: Progress
) -> tuple[list[Entry], list[str]]:
    """(the student in every form that can be made here, each written below ``folder``; why others cannot)."""
    made, failed = [], []
    for name, options in _forms(registry):
        form = f"{name} {INT8}" if options else name
        progress.say(f"exporting the student: {form}")
        place = folder / form.replace(" ", "-")
        try:
            export_student(student, Destination(name, options, place), registry, None, Progress(quiet=True))
        except CodrunError as error:
            failed.append(f"{form} is not measured: {error}")
            continue
        made.append(Entry(Contender(f"student {form}", place), name, size_of(place)))
    return made, failed


def _record(student: Path) -> StudentRecord:
    record = read_student_record(student)
    if record is None or record.exported is not None:
        raise RecipeError(f"{student} is not a student as its run saved it; name the run, and exports after it")
    return record


def _exporter_of(folder: Path, student: StudentRecord) -> str:
    """What wrote an export; raises :class:`RecipeError` for another thing, or for one of other labels."""
    record = read_student_record(folder)
    if record is None or record.exported is None:
        raise RecipeError(f"{folder} is not an exported student: `codrun export` writes one")
    if record.labels != student.labels:
        raise RecipeError(
            f"{folder} answers with the labels {', '.join(record.labels)}, and this run is about "
            f"{', '.join(student.labels)}"
        )
    return record.exported.use


def _busy() -> list[str]:
    """A note where other programs keep this machine busy."""
    if not hasattr(os, "getloadavg"):
        return []
    load = os.getloadavg()[0]
    if load < 0.75 * cores():
        return []
    return [
        f"other programs kept the machine busy when this began (a load of {load:.1f} on {cores()} cores): times are "
        "longer than on an idle one, and compare with each other alone"
    ]


def _devices() -> list[tuple[str, str]]:
    """(device, what the names of its contenders end with): the CPU, and the GPU where there is one."""
    import torch

    return [("cpu", ""), ("cuda", " on the GPU")] if torch.cuda.is_available() else [("cpu", "")]


def _forms(registry: Registry) -> Iterator[tuple[str, dict[str, Any]]]:
    """(exporter, options) of every form that a student can be exported in here."""
    for name in registry.names("exporter"):
        yield name, {}
        if INT8 in registry.find("exporter", name).options.model_fields:
            yield name, {INT8: True}


def _paid_teacher(run: RunFiles, evaluation: Evaluation) -> Result:
    """What is known of a teacher without asking it."""
    facts, rows = run.record.teacher, len(evaluation.examples)
    paid, logits = facts.get("evaluation_usd"), evaluation.teacher_logits
    accuracy = run.record.teacher_accuracy if logits is None else evaluation.accuracy(logits)
    return Result(
        "teacher, stored answers",
        run.recipe.teacher.use,
        "elsewhere",
        accuracy=accuracy,
        agreement=None if logits is None else 1.0,
        usd_per_thousand=paid / rows * 1000 if isinstance(paid, int | float) and rows else None,
    )


def _with_parameters(results: Sequence[Result], exports: Collection[str]) -> list[Result]:
    """The results; those named in ``exports`` have as many parameters as the student that they were made from."""
    known = next((each.parameters for each in results if each.name == "student"), None)
    return [replace(each, parameters=known) if each.name in exports else each for each in results]

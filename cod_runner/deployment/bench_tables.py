"""What `codrun bench` found, as tables, as Markdown and as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cod_runner.deployment.benching import Bench
from cod_runner.deployment.contender import BATCH
from cod_runner.deployment.picking import size_in_words
from cod_runner.files import write_whole
from cod_runner.machine import cores, provenance
from cod_runner.report.table import MISSING
from cod_runner.report.text import markdown_grid, markdown_text

SPEED = ("", "p50, ms", "p95, ms", "times as fast", "texts/s", "load, s")
WEIGHT = ("", "parameters", "disk", "memory", "accuracy", "agreement")
Grid = tuple[Sequence[str], list[list[str]]]


def speed_grid(bench: Bench) -> Grid:
    """(columns, rows): how fast each answers."""
    rows = []
    for each in bench.results:
        faster = bench.faster(each)
        times = MISSING if faster is None else f"{faster:.1f}"
        rows.append([each.name, *(_number(value, 2) for value in (each.p50, each.p95)), times,
                     _number(each.texts_per_second, 0), _number(each.load_seconds, 1)])  # fmt: skip
    return SPEED, rows


def weight_grid(bench: Bench) -> Grid:
    """(columns, rows): how large each is, and how good."""
    rows = []
    for each in bench.results:
        parameters = MISSING if each.parameters is None else f"{each.parameters / 1e6:.1f}M"
        rows.append([each.name, parameters, *(_size(value) for value in (each.bytes, each.memory)),
                     *(_number(value, 3) for value in (each.accuracy, each.agreement))])  # fmt: skip
    return WEIGHT, rows


def sentences(bench: Bench) -> list[str]:
    """How the numbers were measured, and what is missing."""
    told = [
        f"student: {bench.student}; one text at a time, reading included, {bench.texts} texts of the evaluation split "
        f"in {_threads(bench.threads)}; texts/s in batches of {BATCH} of like length; memory: of the whole process "
        "at most; accuracy and agreement with the teacher on "
        f"{bench.rows:,} evaluation rows, the teacher's by its stored answers"
    ]
    told += [
        f"{each.name}: {size_in_words(each.gpu_memory)} of GPU memory at most"
        for each in bench.results
        if each.gpu_memory is not None
    ]
    told += [
        f"{each.name}: ${each.usd_per_thousand:.4f} for a thousand answers"
        for each in bench.results
        if each.usd_per_thousand is not None
    ]
    few = [each for each in bench.results if each.singles and each.singles < bench.texts]
    told += [f"{each.name} was slow: its times are of {each.singles} answers" for each in few]
    return [*told, *bench.notes]


def machine_in_words() -> str:
    """The processor, its cores, and the versions that decide how fast a model runs."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance()["versions"].items())
    return f"{_processor()}, {cores()} cores; {platform.system()}, Python {platform.python_version()}, {versions}"


def markdown(bench: Bench, recipe: str) -> str:
    """``bench.md``."""
    lines = [f"# {markdown_text(recipe)}: teacher and student on this machine", "", markdown_text(machine_in_words())]
    for columns, rows in (speed_grid(bench), weight_grid(bench)):
        lines += ["", *markdown_grid(columns, [[markdown_text(word) for word in row] for row in rows])]
    lines += ["", *(f"- {markdown_text(sentence)}" for sentence in sentences(bench))]
    return "\n".join(lines) + "\n"


def as_json(bench: Bench) -> Mapping[str, Any]:
    """``bench.json``."""
    return {
        "student": bench.student,
        "evaluation_rows": bench.rows,
        "texts": bench.texts,
        "threads": bench.threads,
        "machine": {**provenance()["machine"], "processor": _processor()},
        "versions": provenance()["versions"],
        "results": [{**asdict(each), "times_as_fast": bench.faster(each)} for each in bench.results],
        "notes": list(bench.notes),
    }


def write_bench(bench: Bench, folder: Path, recipe: str) -> None:
    """``bench.json`` and ``bench.md`` in the run's folder, each replaced in one step."""
    write_whole(folder / "bench.json", json.dumps(as_json(bench), indent=2, ensure_ascii=False) + "\n")
    write_whole(folder / "bench.md", markdown(bench, recipe))


def _number(value: float | None, decimals: int) -> str:
    return MISSING if value is None else f"{value:,.{decimals}f}"


def _size(value: int | None) -> str:
    return MISSING if value is None else size_in_words(value)


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def _processor() -> str:
    """As Linux names it, or what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

"""The stages of a run, shown while they run, and what each took in ``run.json``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cod_runner.context import RunContext
from cod_runner.runs.records import RunRecord

NAMES = ("data", "teacher", "counterfactuals", "signals", "students", "report")
"""In the order in which they run; with folds, all but the last once for each."""


@contextmanager
def stage(context: RunContext, record: RunRecord, name: str) -> Iterator[None]:
    """Show that a stage runs, and add to the record what it takes: when it ends, however it ends, and every ten seconds
    or so while it moves, so that a kill loses no more than that; with the notes that were made so far, which a call
    that finds all cells finished would not make again."""
    took = record.stage(name)
    earlier = took.model_copy()
    began, spent = time.monotonic(), context.spending.made

    def note() -> None:
        now = context.spending.made - spent
        took.seconds = round(earlier.seconds + time.monotonic() - began, 3)
        took.calls, took.tokens = earlier.calls + now.calls, earlier.tokens + now.tokens
        unknown = earlier.usd is None or now.price is None
        took.usd = None if unknown else round((earlier.usd or 0.0) + (now.price or 0.0), 6)
        record.notes = list(dict.fromkeys([*record.notes, *context.progress.notes]))
        context.folder.write_record(record)

    with context.progress.stage(name, beat=note) as shown:
        try:
            yield
        finally:
            shown.spent(str(context.spending.made - spent))
            note()

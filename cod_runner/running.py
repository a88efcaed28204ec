"""A recipe in, distilled students and a table out: what waits goes through Algorithm 1, and all is reported."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cod_runner.context import RunSettings, command_of, opened_run
from cod_runner.named_code import refuse_named_code
from cod_runner.permissions import remember_resolved
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import cells_of, parts_of, settings_key
from cod_runner.stages.changed_code import note_code
from cod_runner.stages.finished_cells import cells_without_row, record_left_by_workers
from cod_runner.stages.kept_students import note_students_not_kept, settle_students, students_to_train_again
from cod_runner.stages.results import RunResult, conclude, spending_recorded
from cod_runner.stages.run_status import shown_status
from cod_runner.stages.timing import NAMES
from cod_runner.stages.trackers import start_trackers
from cod_runner.stages.worker_output import remove_if_empty
from cod_runner.tip import student_tip

if TYPE_CHECKING:
    from cod_runner.stages.additions import Additions


def run(loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress) -> RunResult:
    """Run every cell of a recipe that is not done yet, and report on all of them."""
    recipe = loaded.recipe
    cells = cells_of(recipe, registry)
    started = time.monotonic()
    with opened_run(loaded, registry, settings, progress) as context:
        record = context.folder.begin(loaded, registry, [cell.key for cell in cells], settings_key(recipe, registry))
        remember_resolved(context.folder.recipe, context.store.root)
        record.command = command_of(loaded, settings)
        finished = {} if settings.fresh else context.folder.finished_rows(record.metric_names)
        waiting = [cell for cell in cells if cell.key not in finished]
        left = context.folder.rows_left.found([] if settings.fresh else waiting, record.metric_names)
        waiting = cells_without_row(waiting, left)
        progress.say(f"{recipe.name}: {len(cells)} cells, {len(cells) - len(waiting)} done, {len(waiting)} to run")
        if waiting and (tip := student_tip(recipe, registry)):
            progress.say(tip)
        note_code(context, record, finished=len(waiting) < len(cells))
        note_students_not_kept(context, record, cells)
        gone = students_to_train_again(context, record, cells)
        with shown_status(context, cells=len(cells), done=len(cells) - len(waiting) - len(left)):
            if waiting or gone or left:
                refuse_named_code(loaded, registry, settings.permissions)
                with progress.bar("loading torch"):  # seconds, which a run that only reports need not wait
                    from cod_runner.pipeline import distil
                    from cod_runner.stages.students import ready_executor
                ready_executor(context)
                start_trackers(context, len(waiting))
                record_left_by_workers(context, left, waiting)
                with spending_recorded(context, record):
                    for part in parts_of(recipe, cells, waiting):
                        distil(context, record, part)
                    gone = students_to_train_again(context, record, cells)
                    for part in parts_of(recipe, cells, gone, again=True):
                        distil(context, record, part)
            context.folder.rows_left.end()
            remove_if_empty(context.folder.path)
            settle_students(context, record, cells)
            return conclude(context, record, time.monotonic() - started, bool(waiting or gone or left))


def find_counterfactuals(
    loaded: LoadedRecipe, registry: Registry, settings: RunSettings, progress: Progress
) -> list[Additions]:
    """``codrun cfes``: lines 1 to 5 alone, stored or searched anew, for each fold; trains no student."""
    from cod_runner.pipeline import search

    cells = [cell for cell in cells_of(loaded.recipe, registry) if loaded.recipe.arms[cell.arm].uses_section]
    with opened_run(loaded, registry, settings, progress) as context, progress.run(NAMES[:3], context.told_spending):
        return [search(context, part) for part in parts_of(loaded.recipe, cells, cells)]

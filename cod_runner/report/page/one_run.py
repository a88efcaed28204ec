"""``report.html`` of a run."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from cod_runner.report.calibration import CALIBRATION_COLUMNS, CALIBRATION_TITLE, calibration_notes
from cod_runner.report.contents import Report, gain_summary, smallest_p_in_words, what_cod_changes
from cod_runner.report.costs import COSTS_TITLE, cost_grid, cost_notes
from cod_runner.report.figures import MINIMALITY, Drawing, training_figure
from cod_runner.report.page.details import by_seed, facts_of, machine_of, number, training_sets, without_folders
from cod_runner.report.page.gallery import gallery
from cod_runner.report.page.rendering import render
from cod_runner.report.page.shown_figures import shown_figures
from cod_runner.report.shares import SHARE_COLUMNS, SHARES_TITLE, share_notes
from cod_runner.report.stages import STAGE_COLUMNS, STAGES_NOTE, STAGES_TITLE, shown_stages
from cod_runner.report.text import cell_parts, gain_grid, pooled_in_words
from cod_runner.report.verdicts import MARKS, VERDICT_COLUMNS, VERDICTS_TITLE, verdicts_in_words


def page(report: Report, drawings: Mapping[str, Drawing], others: Mapping[str, bytes] | None = None) -> str:
    """The page as HTML. ``drawings`` are the report's figures, ``others`` the PNG of plugins, by name; all of them are
    inlined, and all text from data is escaped."""
    figures = shown_figures(report, drawings, others or {})
    named = [table.metric.name for table in report.tables]
    training = [training_figure(k) for k in sorted({curve.k for curve in report.curves})]
    apart = {*named, *training, MINIMALITY}
    cost_columns, cost_rows = cost_grid(report.costs)
    record = report.record
    return render(
        "one_run.html.jinja",
        title=report.recipe.name,
        report=report,
        record=record,
        cell_parts=cell_parts,
        gain_grid=gain_grid,
        gain_summary=gain_summary(report),
        what_cod_changes=what_cod_changes,
        smallest_p_in_words=smallest_p_in_words,
        pooled_in_words=pooled_in_words,
        figures=figures,
        further_figures=[figure for name, figure in figures.items() if name not in apart],
        training_figures=[figures[name] for name in training if name in figures],
        minimality=figures.get(MINIMALITY),
        verdicts_title=VERDICTS_TITLE,
        verdict_columns=VERDICT_COLUMNS,
        verdict_marks=MARKS,
        verdicts_in_words=verdicts_in_words(record.verdicts),
        stages_title=STAGES_TITLE,
        stage_columns=STAGE_COLUMNS,
        stages_note=STAGES_NOTE,
        stages=shown_stages(record.stages),
        shares_title=SHARES_TITLE,
        share_columns=SHARE_COLUMNS,
        share_notes=share_notes(report.shares),
        gallery=gallery(report.outcomes),
        training_sets=training_sets(report),
        calibration_title=CALIBRATION_TITLE,
        calibration_columns=CALIBRATION_COLUMNS,
        calibration_notes=calibration_notes(report.calibrations),
        costs_title=COSTS_TITLE,
        cost_columns=cost_columns,
        cost_rows=cost_rows,
        cost_notes=cost_notes(report.costs),
        seeds=by_seed(report),
        headline=named[0] if named else "Metric",
        facts=facts_of(report),
        machine=machine_of(report),
        command=record.command or "codrun recipe.yaml",
        recipe_yaml=yaml.safe_dump(
            without_folders(report.recipe.model_dump(mode="json")), sort_keys=False, allow_unicode=True, width=100
        ),
        number=number,
    )

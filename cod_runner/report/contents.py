"""What a report says, computed once, so that every renderer (markdown, CSV, terminal, page) shows the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cod_runner.recipe.arms import COD, CONTROL, PLAIN, STANDARD
from cod_runner.recipe.grammar import Recipe
from cod_runner.report.calibration import Calibrated, calibrations, held_out_in_words
from cod_runner.report.costs import ArmCost, arm_costs
from cod_runner.report.curves import StepLosses, TrainingCurve, training_curves
from cod_runner.report.protocol import Setting, protocol
from cod_runner.report.shares import TermShare, small_terms_in_words, term_shares
from cod_runner.report.statistics import DRAWS
from cod_runner.report.table import (
    OPTIMISTIC,
    UNVERIFIED,
    Gain,
    Table,
    arm_name,
    gains_in_words,
    headline_metrics,
    in_order,
    paired_gains,
    result_table,
)
from cod_runner.report.teacher import teacher_in_words
from cod_runner.runs.failed import CURE, failed_in_words
from cod_runner.runs.folds import EVALUATION
from cod_runner.runs.records import CellRow, MetricRecord, RunRecord, VerdictRecord


@dataclass(frozen=True)
class Report:
    """A run's results."""

    recipe: Recipe
    record: RunRecord
    rows: tuple[CellRow, ...]
    outcomes: tuple[Mapping[str, Any], ...]
    protocol: tuple[Setting, ...]
    floor: tuple[str, ...]
    """Methods that learn without a teacher."""
    tables: tuple[Table, ...]
    """Accuracy and agreement; if the recipe measures neither, everything that it measures."""
    further_tables: tuple[Table, ...]
    gains: tuple[tuple[Gain, ...], ...]
    """What CoD changed, per table of ``tables``."""
    gains_over_others: tuple[tuple[Gain, ...], ...]
    """The same against every other arm; empty where the recipe has only these two."""
    costs: tuple[ArmCost, ...]
    """What each arm's training sets are made of and what they needed, by arm and k."""
    calibrations: tuple[Calibrated, ...]
    """How sure the students are before and after their temperature, by method, arm and k."""
    curves: tuple[TrainingCurve, ...]
    """What each loss term was over the steps, by method, k and arm; empty where the run left none."""
    shares: tuple[TermShare, ...]
    """How much of the loss each term was, of methods with several."""
    teacher: tuple[str, ...]
    """What must be known of a teacher that only answers, in sentences."""
    notes: tuple[str, ...]
    """Sentences that the reader must see next to the numbers."""
    verdicts: tuple[VerdictRecord, ...] = ()
    """On the recipe's expectations, as the call that made them judged: a report judges nothing anew."""

    @property
    def optimistic(self) -> bool:
        return self.record.optimistic or self.recipe.evaluate.select == "best_reported"

    @property
    def verified(self) -> bool:
        made = self.recipe.counterfactuals
        return self.record.verified and (made is None or made.verify)


def build_report(
    recipe: Recipe,
    record: RunRecord,
    rows: Sequence[CellRow],
    outcomes: Sequence[Mapping[str, Any]] = (),
    other_lines: int = 0,
    losses: Mapping[str, StepLosses] | None = None,
) -> Report:
    """Compute tables, gains and notes. ``other_lines`` counts lines of cells that the recipe no longer has; ``losses``
    are those of every step, by the key of the cell (:func:`cod_runner.report.curves.read_losses`).

    The metrics' titles and directions, and the methods without a teacher, come from ``record``.
    """
    made = recipe.counterfactuals
    optimistic = record.optimistic or recipe.evaluate.select == "best_reported"
    verified = record.verified and (made is None or made.verify)
    floor = record.without_teacher or []
    flipping = [name for name, arm in recipe.arms.items() if arm.adds_flips]
    measured = [record.metric(use.use) for use in recipe.evaluate.metrics]

    def table(metric: MetricRecord) -> Table:
        return result_table(
            rows, record.teacher_accuracy, metric,
            methods=list(recipe.methods), k=recipe.k, arms=list(recipe.arms), seeds=recipe.seeds,
            floor=floor, floor_from_teacher=record.student_from_teacher, optimistic=optimistic,
            unverified=() if verified else flipping,
            copies=recipe.arms.get(CONTROL) == STANDARD[CONTROL],
        )  # fmt: skip

    headlines = headline_metrics(measured)
    order = {method: place for place, method in enumerate(recipe.methods)}
    ordered = sorted(rows, key=lambda row: (order.get(row.method, len(order)), row.k, row.arm, row.seed))

    def gains_over(arm: str, metric: MetricRecord) -> tuple[Gain, ...]:
        return tuple(sorted(paired_gains(ordered, metric, arm), key=lambda gain: gain.method in floor))

    others = [arm for arm in in_order(recipe.arms) if arm not in (PLAIN, COD)]
    held_out = held_out_in_words(record, rows)
    curves = training_curves(recipe, rows, losses or {})
    shares = term_shares(recipe, rows, curves)

    return Report(
        recipe=recipe,
        record=record,
        rows=tuple(ordered),
        outcomes=tuple(outcomes),
        protocol=(
            *protocol(recipe, record.data.get(EVALUATION)),
            *([Setting("held out", held_out)] if held_out is not None else []),
            *([Setting("students kept", kept)] if (kept := students_kept_in_words(record, rows)) else []),
        ),
        floor=tuple(floor),
        tables=tuple(table(metric) for metric in headlines),
        further_tables=tuple(table(metric) for metric in measured if metric not in headlines),
        gains=tuple(gains_over(PLAIN, metric) for metric in headlines),
        gains_over_others=tuple(
            tuple(gain for arm in others for gain in gains_over(arm, metric)) for metric in headlines
        ),
        costs=tuple(arm_costs(recipe, rows)),
        calibrations=tuple(calibrations(recipe, rows)),
        curves=tuple(curves),
        shares=tuple(shares),
        teacher=tuple(teacher_in_words(record)),
        notes=tuple(
            dict.fromkeys(
                [
                    *_notes(recipe, record, rows, other_lines, floor, optimistic, verified),
                    *small_terms_in_words(shares, record.terms_of_teacher),
                    *record.notes,
                ]
            )
        ),
        verdicts=tuple(record.verdicts),
    )


def _notes(
    recipe: Recipe,
    record: RunRecord,
    rows: Sequence[CellRow],
    other_lines: int,
    floor: Sequence[str],
    optimistic: bool,
    verified: bool,
) -> list[str]:
    notes = []
    if optimistic:
        notes.append(
            f"{OPTIMISTIC} Optimistic: the checkpoint was chosen on the split that is reported, as the published "
            "scripts do; `select: last` gives the numbers to expect on new texts."
        )
    if not verified:
        notes.append(f"{UNVERIFIED} Unverified: not every counterfactual that was trained on flips the teacher.")
    asked = len(recipe.methods) * len(recipe.arms) * len(recipe.k) * len(recipe.seeds)
    if record.left_out:
        notes.append(f"{record.left_out_in_words}; the same command tries them again.")
    finished = {row.key for row in rows}
    failed = [each for each in record.failed if each.key not in finished]
    if failed:
        notes.append(f"{failed_in_words(failed)}; {CURE}.")
    unfinished = asked - len(rows) - sum(each.cells for each in record.left_out) - len(failed)
    if unfinished > 0:
        notes.append(f"{unfinished} of {asked} cells are not finished; the same command continues with them.")
    if other_lines:
        are = "line of cells.jsonl is" if other_lines == 1 else "lines of cells.jsonl are"
        notes.append(
            f"{other_lines} {are} omitted from the tables: of cells that this call leaves out, or made with other "
            "settings."
        )
    devices = sorted({f"{row.device} {row.precision or ''}".strip() for row in rows if row.device})
    if len(devices) > 1:
        notes.append(f"The cells are not strictly comparable: they were trained on {'; '.join(devices)}.")
    if floor and record.student_from_teacher:
        notes.append(
            "The students start from the teacher's own weights, so a method without a teacher in its loss is not a "
            "floor: it begins with what the teacher learnt."
        )
    if floor and COD in recipe.arms:
        notes.append(
            "The floor learns from gold labels alone in its plain arm; in +CoD the counterfactuals, and their labels, "
            "still come from the teacher."
        )
    if (held_out := held_out_in_words(record, rows)) is not None:
        notes.append(f"Held out: {held_out}.")
    if record.shared_queries:
        notes.append(
            f"Beside the queries of each arm, generators asked the teacher about {record.shared_queries:,} texts for "
            "no original in particular."
        )
    return notes


def students_kept_in_words(record: RunRecord, rows: Sequence[CellRow]) -> str:
    """Which students are in the run's folder; "" where an older codrun did not note it."""
    if record.students is None:
        return ""
    gone = set(record.not_kept)
    kept = [row.name for row in rows if row.key not in gone]
    if len(kept) == len(rows):
        return "all"
    return f"{len(kept)} of {len(rows)}" + (f": {', '.join(kept)}" if kept else "")


def smallest_p_in_words(gains: Sequence[Gain]) -> str:
    """The smallest p that the paired test can give, so that nobody reads too much into a few seeds."""
    pairs = min((gain.pairs for gain in gains), key=lambda pairs: (pairs.smallest_possible_p, -pairs.summary.n))
    seeds = f"{pairs.summary.n} {'seed' if pairs.summary.n == 1 else 'seeds'}"
    draws = f" (estimated from {DRAWS:,} draws)" if pairs.sampled else ""
    return (
        f"p: two-sided sign-flip permutation test on the per-seed differences of each setting; with {seeds}{draws} "
        f"it cannot fall below {pairs.smallest_possible_p:.3g}."
    )


def gain_summary(report: Report) -> str:
    """One or two sentences on the first headline metric, without the floor unless there is nothing else."""
    if not report.gains or not {PLAIN, COD} <= set(report.recipe.arms):
        return ""
    sentences: list[str] = []
    for gains in (report.gains[0], report.gains_over_others[0]):
        if gains or not sentences:
            distilled = [gain for gain in gains if gain.method not in report.floor]
            sentences.append(gains_in_words(distilled or gains))
    counted = (*report.gains[0], *report.gains_over_others[0])
    left_out = list(dict.fromkeys(gain.method for gain in counted if gain.method in report.floor))
    if left_out and any(gain.method not in report.floor for gain in counted):
        sentences.append(f"Not counted: {', '.join(left_out)}, without a teacher in the loss.")
    return " ".join(sentences)


def what_cod_changes(gains: Sequence[Gain]) -> str:
    """The heading of a table of gains."""
    arms = list(dict.fromkeys(gain.over for gain in gains))
    over = f" against {arm_name(arms[0])}" if len(arms) == 1 else " against the other arms"
    over = "" if arms == [PLAIN] else over
    return f"What +CoD changes{over}: {gains[0].metric.name}"

"""The sections of a card by which a student is judged: its scores beside others, its calibration, its limits."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cod_runner.binomial import half_width, wilson
from cod_runner.recipe.arms import PLAIN
from cod_runner.report.card.subject import Subject, count, number, setting_name
from cod_runner.report.statistics import PairedComparison, Summary
from cod_runner.report.table import ACCURACY, MISSING, floor_in_words, headline_metrics, in_order
from cod_runner.report.text import markdown_grid, markdown_line, number_and_deviation
from cod_runner.runs.records import MetricRecord

TO_BE_DIVIDED, DIVIDED = "Its logits are to be divided", "Its logits are divided already"
"""Of a student, and of its export, inside which it happens."""


def warnings(subject: Subject) -> Iterator[str]:
    """What nobody may overlook, before anything else."""
    if subject.report.optimistic:
        yield (
            "**Optimistic scores:** the epoch of the training was chosen on the very rows on which the scores below "
            "are measured. Expect less on new inputs."
        )
    if not subject.report.verified and subject.arm.adds_flips:
        yield "**Unverified:** its recipe also trains on counterfactuals that do not change the teacher's prediction."
    if _may_be_guessing(subject):
        yield (
            "**It may be guessing:** its accuracy is within chance of what guessing reaches where its "
            f"{len(subject.student.labels)} classes are equally frequent."
        )


def scores(subject: Subject) -> list[str]:
    """The student, its setting, every other setting at the same k, and the teacher, on the same rows."""
    metrics = subject.metrics
    head = ["", "seeds", *(markdown_line(metric.heading) for metric in metrics)]
    own = [_own(subject, metric) for metric in metrics]
    body = [[f"**this student** (seed {subject.row.seed})", "1", *own]]
    of = (subject.row.method, subject.row.arm, subject.row.k)
    body += subject.run.once(("settings' scores", *of), lambda: list(_settings(subject, metrics)))
    teacher = subject.teacher_accuracy
    if teacher is not None and any(metric.name == ACCURACY for metric in metrics):
        ceiling = [number(teacher) if metric.name == ACCURACY else "" for metric in metrics]
        body.append(["its teacher", "", *ceiling])
    lines = ["## Scores", "", _measured_on(subject), "", *markdown_grid(head, body), ""]
    return [*lines, *(f"- {sentence}" for sentence in _how_to_read(subject))]


def _own(subject: Subject, metric: MetricRecord) -> str:
    value = subject.row.metrics.get(metric.name)
    return MISSING if value is None else number(value)


def _measured_on(subject: Subject) -> str:
    data_set = markdown_line(subject.data_set)
    rows = f", {count(subject.evaluation_rows, 'row')}" if subject.evaluation_rows else ""
    if subject.fold is None:
        return f"Measured on the split {markdown_line(subject.recipe.evaluate.split)} of {data_set}{rows}."
    return (
        f"Measured on fold {subject.fold} (counted from 0) of {subject.recipe.evaluate.folds} of {data_set}{rows}: it "
        "and its teacher were made of the others. Other seeds are measured on other folds, and a mean over seeds is "
        "over all rows."
    )


def _settings(subject: Subject, metrics: list[MetricRecord]) -> Iterator[list[str]]:
    """Mean and deviation of every setting that has a finished student at this k; its own first."""
    places = [(method, arm) for method in subject.recipe.methods for arm in in_order(subject.recipe.arms)]
    own = (subject.row.method, subject.row.arm)
    for method, arm in [own, *(place for place in places if place != own)]:
        cells = subject.seeds_of(method, arm)
        if cells:
            floor = method in subject.report.floor and arm == PLAIN
            told = f" ({floor_in_words(subject.record.student_from_teacher)})" if floor else ""
            name = markdown_line(f"{setting_name(method, arm)}{told}")
            means = [_mean(subject.summary(method, arm, metric)) for metric in metrics]
            yield [f"{name} (its setting)" if (method, arm) == own else name, str(len(cells)), *means]


def _mean(summary: Summary | None) -> str:
    return MISSING if summary is None else number_and_deviation(summary, sign=False)


def _how_to_read(subject: Subject) -> Iterator[str]:
    row = subject.row
    seeds = len(subject.seeds_of(row.method, row.arm))
    if seeds > 1:
        yield (
            f"Mean ± sample standard deviation over seeds, at k = {row.k}; another seed draws other examples and other "
            "initial weights. Where this student was chosen among them for its scores on these rows, its setting's "
            "mean is the number to expect on new inputs."
        )
    else:
        yield "One seed: a single number has no deviation and settles nothing."
    for method, arm in _rivals(subject):
        for metric in headline_metrics(subject.metrics):
            pairs = subject.beside(method, arm, metric)
            if pairs is not None:
                yield _compared(subject, setting_name(method, arm), metric, pairs)
    rows, value = subject.evaluation_rows, row.metrics.get(ACCURACY)
    if rows and value is not None and math.isfinite(value):
        low, high = wilson(value * rows, rows)
        yield (
            f"With {count(rows, 'evaluation row')}, its accuracy lies from {number(low)} to {number(high)} (95%, "
            "Wilson's interval), beside what the seeds say."
        )
    if subject.report.floor and subject.record.student_from_teacher:
        yield (
            "The students start from their teacher's own weights, so a method without a teacher in its loss is not a "
            "floor: it begins with what the teacher learnt."
        )
    if subject.report.optimistic:
        yield "All scores of this run are optimistic: each student's epoch was chosen on these rows."


def _rivals(subject: Subject) -> list[tuple[str, str]]:
    """The settings that a reader asks about: the same method without additions, and the floors."""
    row = subject.row
    plain = [(row.method, PLAIN)] if row.arm != PLAIN else []
    floors = [(method, PLAIN) for method in subject.report.floor if method != row.method]
    return [*plain, *floors]


def _compared(subject: Subject, other: str, metric: MetricRecord, pairs: PairedComparison) -> str:
    seeds = count(pairs.summary.n, "seed")
    p = f", p = {pairs.p:.3g} (sign-flip test; with {seeds} it cannot fall below {pairs.smallest_possible_p:.3g})"
    return (
        f"{markdown_line(subject.setting)} against {markdown_line(other)}, seed by seed: "
        f"{number_and_deviation(pairs.summary)} {markdown_line(metric.name)}, better in {pairs.wins} of {seeds}"
        f"{p if pairs.summary.n > 1 else ''}."
    )


def _may_be_guessing(subject: Subject) -> bool:
    value, rows = subject.row.metrics.get(ACCURACY), subject.evaluation_rows
    if value is None or not rows or not subject.student.labels:
        return False
    chance = 1 / len(subject.student.labels)
    return value - chance <= half_width(rows, chance)


def calibration(subject: Subject) -> list[str]:
    """Whether its probabilities can be believed."""
    temperature, rows = subject.student.temperature, subject.measured("held_out_rows")
    before, after = subject.measured("calibration_error"), subject.measured("calibrated_error")
    lines = ["## Calibration", ""]
    if temperature is None:
        why = f": {count(int(rows), 'held-out row')} did not settle one" if rows is not None else ""
        lines.append(
            f"No temperature was fitted{why}, so its probabilities are as training left them: how sure it says it is "
            "need not be how often it is right."
        )
    else:
        fitted = f", fitted on {count(int(rows), 'row')} of the pool that it was not trained on" if rows else ""
        lines.append(
            f"{TO_BE_DIVIDED} by a temperature of {temperature:.3f}{fitted}; labels do not change by it, "
            "probabilities do. `codrun predict` does it by itself."
        )
    if before is not None:
        then = f", {number(after)} after" if after is not None else ""
        lines += ["", f"Expected calibration error on the evaluation rows: {number(before)} before{then}."]
    return lines


def limits(subject: Subject) -> list[str]:
    """What it was not tested on, as far as it can be known."""
    return ["## What it was not tested on", "", *(f"- {sentence}" for sentence in _limits(subject))]


def _limits(subject: Subject) -> Iterator[str]:
    record, language = subject.record, subject.card.language
    spoken = f" (these are in {', '.join(language)})" if language else ""
    if subject.reads_vectors:
        yield "Anything but the data set named above."
    else:
        yield f"Other domains, other styles and other languages than those of the data set named above{spoken}."
        if record.longest_input is not None:
            yield f"What a text says after its first {record.longest_input:,} tokens: the rest is cut off, unread."
    yield (
        "Inputs that belong to no class: it gives one of its labels to whatever it reads, and was never taught to "
        "abstain."
    )
    yield (
        "Inputs that it was trained on: rows that equal an evaluation row were taken out of the training pool "
        "beforehand, so the scores are of rows that it had not seen."
    )
    yield "Fairness between groups of people, attacks, and change over time: none of it was measured."
    if subject.row.method not in subject.report.floor:
        yield "Its teacher's errors are among what it was taught: agreement with the teacher is not correctness."
    if subject.arm.adds_flips:
        yield (
            "A counterfactual is an input that changes the *teacher's* prediction; no person checked that it deserves "
            "the other label."
        )
    rows = subject.evaluation_rows
    if rows is not None and rows < 200:
        yield f"{count(rows, 'evaluation row')} are few: differences of several hundredths are within chance."

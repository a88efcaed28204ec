"""Stage 2, where the teacher only answers: its leaning is taken out of its answers before anything else sees them."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import Example, LabelScorer
from cod_runner.context import RunContext
from cod_runner.data.content import content_rank
from cod_runner.data.corpus import Corpus
from cod_runner.engine.calibration import (
    TEMPERATURES,
    CalibratedScorer,
    Calibration,
    calibrated,
    fitted_temperature,
    leaning,
    raw_answers,
)
from cod_runner.engine.signals import SignalStore
from cod_runner.recipe.grammar import WITHOUT_CONTENT
from cod_runner.recipe.grammar import Calibration as Settings
from cod_runner.stages.load import Experiment


def calibrate_teacher(context: RunContext, experiment: Experiment, scorer: LabelScorer) -> CalibratedScorer:
    """``scorer``, calibrated as the recipe says; its raw answers are stored, as all others are."""
    settings = context.recipe.teacher.calibration or Settings()
    store = SignalStore(context.store.signals)
    bias = _bias(context, experiment, scorer, settings, store)
    calibration = Calibration(bias)
    if settings.gold:
        rows = rows_of_temperature(experiment.corpus.pool, settings.gold)
        with context.progress.bar("asking the teacher about labelled rows, for its temperature") as step:
            said = raw_answers(scorer, [row.input for row in rows], store, context.device, step)
        temperature = fitted_temperature(calibration(said), [row.hard_label for row in rows])
        context.progress.say(f"the teacher's temperature, chosen on {len(rows)} gold labels: {temperature:.2f}")
        if not TEMPERATURES[0] < temperature < TEMPERATURES[-1]:
            context.progress.warn(
                f"the teacher's temperature is {temperature:.2f}, the end of its range: it is right about nearly all "
                f"of the {len(rows)} gold labels, or about few, so they do not show how sure it may be; give more, or "
                "`gold: 0`"
            )
        calibration = Calibration(bias, temperature)
    return calibrated(scorer, calibration, store, context.device)


def texts_of_calibration(unread: Sequence[Example], count: int) -> list[Example]:
    """The rows whose texts, and no labels, ``batch`` reads: the same for every k and seed."""
    return sorted(unread, key=lambda row: content_rank("calibration", 0, row))[:count]


def rows_of_temperature(pool: Sequence[Example], count: int) -> list[Example]:
    """The rows whose labels choose the temperature: the same for every k and seed."""
    return sorted(pool, key=lambda row: content_rank("temperature", 0, row))[:count]


def _bias(
    context: RunContext, experiment: Experiment, scorer: LabelScorer, settings: Settings, store: SignalStore
) -> tuple[float, ...]:
    progress = context.progress
    if settings.chosen == "none":
        if settings.skewed and settings.by is None:
            progress.warn(
                "the teacher's answers are not calibrated, since the recipe says that its classes are skewed: `batch` "
                "would take the common class for a leaning; `calibration: {by: contextual}` reads no text of the data"
            )
        return (0.0,) * len(scorer.labels)
    if settings.chosen == "contextual":
        with progress.bar("asking the teacher about texts without content") as step:
            bias = leaning(raw_answers(scorer, WITHOUT_CONTENT, store, context.device, step))
        asked = f"{len(WITHOUT_CONTENT)} texts without content"
    else:
        rows = texts_of_calibration(experiment.corpus.unread, settings.texts)
        if len(rows) < settings.texts:
            progress.warn(
                f"the teacher is calibrated on the {len(rows):,} texts that the pool has, not on {settings.texts:,}"
            )
        with progress.bar("asking the teacher about unlabelled texts, to calibrate it") as step:
            bias = leaning(raw_answers(scorer, [row.input for row in rows], store, context.device, step))
        asked = f"{len(rows)} unlabelled texts"
    leanings = ", ".join(f"{label} {value:+.2f}" for label, value in zip(scorer.labels, bias, strict=True))
    progress.say(f"the teacher's leaning on {asked}, which is taken out of its answers (nats): {leanings}")
    return bias


def asked_to_calibrate(context: RunContext, corpus: Corpus) -> dict[str, int]:
    """How many texts, and how many gold labels, a calibration reads."""
    settings = context.recipe.teacher.calibration or Settings()
    texts = settings.unlabelled if settings.chosen == "contextual" else min(settings.unlabelled, len(corpus.unread))
    return {"texts": texts, "gold labels": min(settings.gold, len(corpus.pool))}

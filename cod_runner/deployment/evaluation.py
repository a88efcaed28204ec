"""A run's evaluation split and what its teacher said of it, for whoever measures a student after the run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy

from cod_runner.api import Example, Input
from cod_runner.engine.signals import SignalStore, StoredSignals
from cod_runner.errors import CodrunError
from cod_runner.permissions import NO_PERMISSIONS, Permissions, as_when_it_ran
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.registry import Registry
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.student_record import StudentRecord
from cod_runner.stages.rows import corpora_of, read_data
from cod_runner.store import Store


@dataclass(frozen=True)
class Evaluation:
    """The rows that a run measured its students on; nothing was trained on them."""

    labels: tuple[str, ...]
    """In the order of logits and class ids."""
    examples: tuple[Example, ...]
    teacher_logits: numpy.ndarray | None
    """``[examples, classes]``, float32, in their order; None where the store has them no more."""
    without_teacher: str = ""
    """Why there are none, in a sentence for the user; "" where there are."""

    @property
    def inputs(self) -> list[Input]:
        """``[examples]``."""
        return [example.input for example in self.examples]

    def accuracy(self, logits: numpy.ndarray) -> float:
        """The share of examples whose likeliest label by ``logits``, ``[examples, classes]``, is the gold one."""
        gold = numpy.array([example.hard_label for example in self.examples])
        return float((logits.argmax(1) == gold).mean())

    def agreement(self, logits: numpy.ndarray) -> float | None:
        """The share of examples on whose likeliest label ``logits`` and the teacher agree; None without a teacher."""
        if self.teacher_logits is None:
            return None
        return float((logits.argmax(1) == self.teacher_logits.argmax(1)).mean())

    def fewer(self, most: int) -> Evaluation:
        """At most ``most`` of its rows, evenly spread over all of them, in their order."""
        rows = len(self.examples)
        if rows <= most:
            return self
        chosen = [place * rows // most for place in range(most)]
        logits = self.teacher_logits
        return replace(
            self,
            examples=tuple(self.examples[place] for place in chosen),
            teacher_logits=None if logits is None else logits[chosen],
        )


def evaluation_of(
    run: RunFiles,
    record: StudentRecord,
    registry: Registry,
    *,
    offline: bool,
    progress: Progress,
    permissions: Permissions = NO_PERMISSIONS,
) -> Evaluation:
    """The evaluation split that ``run`` measured the student ``record`` on, read from the data set again.

    Raises :class:`RecipeError` where the data may not be read: a run's recipe that codrun wrote on this machine may
    name any file, one from elsewhere files of its own folder and of those that ``permissions`` allow. Raises
    :class:`CodrunError` where the data is gone, or has other labels than the student.
    """
    loaded = run_recipe(run.folder, registry, permissions)
    with loaded.pointing():
        data = read_data(loaded.recipe, registry, offline=offline, progress=progress)
        corpus = corpora_of(loaded.recipe, data)[loaded.recipe.evaluate.fold_of(record.seed) or 0]
    if corpus.labels != record.labels:
        raise CodrunError(
            f"the data of {run.folder} has the labels {', '.join(corpus.labels)}, and its student answers with "
            f"{', '.join(record.labels)}: the data has changed since the run"
        )
    logits, why = _stored_answers(run, record, [example.input for example in corpus.evaluation])
    return Evaluation(corpus.labels, corpus.evaluation, logits, why)


def run_recipe(folder: Path, registry: Registry, permissions: Permissions = NO_PERMISSIONS) -> LoadedRecipe:
    """The resolved recipe of a run's folder, checked again; raises :class:`RecipeError` as :func:`load_recipe`."""
    path = folder / "recipe.yaml"
    return load_recipe(path, registry, permissions=as_when_it_ran(path, Store().root, permissions))


def stored_signals(run: RunFiles, record: StudentRecord) -> StoredSignals | None:
    """What the store has of a student's teacher; None where it has nothing. Raises :class:`CodrunError` where it knows
    other teachers alone."""
    folder = Store().root / "signals"
    if not record.teacher or not (folder / "signals.sqlite").is_file():
        return None
    device = next((row.device for row in run.rows if row.key == record.key and row.device), "cpu")
    return SignalStore(folder).reader(record.teacher, device)


def _stored_answers(run: RunFiles, record: StudentRecord, inputs: list[Input]) -> tuple[numpy.ndarray | None, str]:
    """(the teacher's logits, why there are none); nothing is asked."""
    try:
        signals = stored_signals(run, record)
        if signals is None:
            raise CodrunError("nothing is stored there")
        return signals.logits(inputs).numpy(), ""
    except CodrunError:
        return None, (
            f"the store {Store().root} no longer has the teacher's answers about the evaluation split, so agreement "
            f"is not known: set CODRUN_HOME to the store of the run, or run `codrun {run.folder / 'recipe.yaml'}` again"
        )

"""A run's teacher, opened after the run: its weights or its prompt, and what it said; never at a cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from cod_runner.api import Answerer, Encoded, Example, Input, LabelScorer, Teacher
from cod_runner.context import WorkerContext
from cod_runner.deployment.answering import logits_of, softmax
from cod_runner.deployment.evaluation import run_recipe, stored_signals
from cod_runner.deployment.opened import ClassifierAnswers
from cod_runner.engine.calibration import Calibration
from cod_runner.errors import CodrunError
from cod_runner.permissions import NO_PERMISSIONS, Permissions
from cod_runner.progress import Progress
from cod_runner.recipe import LoadedRecipe
from cod_runner.recipe.answering import answering_of
from cod_runner.registry import Registry
from cod_runner.runs.identity import possible_teacher_keys
from cod_runner.runs.reading import RunFiles
from cod_runner.runs.student_record import StudentRecord
from cod_runner.stages.build import TeacherSource, build_teacher
from cod_runner.stages.rows import corpora_of, divided_corpus, read_data
from cod_runner.store import Store


@dataclass(frozen=True)
class FoundTeacher:
    """What opens a run's teacher again, in any process; can be pickled."""

    worker: WorkerContext
    source: TeacherSource
    calibration: Calibration | None
    """Of one that only answers."""


def is_paid(loaded: LoadedRecipe, registry: Registry) -> bool:
    """Whether its answers may cost something, or leave this machine; it is then not asked after the run."""
    teacher = loaded.recipe.teacher
    with registry.asked("teacher", teacher.use, teacher.options) as options:
        return options.estimate(1, 100.0) is not None


def find_teacher(
    run: RunFiles,
    record: StudentRecord,
    registry: Registry,
    *,
    progress: Progress,
    device: str = "cpu",
    offline: bool = False,
    permissions: Permissions = NO_PERMISSIONS,
) -> FoundTeacher:
    """The teacher of a student; raises :class:`CodrunError` where it is asked for money, or gone from the store."""
    loaded = run_recipe(run.folder, registry, permissions)
    recipe, store = loaded.recipe, Store()
    if is_paid(loaded, registry):
        raise CodrunError(
            f"the teacher `{recipe.teacher.use}` answers for money, or elsewhere, so it is not asked after the run"
        )
    fold = recipe.evaluate.fold_of(record.seed)
    worker = WorkerContext(recipe, store, device, offline, run.folder / "students")
    if answering_of(recipe, registry) is not None:
        with loaded.pointing():
            corpus = corpora_of(recipe, read_data(recipe, registry, offline=offline, progress=progress))[fold or 0]
            shots: tuple[Example, ...] = divided_corpus(recipe, registry, corpus)[2]
        return FoundTeacher(worker, TeacherSource(record.labels, shots=shots), _calibration(run, record, fold))
    if recipe.teacher.finetune is None:
        return FoundTeacher(worker, TeacherSource(record.labels), None)
    for key in possible_teacher_keys(recipe, registry, fold):
        weights = store.root / "teachers" / key
        if (weights / "teacher.json").is_file():
            return FoundTeacher(worker, TeacherSource(record.labels, weights), None)
    raise CodrunError(
        f"the store {store.root} no longer has the fine-tuned teacher of {run.folder}, or it was trained on another "
        "number of threads than OMP_NUM_THREADS and the cores allow now; set CODRUN_HOME to the store of the run, or "
        f"run `codrun {run.folder / 'recipe.yaml'}` again"
    )


def open_teacher(found: FoundTeacher, registry: Registry) -> Answerer:
    """The teacher as whoever asks a student may ask it."""
    teacher: Teacher = build_teacher(found.worker, registry, found.source)
    if isinstance(teacher, LabelScorer):
        return ScorerAnswers(teacher, found.calibration)
    return ClassifierAnswers(teacher)


class ScorerAnswers:
    """A :class:`LabelScorer`, calibrated as its run did, as an :class:`Answerer`."""

    def __init__(self, scorer: LabelScorer, calibration: Calibration | None) -> None:
        self.scorer, self._calibration = scorer, calibration
        self.labels = scorer.labels

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """The inputs as they are: the scorer reads them itself."""
        return [Encoded(tuple(range(len(value))), {"input": value}) for value in map(str, inputs)]

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        """Log-probabilities, ``[batch, classes]``, float32."""
        said = self.scorer.score([each.fields["input"] for each in encoded])
        return (said if self._calibration is None else self._calibration(said)).numpy()


class TeacherAnswers:
    """Says what a run's teacher says of texts: what the store has, and the rest where asking costs nothing."""

    def __init__(self, run: RunFiles, record: StudentRecord, registry: Registry, found: FoundTeacher | None) -> None:
        """``found`` is None for a teacher that is not asked."""
        self._registry, self._found = registry, found
        self._opened: Answerer | None = None
        try:
            self._stored = stored_signals(run, record)
        except CodrunError:  # another teacher's store
            self._stored = None

    def __call__(self, texts: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Probabilities of each text; None where the teacher is not asked about it."""
        logits: list[numpy.ndarray | None] = [None] * len(texts)
        if self._stored is not None:
            logits = [None if each is None else each.numpy() for each in self._stored.known(texts)]
        missing = [place for place, each in enumerate(logits) if each is None]
        if missing and self._found is not None:
            if self._opened is None:
                self._opened = open_teacher(self._found, self._registry)
            said = logits_of(self._opened, [texts[place] for place in missing])
            for place, row in zip(missing, said, strict=True):
                logits[place] = row
        return [None if each is None else tuple(softmax(each[None])[0].tolist()) for each in logits]


def _calibration(run: RunFiles, record: StudentRecord, fold: int | None) -> Calibration | None:
    """As ``run.json`` has it; None where the teacher was not calibrated."""
    facts = run.record.teacher if fold is None else run.record.folds[fold].teacher
    told = facts.get("calibration")
    if not isinstance(told, dict):
        return None
    try:
        return Calibration(tuple(float(told["bias"][label]) for label in record.labels), float(told["temperature"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CodrunError(f"{run.folder / 'run.json'} does not say how its teacher was calibrated ({error})") from error

"""Stage 2 in several processes: a teacher is fine-tuned by them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cod_runner.api import Classifier, Example, FinetuneSettings
from cod_runner.context import RunContext
from cod_runner.engine.asking import network
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.data_parallel import joined
from cod_runner.engine.device import threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.interruption import interruption_held
from cod_runner.files import temporary_folder
from cod_runner.machine import finetuning_threads
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.teacher_processes import Opening, Sentence, places_of, room_for_the_others, sayings
from cod_runner.stages.worker_output import passed_on
from cod_runner.stages.workers import this_process
from cod_runner.worker_group import Place, Tell, worker_group

SECONDS_BETWEEN_STEPS = 0.1
"""Between two words on how far a fine-tuning is."""
MEETING, SAVED = "meeting", "teacher"
"""In the folder that the processes share: the file by which they find each other, and the fine-tuned teacher."""


@dataclass(frozen=True)
class Finetuning:
    """One fine-tuning of a teacher."""

    rows: Sequence[Example]
    settings: FinetuneSettings
    """With the precision resolved."""
    checkpoint: Path
    identity: str
    """As :class:`Resumption` takes it."""


@dataclass(frozen=True)
class _Step:
    done: int
    total: int


@dataclass(frozen=True)
class _FinetuneTogether:
    """What each process does."""

    opening: Opening
    task: Finetuning
    folder: Path
    """Where they meet, and where the first leaves the teacher."""
    threads: int

    def __call__(self, place: Place, tell: Tell) -> dict[str, Any]:
        registry, first = this_process(self.opening.local_files).registry, place.number == 0
        device, told = self.opening.worker.device, 0.0
        say, warn = sayings(place, tell)

        def stepped(done: int, total: int) -> None:
            nonlocal told
            if first and (done == total or time.monotonic() - told >= SECONDS_BETWEEN_STEPS):
                told = time.monotonic()
                tell(_Step(done, total))

        resuming = Resumption(self.task.checkpoint, self.task.identity, say=say, warn=warn, writes=first)
        with registry.blaming_plugins():
            teacher = network(self.opening.opened(warn))
            with joined(place.number, place.of, self.folder / MEETING, device) as share, threads(self.threads):
                record = finetune_teacher(
                    teacher,
                    self.task.rows,
                    self.task.settings,
                    device=device,
                    progress=stepped,
                    resuming=resuming,
                    share=share,
                )
            if first:
                teacher.save(self.folder / SAVED)
        return record


@contextmanager
def finetuned_together(
    context: RunContext, teacher: Classifier, task: Finetuning, stepped: Callable[[int, int], None]
) -> Iterator[tuple[dict[str, Any], Path]]:
    """Fine-tune ``teacher`` in the recipe's number of processes; gives the record of it, and a folder in which the
    fine-tuned one is saved until the block ends. The ``teacher`` that was given stays as it is.

    Ctrl-C, or the word to end, waits until a step is whole and on disk. Raises :class:`CodrunError` where a process
    died: the next run continues at the last checkpoint.
    """
    opening = Opening.of(context, TeacherSource(teacher.labels), teacher)
    own_threads = max(1, finetuning_threads() // context.recipe.teacher.processes)
    with temporary_folder(context.store.teachers) as place, room_for_the_others(context, teacher):
        folder = place / "shared"
        folder.mkdir()
        yield _finetuned(context, _FinetuneTogether(opening, task, folder, own_threads), stepped), folder / SAVED


def _finetuned(context: RunContext, work: _FinetuneTogether, stepped: Callable[[int, int], None]) -> dict[str, Any]:
    cure = "run the same command again, and it continues at the last checkpoint"
    record: dict[str, Any] = {}
    asked = False
    with (
        passed_on(context.folder.path, context.progress),
        interruption_held() as interrupted,
        worker_group(work, places_of(context), "that fine-tune the teacher", cure) as group,
    ):

        def look() -> None:
            nonlocal asked
            if interrupted and not asked:
                asked = True
                group.ask_to_end()

        for told in group.told(look):
            if told.last:
                record = told.content  # all have the same
            else:
                _heard(context, told.content, stepped)
        interrupted.let_through()
    return record


def _heard(context: RunContext, content: _Step | Sentence, stepped: Callable[[int, int], None]) -> None:
    if isinstance(content, _Step):
        stepped(content.done, content.total)
    elif content.warning:
        context.progress.warn(content.words)
    else:
        context.progress.say(content.words)

"""Stage 2 in several processes: a teacher that is too slow for one is fine-tuned by them together, and asked by all."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cod_runner.api import BuildContext, Classifier, Example, FinetuneSettings, Input, LabelScorer, Teacher
from cod_runner.context import RunContext, WorkerContext
from cod_runner.engine.asking import Answer, each_answer, network
from cod_runner.engine.checkpoints import Resumption
from cod_runner.engine.data_parallel import joined
from cod_runner.engine.device import threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.interruption import interruption_held
from cod_runner.engine.outputs import Row
from cod_runner.errors import CodrunError, SettingError
from cod_runner.files import temporary_folder
from cod_runner.local_plugins import LocalFile
from cod_runner.machine import finetuning_threads
from cod_runner.stages.build import TeacherSource, build_teacher
from cod_runner.stages.worker_output import passed_on, write_to_the_file
from cod_runner.stages.workers import this_process
from cod_runner.worker_group import Place, Tell, most_on_the_cpu, places_for, worker_group

TEXTS_WORTH_A_PROCESS = 64
"""Fewer are answered sooner than another process has loaded the teacher."""
SECONDS_BETWEEN_STEPS = 0.1
"""Between two words on how far a fine-tuning is."""
MEETING, SAVED = "meeting", "teacher"


def refuse_unfit(context: RunContext) -> None:
    """Raise :class:`SettingError` where the recipe's ``processes`` cannot be had here."""
    wanted, tuned = context.recipe.teacher.processes, context.recipe.teacher.finetune is not None
    if wanted == 1:
        return
    here = torch.device(context.device)
    if tuned and importlib.util.find_spec("accelerate") is None:
        raise _unfit(
            f"`processes: {wanted}` fine-tunes through the package `accelerate`, which is not installed; "
            '`pip install "codrun[accelerate]"`, or leave `processes` out'
        )
    if here.type not in ("cpu", "cuda"):
        raise _unfit(f"`processes: {wanted}` needs a GPU for each, and `{here}` is one; leave it out")
    if here.index is not None:
        raise _unfit(f"`processes: {wanted}` takes the first {wanted} GPUs, not `{here}` alone; omit --device")
    there = torch.cuda.device_count() if here.type == "cuda" else most_on_the_cpu()
    if wanted > there:
        what = "GPU" if here.type == "cuda" else "core"
        has = f"{there} {what}{'s' * (there != 1)}"
        raise _unfit(f"`processes: {wanted}` needs a {what} for each, and this machine has {has}; set it to {there}")


def _unfit(sentence: str) -> SettingError:
    return SettingError(sentence, "processes")


def _places(context: RunContext) -> list[Place]:
    """On GPUs each process has one to itself: those that this process sees, in its order."""
    wanted, gpus = context.recipe.teacher.processes, None
    if torch.device(context.device).type == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = seen.split(",") if seen is not None else [str(number) for number in range(wanted)]
    return places_for(wanted, gpus)


@contextmanager
def _room_for_the_others(context: RunContext, teacher: Teacher) -> Iterator[None]:
    """Inside, the teacher of this process is not in a GPU's memory, where a process of the group needs the room."""
    if isinstance(teacher, LabelScorer) or torch.device(context.device).type == "cpu":
        yield
        return
    teacher.to("cpu")
    torch.cuda.empty_cache()
    yield
    teacher.to(context.device)


@dataclass(frozen=True)
class _Opening:
    """How a process of the group has the teacher; can be pickled."""

    worker: WorkerContext
    local_files: tuple[LocalFile, ...]
    source: TeacherSource
    fingerprint: str
    """Of the teacher that this process must find too."""

    @classmethod
    def of(cls, context: RunContext, source: TeacherSource, teacher: Teacher) -> _Opening:
        return cls(context.worker, context.registry.local_files, source, teacher.fingerprint)

    def opened(self, say: Callable[[str], None]) -> Teacher:
        """Raises :class:`CodrunError` for another teacher than that of the run."""
        write_to_the_file(self.worker.students.parent)
        registry = this_process(self.local_files).registry
        teacher = build_teacher(self.worker, registry, self.source, BuildContext(say=say))
        if teacher.fingerprint != self.fingerprint:
            raise CodrunError("the teacher's checkpoint has changed since the run began; run it again")
        return teacher


@dataclass(frozen=True)
class _Sentence:
    words: str
    warning: bool = False


def _sayings(place: Place, tell: Tell) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Say and warn, for a process of the group; the others would repeat the first."""
    if place.number:
        return _unsaid, _unsaid
    return lambda words: tell(_Sentence(words)), lambda words: tell(_Sentence(words, warning=True))


def _unsaid(words: str) -> None:
    """The first process says it."""


# --- fine-tuning --------------------------------------------------------------------------------------------------


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

    opening: _Opening
    task: Finetuning
    folder: Path
    """Where they meet, and where the first leaves the teacher."""
    threads: int

    def __call__(self, place: Place, tell: Tell) -> dict[str, Any]:
        registry, first = this_process(self.opening.local_files).registry, place.number == 0
        device, told = self.opening.worker.device, 0.0
        say, warn = _sayings(place, tell)

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
    opening = _Opening.of(context, TeacherSource(teacher.labels), teacher)
    own_threads = max(1, finetuning_threads() // context.recipe.teacher.processes)
    with temporary_folder(context.store.teachers) as place, _room_for_the_others(context, teacher):
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
        worker_group(work, _places(context), "that fine-tune the teacher", cure) as group,
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


def _heard(context: RunContext, content: _Step | _Sentence, stepped: Callable[[int, int], None]) -> None:
    if isinstance(content, _Step):
        stepped(content.done, content.total)
    elif content.warning:
        context.progress.warn(content.words)
    else:
        context.progress.say(content.words)


# --- asking -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _AskTogether:
    """What each process does: it answers about every n-th input, and each list is told before the next is begun."""

    opening: _Opening
    inputs: Sequence[Input]
    layers: Sequence[int]

    def __call__(self, place: Place, tell: Tell) -> None:
        with this_process(self.opening.local_files).registry.blaming_plugins():
            teacher = self.opening.opened(_sayings(place, tell)[1])
            mine = self.inputs[place.number :: place.of]
            device = self.opening.worker.device
            for answers in each_answer(teacher, mine, self.layers, device, at_once=place.cores):
                tell([_packed(replace(each, position=each.position * place.of + place.number)) for each in answers])


@dataclass(frozen=True)
class AskedTogether:
    """Asks in the recipe's number of processes, where there are inputs enough; else in this one. To be given to
    :meth:`SignalStore.add` in the place of :func:`each_answer`, with the same answers to the last bit on CPUs."""

    context: RunContext
    source: TeacherSource

    def __call__(
        self,
        teacher: Teacher,
        inputs: Sequence[Input],
        layers: Sequence[int],
        device: str,
        progress: Callable[[int, int], None],
    ) -> Iterator[list[Answer]]:
        """As :func:`each_answer`."""
        wanted = self.context.recipe.teacher.processes
        if wanted == 1 or len(inputs) < TEXTS_WORTH_A_PROCESS * wanted:
            yield from each_answer(teacher, inputs, layers, device, progress)
            return
        # Short and long inputs are dealt to all alike.
        order = sorted(range(len(inputs)), key=lambda position: (len(str(inputs[position])), position))
        dealt = [inputs[position] for position in order]
        work = _AskTogether(_Opening.of(self.context, self.source, teacher), dealt, tuple(layers))
        cure = "run the same command again: what was answered is stored"
        done = 0
        with (
            _room_for_the_others(self.context, teacher),
            passed_on(self.context.folder.path, self.context.progress),
            worker_group(work, _places(self.context), "that answer as the teacher", cure) as group,
        ):
            progress(0, len(inputs))
            for told in group.told():
                if isinstance(told.content, _Sentence):
                    self.context.progress.warn(told.content.words)
                elif not told.last:
                    yield [_unpacked(each, order) for each in told.content]
                    done += len(told.content)
                    progress(done, len(inputs))


_Packed = tuple[int, tuple[int, ...], Any, dict[int, Any], int, int]
"""An answer with arrays in the place of tensors, which processes would exchange through shared memory, of which
containers have little."""


def _packed(answer: Answer) -> _Packed:
    row = answer.row
    hidden = {layer: states.numpy() for layer, states in row.hidden.items()}
    return answer.position, answer.ids, row.logits.numpy(), hidden, row.tokens, row.pooled_at


def _unpacked(packed: _Packed, order: Sequence[int]) -> Answer:
    position, ids, logits, hidden, tokens, pooled_at = packed
    states = {layer: torch.from_numpy(each) for layer, each in hidden.items()}
    return Answer(order[position], ids, Row(torch.from_numpy(logits), states, tokens, pooled_at))

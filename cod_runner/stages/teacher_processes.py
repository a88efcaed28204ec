"""Stage 2 in several processes, for a teacher that is too slow for one: whether this machine has room for them, and
what each of them has: its place, the teacher, a way to say something."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cod_runner.api import BuildContext, LabelScorer, Teacher
from cod_runner.context import RunContext, WorkerContext
from cod_runner.errors import CodrunError, SettingError
from cod_runner.local_plugins import LocalFile
from cod_runner.stages.build import TeacherSource, build_teacher
from cod_runner.stages.worker_output import write_to_the_file
from cod_runner.stages.workers import this_process
from cod_runner.worker_group import Place, Tell, most_on_the_cpu, places_for


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


def places_of(context: RunContext) -> list[Place]:
    """On GPUs each process has one to itself: those that this process sees, in its order."""
    wanted, gpus = context.recipe.teacher.processes, None
    if torch.device(context.device).type == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = seen.split(",") if seen is not None else [str(number) for number in range(wanted)]
    return places_for(wanted, gpus)


@contextmanager
def room_for_the_others(context: RunContext, teacher: Teacher) -> Iterator[None]:
    """Inside, the teacher of this process is not in a GPU's memory, where a process of the group needs the room."""
    if isinstance(teacher, LabelScorer) or torch.device(context.device).type == "cpu":
        yield
        return
    teacher.to("cpu")
    torch.cuda.empty_cache()
    yield
    teacher.to(context.device)


@dataclass(frozen=True)
class Opening:
    """How a process of the group has the teacher; can be pickled."""

    worker: WorkerContext
    local_files: tuple[LocalFile, ...]
    source: TeacherSource
    fingerprint: str
    """Of the teacher that this process must find too."""

    @classmethod
    def of(cls, context: RunContext, source: TeacherSource, teacher: Teacher) -> Opening:
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
class Sentence:
    """What a process of the group says to the user."""

    words: str
    warning: bool = False


def sayings(place: Place, tell: Tell) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Say and warn, for a process of the group; the others would repeat the first."""
    if place.number:
        return _unsaid, _unsaid
    return lambda words: tell(Sentence(words)), lambda words: tell(Sentence(words, warning=True))


def _unsaid(words: str) -> None:
    """The first process says it."""

"""Stage 2 in several processes: all of them answer as the teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from cod_runner.api import Input, Teacher
from cod_runner.context import RunContext
from cod_runner.engine.asking import Answer, each_answer
from cod_runner.engine.outputs import Row
from cod_runner.stages.build import TeacherSource
from cod_runner.stages.teacher_processes import Opening, Sentence, places_of, room_for_the_others, sayings
from cod_runner.stages.worker_output import passed_on
from cod_runner.stages.workers import this_process
from cod_runner.worker_group import Place, Tell, worker_group

TEXTS_WORTH_A_PROCESS = 64
"""Fewer are answered sooner than another process has loaded the teacher."""


@dataclass(frozen=True)
class _AskTogether:
    """What each process does: it answers about every n-th input, and each list is told before the next is begun."""

    opening: Opening
    inputs: Sequence[Input]
    layers: Sequence[int]

    def __call__(self, place: Place, tell: Tell) -> None:
        with this_process(self.opening.local_files).registry.blaming_plugins():
            teacher = self.opening.opened(sayings(place, tell)[1])
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
        work = _AskTogether(Opening.of(self.context, self.source, teacher), dealt, tuple(layers))
        cure = "run the same command again: what was answered is stored"
        done = 0
        with (
            room_for_the_others(self.context, teacher),
            passed_on(self.context.folder.path, self.context.progress),
            worker_group(work, places_of(self.context), "that answer as the teacher", cure) as group,
        ):
            progress(0, len(inputs))
            for told in group.told():
                if isinstance(told.content, Sentence):
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

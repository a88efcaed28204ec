"""The executor `processes`: cells run in worker processes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from cod_runner.api import BuildContext, Workers, cores
from codrun_executors.crew import Crew
from codrun_executors.gpus import chosen_gpus
from codrun_executors.memory import free_memory
from codrun_executors.plugin import ProcessOptions
from codrun_executors.room import Room, room_on_cpu, room_on_gpus


class Processes:
    """Kind ``executor``: spawned processes, as many as ``jobs``, that live as long as there are tasks and end with
    their parent, however it ends."""

    def __init__(self, options: ProcessOptions, context: BuildContext) -> None:
        self._options = options
        self._context = context

    def workers(self) -> Workers:
        """On a CPU a core each; with CUDA a GPU each, and several on one where memory allows; else one."""
        return Workers(self._room.at_once, self._room.device)

    @cached_property
    def _room(self) -> Room:
        context, options = self._context, self._options
        kind = context.device.partition(":")[0]
        if kind == "cpu":
            return room_on_cpu(context.device, free_memory(), context.cell_bytes, cores())
        if kind != "cuda":
            return Room(1, context.device)
        asked = context.cell_bytes is not None and options.per_gpu is None
        gpus = chosen_gpus(context.device, options.gpus, with_memory=asked)
        return room_on_gpus(context.device, gpus, context.cell_bytes, options.per_gpu, cores(), free_memory())

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        """Results in the order in which tasks finish. The first exception stops the workers and is raised here.

        With one job, or one task, in this process, unless that cell's GPU is another than this process would take.
        A task whose worker died begins anew in another, three times at most. Where memory ran out, fewer run at once
        from then on, and a task that ran out of it beside others begins anew once they are done.
        """
        if not tasks:
            return
        if sentence := self._room.sentence(jobs, len(tasks)):
            self._context.say(sentence)
        places = self._room.places(min(jobs, len(tasks)))
        if len(places) == 1 and (places[0].gpu is None or places[0].gpu.number == 0):
            yield from (work(task) for task in tasks)
            return
        crew = Crew(work, tasks, places, self._context.say)
        try:
            yield from crew.results()
        except BaseException:
            crew.disband(now=True)
            raise
        crew.disband(now=False)

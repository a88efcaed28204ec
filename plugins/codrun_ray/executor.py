"""Kind ``executor``: cells run in Ray actors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

from cod_runner.api import BuildContext, SettingError, Workers, cores
from codrun_ray.plugin import RayOptions
from codrun_ray.request import Request
from codrun_ray.session import connected

PART_OF_MEMORY = 0.7
"""Of a machine, that a Ray of the run's own gives its workers, about; it keeps the rest for itself."""


class Ray:
    """One actor for each cell that runs at once, which holds its resources until no cell waits."""

    def __init__(self, options: RayOptions, context: BuildContext) -> None:
        if find_spec("ray") is None:
            raise SettingError(
                "the executor `ray` needs the package ray, which is not installed; run "
                '`pip install "codrun[ray]"`, or choose another executor'
            )
        self._address = options.address
        self._say = context.say
        self._run = context.run
        on_a_gpu = context.device.partition(":")[0] == "cuda"
        gpus = options.gpus if options.gpus is not None else float(on_a_gpu)
        self.request = Request(options.cpus, gpus, options.memory)
        self._expected = context.cell_bytes if options.memory is None else None
        self.device = "cuda" if gpus else "cpu" if on_a_gpu else context.device
        self._connection = ExitStack()
        self._is_joined = False

    def workers(self) -> Workers:
        """As many as the cluster has room for, whoever else uses it; joins it."""
        nodes = [_this_machine(self.request.gpus)] if self._address is None else self._joined()
        request = self._asked(nodes)
        return Workers(max(1, sum(request.rooms(node) for node in nodes)), self.device)

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterator[Any]:
        """Results in the order in which tasks finish. The first exception ends the workers and is raised here."""
        if not tasks:
            self._connection.close()
            return
        with self._connection:
            at_once = min(jobs, len(tasks))
            nodes = self._joined(cpus=max(cores(), at_once * self.request.cpus))
            request = self._asked(nodes)
            self._refuse(request, nodes)
            from codrun_ray.crew import Crew

            with Crew(work, request, self._run, self._say) as crew:
                yield from crew.results(tasks, at_once)

    def _joined(self, cpus: int = 0) -> list[dict[str, float]]:
        """The resources of each node of the cluster, which is joined, or started, if it is not yet."""
        if not self._is_joined:
            self._connection.enter_context(connected(self._address, cpus))
            self._connection.callback(self._left)
            self._is_joined = True
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def _left(self) -> None:
        self._is_joined = False

    def _asked(self, nodes: Sequence[dict[str, float]]) -> Request:
        """With the memory that a cell is expected to take, where nothing else is asked for and a node has it."""
        expecting = Request(self.request.cpus, self.request.gpus, self._expected)
        return expecting if self._expected and any(map(expecting.rooms, nodes)) else self.request

    def _refuse(self, request: Request, nodes: Sequence[dict[str, float]]) -> None:
        """Raise where a worker asks for more than this machine has; nodes may join a cluster later."""
        lacking = request.lacking(nodes)
        if lacking is None:
            return
        if self._address is None:
            raise SettingError(f"a worker asks for {request}, and this machine has no room for it", lacking)
        self._say(f"no node of the Ray cluster has {request}; cells wait until one joins")


def _this_machine(gpus: float) -> dict[str, float]:
    """What a Ray of the run's own would have, by its names."""
    found: dict[str, float] = {"CPU": cores()}
    if gpus:
        import torch

        found["GPU"] = torch.cuda.device_count()
    found["memory"] = PART_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return found

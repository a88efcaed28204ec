"""What a worker asks of a node, and how many a node has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """Ray's resources of one worker."""

    cpus: int
    gpus: float
    memory: int | None
    """Bytes; None: not asked for."""

    def options(self) -> dict[str, Any]:
        """As Ray's actors take it."""
        wanted: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return wanted if self.memory is None else {**wanted, "memory": self.memory}

    def rooms(self, node: Mapping[str, float]) -> int:
        """How many workers fit a node with these resources, by Ray's names for them, memory in bytes. A worker with a
        part of a GPU never spans two."""
        fits = [node.get("CPU", 0) // self.cpus]
        if self.gpus >= 1:
            fits.append(node.get("GPU", 0) // self.gpus)
        elif self.gpus:
            fits.append(node.get("GPU", 0) * int(1 / self.gpus))
        if self.memory is not None:
            fits.append(node.get("memory", 0) // self.memory)
        return int(min(fits))

    def lacking(self, nodes: Sequence[Mapping[str, float]]) -> str | None:
        """The option that no node can meet; `cpus` where each is met by some node and all by none; None where a node
        has room."""
        if any(self.rooms(node) for node in nodes):
            return None
        wanted = (("gpus", "GPU", self.gpus), ("memory", "memory", self.memory or 0))
        return next(
            (option for option, name, least in wanted if all(node.get(name, 0) < least for node in nodes)), "cpus"
        )

    def __str__(self) -> str:
        words = [f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"]
        if self.gpus:
            words.append(f"{self.gpus:g} GPU{'s' if self.gpus > 1 else ''}")
        if self.memory is not None:
            words.append(f"{self.memory / 1e9:.1f} GB of memory")
        return ", ".join(words)

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
        """How many workers fit a node with these resources, by Ray's names for them, memory in bytes."""
        fits = [int(node.get("CPU", 0) // self.cpus)]
        if self.gpus:
            fits.append(
                int(node.get("GPU", 0) // self.gpus if self.gpus >= 1 else node.get("GPU", 0) * (1 // self.gpus))
            )
        if self.memory is not None:
            fits.append(int(node.get("memory", 0) // self.memory))
        return min(fits)

    def lacking(self, nodes: Sequence[Mapping[str, float]]) -> str | None:
        """The option that no node can meet, if there is one; where each is met by some node but none meets all, the
        first that the largest node lacks."""
        for option, name, wanted in (
            ("cpus", "CPU", self.cpus),
            ("gpus", "GPU", self.gpus),
            ("memory", "memory", self.memory),
        ):
            if wanted and all(node.get(name, 0) < wanted for node in nodes):
                return option
        return None if any(self.rooms(node) for node in nodes) else "cpus"

    def __str__(self) -> str:
        words = [f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"]
        if self.gpus:
            words.append(f"{self.gpus:g} GPU{'s' if self.gpus > 1 else ''}")
        if self.memory is not None:
            words.append(f"{self.memory / 1e9:.1f} GB of memory")
        return ", ".join(words)

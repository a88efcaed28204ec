"""The flags of a run that a comparison of revisions passes on to both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Flags:
    """As given on the command line; what is None or empty is not passed on, so that older revisions, which may lack
    a flag, run too."""

    profile: str | None = None
    overrides: tuple[str, ...] = ()
    k: str | None = None
    seeds: str | None = None
    methods: str | None = None
    arms: str | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_folders: tuple[Path, ...] = ()
    allow_local_plugins: bool = False
    jobs: int | None = None
    device: str | None = None
    offline: bool = False
    quiet: bool = False

    def of_a_plan(self, folders: tuple[Path, ...]) -> list[str]:
        """What decides the cells of a run and what it may do; ``folders`` are those that it may read."""
        named = {"profile": self.profile, "k": self.k, "seeds": self.seeds, "methods": self.methods, "arms": self.arms}
        listed = {"set": self.overrides, "allow-host": self.allow_hosts, "allow-folder": map(str, folders)}
        return [
            *(f"--{name}={value}" for name, value in named.items() if value is not None),
            *(f"--{name}={value}" for name, values in listed.items() for value in values),
            *(["--allow-local-plugins"] if self.allow_local_plugins else []),
        ]

    def of_a_run(self, folders: tuple[Path, ...]) -> list[str]:
        """All of them."""
        return [*self.of_a_plan(folders), *self._how()]

    def _how(self) -> Iterator[str]:
        if self.jobs is not None:
            yield f"--jobs={self.jobs}"
        if self.device is not None:
            yield f"--device={self.device}"
        if self.offline:
            yield "--offline"
        if self.quiet:
            yield "--quiet"

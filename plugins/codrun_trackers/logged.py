"""Which cells a tracker has, and under which names, noted in the run's folder: a second call continues there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cod_runner.api import append_line

NAME = re.compile(r"[A-Za-z0-9]+")
"""Of a run in a tracker. What is deleted is found by it, so that no other is believed of a folder, which may be a
stranger's: it could lead to another place."""
THE_RUN = ""
"""Stands for the run as a whole among the keys of its cells."""


class Logged:
    """``trackers/<tracker>.jsonl`` in the run's folder: a line when something is begun, and one when it is complete.

    What was begun and is not complete was cut off by a kill. Lines about another destination do not count.
    """

    def __init__(self, path: Path, to: Mapping[str, Any]) -> None:
        self._path, self._to = path, dict(to)
        self._names: dict[str, str] = {}
        self._complete: set[str] = set()
        if not path.exists():
            return
        for line in path.read_bytes().splitlines():
            try:
                found = json.loads(line)
                key, name, complete = found["key"], found["name"], found["complete"]
            except (ValueError, KeyError, TypeError):  # torn by a kill
                continue
            if found.get("to") == self._to and isinstance(name, str) and NAME.fullmatch(name):
                self._take(str(key), name, bool(complete))

    def name(self, key: str) -> str | None:
        """What a cell, or :data:`THE_RUN`, is called in the tracker; None where it is not there."""
        return self._names.get(key)

    def has(self, key: str) -> bool:
        """Whether it is complete."""
        return key in self._complete

    def begin(self, key: str, name: str) -> None:
        """Note its name, before anything of it is logged."""
        self._write(key, name, False)

    def complete(self, key: str) -> None:
        """Note that all of it is logged."""
        self._write(key, self._names[key], True)

    def forget(self) -> list[str]:
        """Begin anew, since the run of the whole is gone there; returns the names of all that was known."""
        known = [*self._names.values()]
        self._names.clear()
        self._complete.clear()
        return known

    def _take(self, key: str, name: str, complete: bool) -> None:
        self._names[key] = name
        (self._complete.add if complete else self._complete.discard)(key)

    def _write(self, key: str, name: str, complete: bool) -> None:
        self._take(key, name, complete)
        line = {"key": key, "name": name, "complete": complete, "to": self._to}
        append_line(self._path, json.dumps(line))

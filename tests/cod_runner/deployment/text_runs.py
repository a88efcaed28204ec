"""What a test of a finished run is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TextRun:
    """A run of k 4 and 8, two seeds, and the store that it filled."""

    folder: Path
    store: Path
    data: Path

    def student(self, name: str = "kd-plain-k4-s0") -> Path:
        """A student's folder."""
        return self.folder / "students" / name

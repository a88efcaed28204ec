"""Who made what is stored, and who used it last: a small file for each thing, which a run writes when it uses it."""

from __future__ import annotations

import functools
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole

FOLDER = "uses"
NAME = re.compile(r"(teachers|models|signals)/[0-9a-f]{32}")


@dataclass(frozen=True)
class Maker:
    """Whose work a thing was first needed for; names alone, no paths."""

    recipe: str
    run: str
    """The name of the run's folder."""


@dataclass(frozen=True)
class Use:
    """What is known of the use of one thing in the store."""

    used: AwareDatetime
    """When a run needed it last."""
    made_for: Maker | None = None
    """None for what an earlier version made."""


@functools.cache
def _use() -> TypeAdapter[Use]:
    return TypeAdapter(Use)


@dataclass(frozen=True)
class Uses:
    """The uses of everything below a store's ``root``."""

    root: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def of(self, name: str) -> Use | None:
        """Of ``teachers/KEY``, ``models/KEY`` or ``signals/KEY``; None where nothing is known."""
        with suppress(OSError, ValidationError):
            return _use().validate_json(self._file(name).read_bytes(), strict=True)
        return None

    def note(self, name: str, maker: Maker, *, new: bool) -> None:
        """A run uses it now, and makes it if it is ``new``. What cannot be written is left out."""
        earlier = self.of(name)
        made_for = maker if new else earlier.made_for if earlier is not None else None
        self._write(name, Use(self.now, made_for))

    def begin(self, name: str) -> None:
        """Nothing is known of it, so that its days count from now on."""
        self._write(name, Use(self.now))

    def forget(self, name: str) -> None:
        """The entry is deleted, with all its parts."""
        gone = [self._file(name)] if NAME.fullmatch(name) else [*(self.root / FOLDER).glob(f"{name}-*.json")]
        for file in gone if re.fullmatch(r"[a-z]+(/[0-9a-f]{32})?", name) else ():
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.root / FOLDER / f"{name.replace('/', '-')}.json"

    def _write(self, name: str, use: Use) -> None:
        with suppress(CodrunError, OSError), file_written_whole(self._file(name)) as file:
            file.write_text(json.dumps(_use().dump_python(use, mode="json")), encoding="utf-8")

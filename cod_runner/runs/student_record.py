"""``student.json``: what a saved student's folder says of itself, so that it is opened without its recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cod_runner.errors import CodrunError
from cod_runner.files import write_whole
from cod_runner.runs.records import cell_name

FILE = "student.json"


class SavedComponent(BaseModel):
    """A component as a recipe names it."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    use: str
    options: dict[str, Any] = Field(default_factory=dict)


class HeldOut(BaseModel):
    """What a student says of rows of the pool that it was not trained on; no texts."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    labels: list[int]
    """``[rows]`` gold class ids."""
    logits: list[list[float]]
    """``[rows][classes]``, as the student gives them, not divided by its temperature."""


class StudentRecord(BaseModel):
    """What is known of a saved student. Keys that are not named here are preserved."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    format: int = 1
    student: SavedComponent
    """The component that trained it and opens it again."""
    labels: tuple[str, ...]
    """In logit order."""
    describe: str = ""
    recipe: str = ""
    """The recipe's name."""
    key: str = ""
    """Its cell's, as in ``cells.jsonl``."""
    method: str = ""
    arm: str = ""
    k: int = 0
    seed: int = 0
    teacher: str = ""
    """Its teacher's fingerprint, under which the store keeps what that teacher said."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """On the evaluation split, by the recipe's names."""
    temperature: float | None = None
    """Divides the logits, so that a softmax gives calibrated probabilities; None: it was not fitted."""
    held_out: HeldOut | None = None
    """What fitted it; None where no row was left."""
    exported: SavedComponent | None = None
    """The exporter that wrote this folder; None for a student as it was saved. The temperature is then inside."""

    @property
    def cell(self) -> str:
        """The name of its folder under ``students/``."""
        return cell_name(self.method, self.arm, self.k, self.seed)


def write_student_record(folder: Path, record: StudentRecord) -> None:
    """Write ``student.json``, replacing it in one step."""
    write_whole(folder / FILE, json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read_student_record(folder: Path) -> StudentRecord | None:
    """The record; None where the folder has none. Raises :class:`CodrunError` that names a damaged file."""
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes().decode())
        if not isinstance(found, Mapping):
            raise ValueError("it is not a mapping")
        return StudentRecord.model_validate(found)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CodrunError(f"{path} cannot be read ({error.strerror}); mend its permissions") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CodrunError(f"{path} does not describe a student: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise CodrunError(f"{path} is damaged ({str(error).partition(';')[0]}); train or export it again") from error

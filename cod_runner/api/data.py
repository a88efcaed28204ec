"""The contract of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cod_runner.errors import CodrunError

if TYPE_CHECKING:
    from cod_runner.api.inputs import Input


@dataclass(frozen=True)
class Example:
    """One input. ``label`` is a class id, or None where there is only the teacher's word; ``partner`` is the id of the
    other half of a pair, in a group of more the original's."""

    id: str
    input: Input
    label: int | None = None
    partner: str | None = None
    is_counterfactual: bool = False

    @property
    def hard_label(self) -> int:
        """The label, where there must be one; raises :class:`CodrunError` where there is none."""
        if self.label is None:
            raise CodrunError(f"the example `{self.id}` has no label")
        return self.label


@dataclass(frozen=True)
class LoadedData:
    """What a data set holds: label names in the order of their class ids, and examples by split name.

    A source without splits of its own puts everything in one split named ``train``.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    notes: tuple[str, ...] = ()
    """What the user should know: which rows were omitted and why."""


class Dataset(Protocol):
    """Kind ``dataset``.

    The core knows two options by name, where a data set has them: ``labels``, the list of label names in the order of
    their class ids, by which ``k`` and ``targets`` are checked before any data is read, and which faults about classes
    point at; and ``splits``, which a fault about the names of splits points at.
    """

    def load(self) -> LoadedData:
        """Read everything; raise :class:`DataError` that names file, row and cure, and the option to point at, as in
        ``DataError("...", "path")``."""
        ...

"""Batches in which some rows have no label: what reads labels is given the other rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import Batch, Example, Outputs
from cod_runner.engine.device import sent
from cod_runner.errors import CodrunError


class SomeLabels:
    """Stands for the labels of a batch in which some rows have none; only the engine knows which.

    Whatever else touches it raises :class:`CodrunError`, so that no loss learns from a label that is not there.
    """

    def __init__(self, rows: Sequence[int], labels: Tensor) -> None:
        self.labelled_rows = list(rows)
        """Positions in the batch."""
        self.of_labelled_rows = labels
        """``[labelled rows]``."""

    def __getattr__(self, name: str) -> Any:
        raise _unread()

    def _refuse(self, *others: Any) -> Any:
        raise _unread()

    # What Python itself looks up past ``__getattr__``; a comparison would answer False without a word.
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __iter__ = __contains__ = _refuse
    __getitem__ = __int__ = __float__ = __index__ = __neg__ = __invert__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __and__ = _refuse

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        raise _unread()


def labels_of(examples: Sequence[Example], device: str) -> Tensor | SomeLabels:
    """``[batch]`` class ids on the device; where some row has none, what guards against reading them."""
    known = [(row, example.label) for row, example in enumerate(examples) if example.label is not None]
    labels = sent(torch.tensor([label for _, label in known], dtype=torch.long), device)
    return labels if len(known) == len(examples) else SomeLabels([row for row, _ in known], labels)


def labelled_part(batch: Batch, *outputs: Outputs) -> tuple[Batch, list[Outputs]]:
    """The labelled rows of a batch that has others too, and of what models said about it."""
    labels = batch.labels
    assert isinstance(labels, SomeLabels)
    rows = labels.labelled_rows
    place = {row: position for position, row in enumerate(rows)}
    device = str(batch.is_counterfactual.device)
    chosen = sent(torch.tensor(rows, dtype=torch.long), device)
    partners = [place.get(partner, -1) for partner in batch.partner[chosen].tolist()]
    part = Batch(
        ids=tuple(batch.ids[row] for row in rows),
        labels=labels.of_labelled_rows,
        partner=sent(torch.tensor(partners, dtype=torch.long), device),
        is_counterfactual=batch.is_counterfactual[chosen],
        inputs={name: value[chosen] for name, value in batch.inputs.items()},
    )
    return part, [_rows_of(each, chosen) for each in outputs]


def _rows_of(outputs: Outputs, rows: Tensor) -> Outputs:
    if "logits" not in vars(outputs):  # it stands for a teacher that is not there, and says so when it is asked
        return outputs
    return Outputs(
        logits=outputs.logits[rows],
        hidden={layer: states[rows] for layer, states in outputs.hidden.items()},
        mask=None if outputs.mask is None else outputs.mask[rows],
        pooled_at=None if outputs.pooled_at is None else outputs.pooled_at[rows],
    )


def _unread() -> CodrunError:
    return CodrunError(
        "a loss reads the labels of a batch in which some rows have none; its class must say `needs_labels = True`, "
        "and is then given the others alone"
    )

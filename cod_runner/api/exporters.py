"""The contracts of a student after its run: what answers, and what writes it in another form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy

    from cod_runner.api.classifiers import Classifier, Encoded
    from cod_runner.api.inputs import Input


class Answerer(Protocol):
    """A finished student, in whatever form: what ``codrun predict`` and ``codrun bench`` ask. Knows nothing of torch.

    Inputs are read first and answered in batches of one length, as the caller sorts them.
    """

    labels: tuple[str, ...]

    def encode(self, inputs: Sequence[Input]) -> Sequence[Encoded]:
        """As :meth:`Classifier.encode`."""
        ...

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        """``[batch, classes]``, float32, in the order of ``labels``; of a student whose record has a temperature, not
        yet divided by it, unless the export says that it is inside."""
        ...


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter is given beside the student."""

    folder: Path
    """An empty folder that becomes the export once all of it is written."""
    temperature: float = 1.0
    """The logits are divided by it inside the exported model, so that a softmax gives calibrated probabilities."""
    texts: Sequence[Input] = ()
    """Real inputs, for checks of parity; the exporter adds odd lengths and paddings of its own."""
    say: Callable[[str], None] = lambda sentence: None
    """Tells the user one sentence."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the student."""

    file: str
    """The model's file, relative to the folder."""
    bytes: int
    """Of that file."""
    compared: int
    """Inputs on which both were asked, in all paddings."""
    largest_difference: float
    """Between logits of the student and of the export, over all of them."""
    disagreeing: int
    """Inputs whose likeliest label differs."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What else the model card should say: versions, quantised operators."""


class Exporter(Protocol):
    """Kind ``exporter``: writes a student in a form that runs without codrun, and opens it again (its component's
    ``reopen``)."""

    def export(self, student: Classifier, request: ExportRequest) -> ExportReport:
        """Write model, tokenizer, label names and a short example that loads them; compare it with ``student``.

        Raises :class:`CodrunError` where it cannot be exported, or where the two differ by more than rounding.
        """
        ...

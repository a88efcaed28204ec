"""Outputs of a batch taken apart into unpadded rows, one per example, and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cod_runner.api import Classifier, Encoded, Outputs
from cod_runner.engine.device import sent
from cod_runner.engine.hidden_files import StatesOnDisk
from cod_runner.errors import WrongResult

MEAN = -1


@dataclass(frozen=True)
class Row:
    """What a classifier says about one input, real tokens only, on the CPU."""

    logits: Tensor
    """``[classes]``, float32."""
    hidden: Mapping[int, Tensor]
    """Layer number to ``[tokens, width]``, float32; of a stored row, read anew each time."""
    tokens: int
    pooled_at: int
    """The token that the classification head reads, counted among the real ones; :data:`MEAN` for the mean of all."""

    def states(self, layers: Sequence[int]) -> Mapping[int, Tensor]:
        """Those of several layers, of a stored row in one reading."""
        return self.hidden.read(layers) if isinstance(self.hidden, StatesOnDisk) else self.hidden


def checked_outputs(outputs: Outputs, classifier: Classifier, rows: int, layers: Sequence[int]) -> Outputs:
    """What a classifier said of a batch of ``rows``, if it has the form of its contract; looks at no number."""

    def wrong(what: str) -> WrongResult:
        return WrongResult(f"{class_of(classifier)}: `forward` returned {what}")

    if not isinstance(outputs, Outputs):
        raise wrong(f"a {type(outputs).__name__}, and must return Outputs")
    if not isinstance(outputs.logits, Tensor):
        raise wrong(f"logits that are a {type(outputs.logits).__name__}, and must be a tensor")
    shape, classes = tuple(outputs.logits.shape), len(classifier.labels)
    if shape != (rows, classes):
        raise wrong(f"logits of the shape {list(shape)} for {rows} inputs and {classes} labels")
    if not outputs.logits.is_floating_point():
        raise wrong(f"logits of {outputs.logits.dtype}, which must be float32")
    for layer in layers:
        if layer not in outputs.hidden:
            raise wrong(f"no hidden states of layer {layer}, which was asked for")
        states = outputs.hidden[layer]
        if states.ndim != 3 or len(states) != rows:
            raise wrong(
                f"hidden states of layer {layer} of the shape {list(states.shape)}, not [{rows}, tokens, width]"
            )
    if outputs.mask is not None and (outputs.mask.ndim != 2 or len(outputs.mask) != rows):
        raise wrong(f"a mask of the shape {list(outputs.mask.shape)}, not [{rows}, tokens]")
    return outputs


def checked_encodings(encoded: Sequence[Encoded], classifier: Classifier, inputs: int) -> Sequence[Encoded]:
    """What a classifier made of ``inputs`` inputs, if it is one :class:`Encoded` of each."""
    if len(encoded) != inputs or not all(isinstance(each, Encoded) for each in encoded):
        strange = next((each for each in encoded if not isinstance(each, Encoded)), None)
        what = f"{len(encoded)} encodings" if strange is None else f"a {type(strange).__name__}"
        raise WrongResult(
            f"{class_of(classifier)}: `encode` returned {what} for {inputs} inputs, not an Encoded of each"
        )
    return encoded


def class_of(classifier: object) -> str:
    """A classifier as sentences name it, where nobody knows what a recipe calls it."""
    kind = type(classifier)
    return f"the classifier `{kind.__module__}.{kind.__qualname__}`"


def unpadded(outputs: Outputs, tokens: Sequence[int]) -> list[Row]:
    """The first rows of a batch, as many as ``tokens`` has entries, copied to the CPU without their padding.

    ``tokens`` holds each row's length, for classifiers that give no mask; a mask may pad on either side.
    """
    count, longest = len(tokens), max(tokens)
    logits = outputs.logits[:count].float().cpu()
    hidden = {layer: states[:count].float().cpu() for layer, states in outputs.hidden.items()}
    if outputs.mask is None:
        mask = torch.arange(longest) < torch.tensor(tokens)[:, None]
    else:
        mask = outputs.mask[:count].bool().cpu()
    places = None if outputs.pooled_at is None else outputs.pooled_at[:count].tolist()
    taken = []
    for row in range(count):
        real = mask[row]
        states = {layer: values[row, : len(real)][real] for layer, values in hidden.items()}
        read = MEAN if places is None else int(real[: places[row]].sum())
        taken.append(Row(logits[row].clone(), states, tokens[row], read))
    return taken


def padded(rows: Sequence[Row], layers: Sequence[int]) -> Outputs:
    """Rows as one batch on the CPU, padded on the right with zeros."""
    longest = max(row.tokens for row in rows)
    outputs = Outputs(
        logits=torch.stack([row.logits for row in rows]),
        mask=torch.arange(longest) < torch.tensor([row.tokens for row in rows])[:, None],
        pooled_at=None if any(row.pooled_at == MEAN for row in rows) else torch.tensor([row.pooled_at for row in rows]),
    )
    for place, row in enumerate(rows):
        states = row.states(layers)  # let go of after the copy
        for layer in layers:
            if layer not in outputs.hidden:
                outputs.hidden[layer] = torch.zeros(len(rows), longest, states[layer].shape[-1])
            outputs.hidden[layer][place, : row.tokens] = states[layer]
    return outputs


def picked(outputs: Outputs, rows: Tensor, longest: int) -> Outputs:
    """Those rows of right-padded outputs without hidden states, cut to the ``longest`` of them."""
    return Outputs(
        logits=outputs.logits[rows],
        mask=None if outputs.mask is None else outputs.mask[rows, :longest],
        pooled_at=None if outputs.pooled_at is None else outputs.pooled_at[rows],
    )


def moved(outputs: Outputs, device: str) -> Outputs:
    """The same on another device, without waiting for it."""
    return Outputs(
        sent(outputs.logits, device),
        {layer: sent(states, device) for layer, states in outputs.hidden.items()},
        None if outputs.mask is None else sent(outputs.mask, device),
        None if outputs.pooled_at is None else sent(outputs.pooled_at, device),
    )


def as_float32(outputs: Outputs) -> Outputs:
    """Logits and hidden states in float32, in which losses compute: a tempered KL loses its small values in bf16."""
    hidden = {layer: states.float() for layer, states in outputs.hidden.items()}
    return Outputs(outputs.logits.float(), hidden, outputs.mask, outputs.pooled_at)


def laid_out_as(teacher: Outputs, mask: Tensor) -> Outputs:
    """Move right-padded teacher states to the positions where ``mask`` (``[batch, tokens]``) has real tokens.

    For losses that compare positions, whichever side the student pads on. Both sides must have the same number of
    real tokens in every row. Padding positions hold arbitrary states. Does not wait for the device.
    """
    nth = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    longest = next((states.shape[1] for states in teacher.hidden.values()), 1)
    nth = nth.clamp(max=longest - 1)
    hidden = {
        layer: states.gather(1, nth[:, :, None].expand(-1, -1, states.shape[-1]))
        for layer, states in teacher.hidden.items()
    }
    pooled_at = teacher.pooled_at
    if pooled_at is not None:
        # The position of the n-th real token is the number of positions up to which at most n real tokens were seen.
        pooled_at = (mask.long().cumsum(dim=1) <= pooled_at[:, None]).sum(dim=1)
    return Outputs(teacher.logits, hidden, mask, pooled_at)

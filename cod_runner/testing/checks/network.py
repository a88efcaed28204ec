"""The contract of a classifier: a teacher that is a network, or a student."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import torch
from torch import Tensor, nn

from cod_runner.api import Classifier, CodrunError, Encoded, Input, ModelShape, Options, Outputs
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import ODD_POINTS, ODD_TEXTS, POINTS, TEXTS

MODULE = "Classifier: an `nn.Module` with `labels`, `shape` and `untrained_head`"
LABELS = "Classifier: `logits` are in the order of `labels`, which are those of the data"
FLOAT32 = "Classifier: trained parameters are float32"
FINGERPRINT = "Classifier.fingerprint: a hash of weights, tokenizer, maximal length and padding side"
ENCODE = "Classifier.encode: one `Encoded` for each input, at least one id each, truncated to the maximal length"
COLLATE = "Classifier.collate: pads to one length, rounded up to `multiple_of`; `[batch, ...]` tensors on the CPU"
LOGITS = "Classifier.forward: logits `[batch, classes]`, float32 and finite"
HIDDEN = (
    "Classifier.forward: the hidden states of the layers asked for, and of no others, `[batch, tokens, width]`, float32"
)
MASK = "Outputs.mask: `[batch, tokens]`, true at real tokens"
POOLED = "Outputs.pooled_at: `[batch]`, the position that the classification head reads, or None"
COMPANY = "Classifier.forward: an input's outputs depend neither on padding nor on the inputs beside it"
QUIET = "Classifier.forward: in eval mode the same batch gives the same outputs, and stays as it is"
THREADS = "Classifier.forward: in eval mode the engine calls it from several threads"
SEEDED = "BuildContext.seed: the same seed gives the same weights, and another one another new head"
ATTRIBUTION = (
    "Classifier.attribution: for each input the parts that speak for its target class, a word or a coordinate each"
)
MARGIN = "Attribution.score: gradient of the margin of the target class over the best other class"
LEFT_ALONE = "Classifier: asking changes neither weights, gradients nor the training mode of its parameters"
DISTANCE = "Classifier.distance: (edits, the same over the original's words or norm)"
SAVED = "Classifier.load: reads back the weights that `save` wrote"
SAFE = "Classifier.save: writes weights as safetensors, and no pickle"
SHAPE = "Options.shape: the size of the model before it is loaded"
FROM_TEACHER = "Options.from_teacher: whether the student starts from the teacher's weights"
PICKLES = frozenset(".bin .pt .pth .pkl .pickle .ckpt".split())


def check_network(subject: Subject, model: Classifier) -> bool:
    """Everything but training; returns whether it reads texts."""
    _check_form(subject, model)
    read: list[bool] = []

    def look(texts: bool) -> None:
        inputs = _inputs(texts)
        with subject.watched("in `encode`", refusals=True):
            encoded = model.encode(inputs[:2])
        read.append(texts)
        _check_encoding(subject, model, inputs, encoded)
        _check_outputs(subject, model, inputs)
        _check_company(subject, model, inputs)
        _check_attribution(subject, model, inputs, texts)
        _check_distance(subject, model, texts)

    subject.either_input(look)
    _check_fingerprint(subject, model)
    _check_seed(subject, model)
    _check_saving(subject, model, _inputs(read[0])[:5])
    check_identity(subject, lambda options: outputs_of(subject.build(options), _inputs(read[0])[:6]).logits.tolist())
    return read[0]


def _inputs(texts: bool) -> list[Input]:
    rows, odd = (TEXTS, ODD_TEXTS) if texts else (POINTS, ODD_POINTS)
    return [*(row.input for row in rows[:6]), *odd]


def outputs_of(model: Classifier, inputs: Sequence[Input], hidden: Sequence[int] = (), multiple_of: int = 1) -> Outputs:
    """In eval mode, without gradients."""
    model.eval()
    with torch.no_grad():
        return model(model.collate(model.encode(inputs), multiple_of), hidden=hidden)


def layers_of(model: Classifier, inputs: Sequence[Input]) -> tuple[int, ...]:
    """The layers whose hidden states it gives: all of them, unless it refuses some with a :class:`CodrunError`."""
    found = []
    for layer in range(model.shape.layers + 1):
        try:
            outputs_of(model, inputs[:1], (layer,))
        except CodrunError:
            continue
        found.append(layer)
    return tuple(found)


def _check_form(subject: Subject, model: Classifier) -> None:
    subject.must(isinstance(model, nn.Module), f"is a {type(model).__name__}, no `nn.Module`", MODULE)
    for name in ("labels", "shape", "untrained_head"):
        subject.must(hasattr(model, name), f"has no `{name}`", MODULE)
    subject.must(isinstance(model.shape, ModelShape), f"has the shape {model.shape!r}, no `ModelShape`", MODULE)
    labels = tuple(subject.context.labels)
    subject.must(tuple(model.labels) == labels, f"has the labels {model.labels}, and the data {labels}", LABELS)
    subject.must(
        model.shape.classes == len(labels), f"has {model.shape.classes} classes, and the data {len(labels)}", LABELS
    )
    for name, parameter in model.named_parameters():
        subject.must(
            not parameter.requires_grad or parameter.dtype == torch.float32,
            f"trains `{name}` in {parameter.dtype}",
            FLOAT32,
        )
    estimate = subject.options().shape(None)
    if estimate is not None:
        said = estimate.shape
        fits = (said.layers, said.width) == (model.shape.layers, model.shape.width) and said.classes in (0, len(labels))
        subject.must(fits, f"says that it has the shape {said}, and it has {model.shape}", SHAPE)


def _check_encoding(subject: Subject, model: Classifier, inputs: Sequence[Input], first: Sequence[Encoded]) -> None:
    with subject.watched("in `encode` and `collate`"):
        encoded, nothing, backwards = model.encode(inputs), model.encode([]), model.encode(list(reversed(inputs)))
        single, rounded = model.collate(encoded[:1]), model.collate(encoded[:3], 16)
    subject.must(len(encoded) == len(inputs) and not nothing, f"encodes {len(inputs)} inputs as {len(encoded)}", ENCODE)
    subject.must(
        all(isinstance(one, Encoded) and one.ids and all(isinstance(each, int) for each in one.ids) for one in encoded),
        "encodes an input with no ids, or with ids that are not ints",
        ENCODE,
    )
    same = [one.ids for one in encoded] == [one.ids for one in reversed(backwards)]
    subject.must(same and first[0].ids == encoded[0].ids, "encodes an input as the inputs beside it decide", ENCODE)
    longest = max(len(one.ids) for one in encoded)
    estimate = subject.options().shape(None)
    most = 4096 if estimate is None else estimate.longest
    subject.must(
        longest <= most, f"encodes a text of 10,000 characters in {longest} positions, more than {most}", ENCODE
    )
    for rows, batch in ((1, single), (3, rounded)):
        form = all(
            isinstance(value, Tensor) and len(value) == rows and value.device.type == "cpu" for value in batch.values()
        )
        subject.must(form, f"collates {rows} inputs into something else than tensors of {rows} rows", COLLATE)


def _check_outputs(subject: Subject, model: Classifier, inputs: Sequence[Input]) -> None:
    classes = model.shape.classes
    with subject.watched("in `forward`, asked for one layer"):
        layers = layers_of(model, inputs)
    subject.must(bool(layers), "gives the hidden states of no layer", HIDDEN)
    with subject.watched("in `encode`, `collate` and `forward`"):
        encoded = model.encode(inputs)
        batch = model.collate(encoded, 16)
        kept = {name: value.clone() for name, value in batch.items()}
        model.eval()
        with torch.no_grad():
            outputs, again, plain = model(batch, hidden=layers), model(batch, hidden=layers), model(batch)
    rows = len(inputs)
    logits = outputs.logits
    subject.must(tuple(logits.shape) == (rows, classes), f"gives logits of the shape {list(logits.shape)}", LOGITS)
    subject.must(
        logits.dtype == torch.float32 and bool(torch.isfinite(logits).all()),
        "gives logits that are not finite float32",
        LOGITS,
    )
    subject.must(
        set(outputs.hidden) == set(layers), f"gives the layers {list(outputs.hidden)} of {list(layers)}", HIDDEN
    )
    subject.must(not plain.hidden, f"gives the layers {list(plain.hidden)}, and none was asked for", HIDDEN)
    lengths = [len(one.ids) for one in encoded]
    longest = max(lengths) if outputs.mask is None else outputs.mask.shape[1]
    for layer, states in outputs.hidden.items():
        form = tuple(states.shape) == (rows, longest, model.shape.width) and states.dtype == torch.float32
        subject.must(form, f"gives layer {layer} in the shape {list(states.shape)}, {states.dtype}", HIDDEN)
    if outputs.mask is not None:
        subject.must(outputs.mask.dtype == torch.bool, f"gives a mask of {outputs.mask.dtype}", MASK)
        real = outputs.mask.sum(1).tolist()
        fits = all(one == other or (one == 0 and other == 1) for one, other in zip(real, lengths, strict=True))
        subject.must(fits, f"gives a mask with {real} real tokens for {lengths} ids", MASK)
        subject.must(
            longest == max(lengths) or longest % 16 == 0,
            f"pads to {longest} tokens, asked for a multiple of 16",
            COLLATE,
        )
    if outputs.pooled_at is not None:
        inside = tuple(outputs.pooled_at.shape) == (rows,) and all(
            0 <= at < longest for at in outputs.pooled_at.tolist()
        )
        subject.must(inside, f"reads the positions {outputs.pooled_at.tolist()} of {longest} tokens", POOLED)
    same = torch.equal(logits, again.logits) and all(torch.equal(batch[name], value) for name, value in kept.items())
    subject.must(same, "answers the same batch in two ways in eval mode, or changes it", QUIET)
    _check_threads(subject, model, batch, plain.logits)


def _check_threads(subject: Subject, model: Classifier, batch: dict[str, Tensor], wanted: Tensor) -> None:
    def asked(turn: int) -> Tensor:
        torch.set_num_threads(1)
        with torch.no_grad():
            return model(batch).logits

    with subject.watched("when several threads called `forward`"), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(asked, range(8)))
    subject.must(all(_close(one, wanted) for one in found), "answers otherwise when several threads ask", THREADS)


def _check_company(subject: Subject, model: Classifier, inputs: Sequence[Input]) -> None:
    layers = layers_of(model, inputs)
    together = outputs_of(model, inputs, layers, 8)
    for row, value in enumerate(inputs):
        alone = outputs_of(model, [value], layers)
        subject.must(
            _close(alone.logits[0], together.logits[row]),
            f"gives {_shown(alone.logits[0])} as an input's logits alone, {_shown(together.logits[row])} among others",
            COMPANY,
        )
        for layer in layers:
            states = [_real(each, layer, place) for each, place in ((alone, 0), (together, row))]
            subject.must(_close(*states), f"gives an input other states of layer {layer} among others", COMPANY)


def _real(outputs: Outputs, layer: int, row: int) -> Tensor:
    states = outputs.hidden[layer][row]
    return states if outputs.mask is None else states[outputs.mask[row]]


def _check_attribution(subject: Subject, model: Classifier, inputs: Sequence[Input], texts: bool) -> None:
    before, mode = _weights(model), model.train().training
    model.eval()
    classes = model.shape.classes
    with subject.watched("in `attribution`"):
        found = model.attribution(inputs, [1] * len(inputs))
        others = model.attribution(inputs, [0] * len(inputs))
    subject.must(len(found) == len(inputs), f"attributes {len(found)} of {len(inputs)} inputs", ATTRIBUTION)
    for value, parts, opposite in zip(inputs, found, others, strict=True):
        for part in parts:
            inside = 0 <= part.start < part.end <= len(cast(Any, value)) and math.isfinite(part.score)
            word = inside and (not texts or bool(str(value)[part.start : part.end].strip()))
            subject.must(word, f"attributes {part} to {value!r:.60}, which is none of its parts", ATTRIBUTION)
        if classes == 2:
            turned = all(
                math.isclose(one.score, -other.score, rel_tol=1e-2, abs_tol=1e-5)
                for one, other in zip(parts, opposite, strict=True)
            )
            subject.must(
                turned, "attributes the same scores to both of two classes, whose margins are opposite", MARGIN
            )
    subject.must(any(found), "attributes nothing to any of its inputs", ATTRIBUTION)
    after = _weights(model)
    same = all(torch.equal(before[name], value) for name, value in after.items()) and mode
    untouched = all(parameter.grad is None for parameter in model.parameters())
    subject.must(same and untouched, "changed weights or left gradients behind in `attribution`", LEFT_ALONE)


def _check_distance(subject: Subject, model: Classifier, texts: bool) -> None:
    cases: list[tuple[Input, Input, tuple[float, float]]] = [
        ("a fine film", "a fine film", (0.0, 0.0)),
        ("a fine film", "a dull old film", (2.0, 2 / 3)),
        ("dull", "so dull", (1.0, 1.0)),
    ]
    if not texts:
        cases = [((1.0, 0.0), (1.0, 0.0), (0.0, 0.0)), ((3.0, 4.0), (3.0, 0.0), (4.0, 0.8))]
    for original, changed, wanted in cases:
        with subject.watched("in `distance`"):
            found = model.distance(original, changed)
        fits = len(found) == 2 and all(
            math.isclose(one, other, abs_tol=1e-6) for one, other in zip(found, wanted, strict=True)
        )
        subject.must(fits, f"says {found} of {original!r} and {changed!r}, not {wanted}", DISTANCE)


def _check_fingerprint(subject: Subject, model: Classifier) -> None:
    with subject.watched("in `fingerprint`"):
        first, second = model.fingerprint, model.fingerprint
    subject.must(
        isinstance(first, str) and first == second, f"has the fingerprint {first!r}, then {second!r}", FINGERPRINT
    )
    name, parameter = list(model.named_parameters())[-1]
    kept = parameter.detach().clone()
    moved = ""
    for value in (kept + 1.0, kept):
        model.train()  # by which a classifier knows that its weights are about to change
        with torch.no_grad():
            parameter.copy_(value)
        model.eval()
        moved = moved or model.fingerprint
    subject.must(moved != first, f"has the same fingerprint after `{name}` has changed", FINGERPRINT)
    subject.must(model.fingerprint == first, "has another fingerprint with the same weights", FINGERPRINT)


def _check_seed(subject: Subject, model: Classifier) -> None:
    again = subject.build()
    subject.must(
        again.fingerprint == model.fingerprint, "has other weights when it is built again with the same seed", SEEDED
    )
    if model.untrained_head:
        other = subject.build(seed=subject.context.seed + 1)
        subject.must(other.fingerprint != model.fingerprint, "has the same new head with another seed", SEEDED)


def _check_saving(subject: Subject, model: Classifier, inputs: Sequence[Input]) -> None:
    folder = subject.folder / "saved"
    model.train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    model.eval()
    with subject.watched("in `save`", write=[folder]):
        model.save(folder)
    pickles = [path.name for path in folder.rglob("*") if path.suffix in PICKLES]
    subject.must(not pickles, f"saved {pickles[:1]}, which may hold code", SAFE)
    subject.must(any(folder.rglob("*.safetensors")), "saved no safetensors", SAFE)
    wanted = outputs_of(model, inputs).logits
    opened = {"load": subject.build(seed=subject.context.seed + 2)}
    with subject.watched("in `load`"):
        opened["load"].load(folder)
    if subject.component.reopen and subject.component.kind == "student":
        opened["reopen"] = subject.reopen(folder)
    for how, one in opened.items():
        found = outputs_of(one, inputs).logits
        subject.must(_close(found, wanted), f"answers otherwise after `{how}` than before `save`", SAVED)
        subject.must(one.fingerprint == model.fingerprint, f"has another fingerprint after `{how}`", SAVED)
        subject.must(tuple(one.labels) == tuple(model.labels), f"has other labels after `{how}`", SAVED)


def check_from_teacher(subject: Subject, options: Options, asked: Sequence[Any]) -> None:
    """``asked`` are the calls of the teacher while the student was built."""
    says = options.from_teacher()
    subject.must(
        bool(asked) == says,
        f"answers `from_teacher` with {says}, and it {'loads' if asked else 'never loads'} it",
        FROM_TEACHER,
    )


def _weights(model: Classifier) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def _shown(logits: Tensor) -> str:
    return ", ".join(f"{number:.4g}" for number in logits.tolist())

"""How much each word of a text speaks for a class: gradient x input at the embedding, summed over a word's pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cod_runner.api import Attribution
from codrun_transformers.edits import WORD

if TYPE_CHECKING:
    from codrun_transformers.classifier import TextClassifier

ROWS = 16
LENGTH_MULTIPLE = 16


def word_attributions(
    classifier: TextClassifier, texts: Sequence[str], targets: Sequence[int]
) -> list[list[Attribution]]:
    """For each text, one :class:`Attribution` a word, in order; words behind the maximal length score 0.

    The score is the gradient of ``logit[target] - max(other logits)`` by the word's input embeddings, times these
    embeddings, summed. Batches have one fixed shape (16 rows of lengths that round up to the same multiple of 16),
    on one thread, so a score does not depend on what else is asked.
    """
    encoded = classifier.encode(texts)
    offsets = classifier.offsets(texts)
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, each in enumerate(encoded):
        buckets[-(-len(each.ids) // LENGTH_MULTIPLE)].append(position)
    found: list[list[Attribution]] = [[] for _ in texts]
    with _still(classifier):
        for positions in buckets.values():
            for start in range(0, len(positions), ROWS):
                real = positions[start : start + ROWS]
                rows = real + [real[-1]] * (ROWS - len(real))
                batch = classifier.collate([encoded[row] for row in rows], LENGTH_MULTIPLE)
                scores = _token_scores(classifier, batch, torch.tensor([targets[row] for row in rows]))
                for row, position in enumerate(real):
                    mask = batch["attention_mask"][row].bool()
                    pieces = scores[row][mask].tolist()
                    found[position] = _by_word(texts[position], offsets[position], pieces)
    return found


def _token_scores(classifier: TextClassifier, batch: dict[str, Tensor], targets: Tensor) -> Tensor:
    """``[batch, tokens]``, float32, on the CPU."""
    embedding = classifier.model.get_input_embeddings()
    device = embedding.weight.device
    seen: list[Tensor] = []

    def leaf(module: torch.nn.Module, arguments: object, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[0]

    hook = embedding.register_forward_hook(leaf)
    try:
        with torch.enable_grad():
            logits = classifier({name: value.to(device) for name, value in batch.items()}).logits
            chosen = torch.nn.functional.one_hot(targets.to(logits.device), logits.shape[1]).bool()
            others = logits.masked_fill(chosen, float("-inf")).amax(dim=1)
            (gradient,) = torch.autograd.grad((logits[chosen] - others).sum(), seen[0])
    finally:
        hook.remove()
    return (gradient.float() * seen[0].detach().float()).sum(dim=-1).cpu()


def _by_word(text: str, offsets: Sequence[tuple[int, int]], pieces: Sequence[float]) -> list[Attribution]:
    """Each piece counts for the first word that it overlaps; pieces and words both run from left to right."""
    words = [match.span() for match in WORD.finditer(text)]
    scores = [0.0] * len(words)
    at = 0
    for (start, end), score in zip(offsets, pieces, strict=True):
        if start == end:
            continue  # a special token
        while at < len(words) and words[at][1] <= start:
            at += 1
        if at < len(words) and words[at][0] < end:
            scores[at] += score
    return [Attribution(start, end, score) for (start, end), score in zip(words, scores, strict=True)]


@contextmanager
def _still(classifier: TextClassifier) -> Iterator[None]:
    """No dropout, one thread; both as they were afterwards."""
    training, threads = classifier.training, torch.get_num_threads()
    classifier.eval()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        classifier.train(training)
        torch.set_num_threads(threads)

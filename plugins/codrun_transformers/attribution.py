"""How much each word of a text speaks for a class: gradient x input at the embedding, summed over a word's pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from cod_runner.api import Attribution, Classifier, Input, fixed_batches
from codrun_transformers.edits import WORD


class TextReader(Classifier, Protocol):
    """A classifier of texts around a model of ``transformers``."""

    model: Any
    training: bool

    def offsets(self, texts: Sequence[Input]) -> list[list[tuple[int, int]]]:
        """For each text and each of its tokens, the characters it stands for; an empty span for special tokens."""
        ...


def word_attributions(classifier: TextReader, texts: Sequence[str], targets: Sequence[int]) -> list[list[Attribution]]:
    """For each text, one :class:`Attribution` per word, in order; words behind the maximal length score 0.

    The score is the gradient of ``logit[target] - max(other logits)`` by the word's input embeddings, times these
    embeddings, summed. It is batch-invariant: computed in :func:`fixed_batches`, on one thread.
    """
    encoded = classifier.encode(texts)
    offsets = classifier.offsets(texts)
    found: list[list[Attribution]] = [[] for _ in texts]
    with _still(classifier):
        for positions, rows, length in fixed_batches([len(each.ids) for each in encoded]):
            batch = classifier.collate([encoded[row] for row in rows], length)
            scores = _token_scores(classifier, batch, torch.tensor([targets[row] for row in rows]))
            for row, position in enumerate(positions):
                mask = batch["attention_mask"][row].bool()
                pieces = scores[row][mask].tolist()
                found[position] = _by_word(texts[position], offsets[position], pieces)
    return found


def _token_scores(classifier: TextReader, batch: dict[str, Tensor], targets: Tensor) -> Tensor:
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
def _still(classifier: TextReader) -> Iterator[None]:
    """No dropout, one thread; both as they were afterwards."""
    training, threads = classifier.training, torch.get_num_threads()
    classifier.eval()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        classifier.train(training)
        torch.set_num_threads(threads)

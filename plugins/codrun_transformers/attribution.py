"""How much each word of a text speaks for a class: gradient x input at the embedding, summed over a word's pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from cod_runner.api import WORD, Attribution, Classifier, Input, fixed_batches


class TextReader(Classifier, Protocol):
    """A classifier of texts around a model of ``transformers``."""

    model: Any
    tokenizer: Any
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
    with still(classifier):
        for positions, rows, length in fixed_batches([len(each.ids) for each in encoded]):
            batch = classifier.collate([encoded[row] for row in rows], length)
            gradient, embeddings = embedding_gradients(
                classifier, batch, partial(_margins, targets=torch.tensor([targets[row] for row in rows]))
            )
            scores = (gradient * embeddings).sum(dim=-1).cpu()
            for row, position in enumerate(positions):
                mask = batch["attention_mask"][row].bool()
                pieces = scores[row][mask].tolist()
                found[position] = _by_word(texts[position], offsets[position], pieces)
    return found


def _margins(logits: Tensor, targets: Tensor) -> Tensor:
    """``[batch]``: the logit of the target over the best other one."""
    chosen = torch.nn.functional.one_hot(targets.to(logits.device), logits.shape[1]).bool()
    return logits[chosen] - logits.masked_fill(chosen, float("-inf")).amax(dim=1)


def embedding_gradients(
    classifier: TextReader, batch: dict[str, Tensor], margins: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The gradient of ``margins(logits)``, one value per row, by the tokens' embeddings, and these embeddings: both
    ``[batch, tokens, width]``, float32, on the model's device."""
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
            (gradient,) = torch.autograd.grad(margins(logits).sum(), seen[0])
    finally:
        hook.remove()
    return gradient.float(), seen[0].detach().float()


def _by_word(text: str, offsets: Sequence[tuple[int, int]], pieces: Sequence[float]) -> list[Attribution]:
    found = []
    for (start, end), places in words_and_pieces(text, offsets):
        score = 0.0  # added one by one: newer Pythons' `sum` rounds in another way
        for place in places:
            score += pieces[place]
        found.append(Attribution(start, end, score))
    return found


def words_and_pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], list[int]]]:
    """(span, places of its pieces among the tokens) of each word, in order.

    Each piece belongs to the first word that it overlaps; pieces and words both run from left to right."""
    words: list[tuple[tuple[int, int], list[int]]] = [(match.span(), []) for match in WORD.finditer(text)]
    at = 0
    for place, (start, end) in enumerate(offsets):
        if start == end:
            continue  # a special token
        while at < len(words) and words[at][0][1] <= start:
            at += 1
        if at < len(words) and words[at][0][0] < end:
            words[at][1].append(place)
    return words


@contextmanager
def still(classifier: TextReader) -> Iterator[None]:
    """No dropout, one thread; both as they were afterwards."""
    training, threads = classifier.training, torch.get_num_threads()
    classifier.eval()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        classifier.train(training)
        torch.set_num_threads(threads)

"""A step of a text's embeddings along the model's gradient, projected back to words.

After AugPro-FGSM (Wang et al., 2023, arXiv 2210.11768), which exchanges tokens for those nearest to their embeddings
after a step of FGSM, and Heo et al. (2019, arXiv 1805.05532), who step towards the boundary with another class. FGSM
steps by the gradient's sign, at every token alike; here the gradient is normed over the whole text, so that the words
that decide move first, and whole words are exchanged rather than tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from cod_runner.api import fixed_batches
from codrun_transformers.attribution import TextReader, embedding_gradients, still, words_and_pieces

LETTERS = re.compile(r"[^\W\d_]+")
BYTE_LEVEL, UNIGRAM = "Ġ", "▁"
"""How the two kinds of vocabularies mark the beginning of a word."""


class _Vocabulary(NamedTuple):
    """The tokens that are whole words."""

    words: list[str]
    vectors: Tensor
    """``[words, width]``, float32."""
    unit: float
    """The mean norm of ``vectors``."""


def projected_texts(
    classifier: TextReader, texts: Sequence[str], labels: Sequence[int], targets: Sequence[int], size: float
) -> list[str]:
    """As :meth:`cod_runner.api.EmbeddingStep.projected_step`.

    Only words of letters change, into words that the vocabulary holds whole, with the capitals of the old ones; never
    into the name of a class. Words behind the maximal length stay. Batch-invariant: computed in
    :func:`fixed_batches`, on one thread.
    """
    encoded = classifier.encode(texts)
    offsets = classifier.offsets(texts)
    stepped = list(texts)
    with still(classifier), torch.no_grad():
        vocabulary = _vocabulary(classifier)
        for positions, rows, length in fixed_batches([len(each.ids) for each in encoded]):
            batch = classifier.collate([encoded[row] for row in rows], length)
            margins = partial(
                _margins,
                labels=torch.tensor([labels[row] for row in rows]),
                targets=torch.tensor([targets[row] for row in rows]),
            )
            gradient, embeddings = embedding_gradients(classifier, batch, margins)
            for row, position in enumerate(positions):
                real = batch["attention_mask"][row].bool().to(gradient.device)
                stepped[position] = _stepped(
                    texts[position], offsets[position], gradient[row][real], embeddings[row][real], size, vocabulary
                )
    return stepped


def _margins(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """``[batch]``: the target's logit over the label's."""
    rows = torch.arange(len(logits), device=logits.device)
    return logits[rows, targets.to(logits.device)] - logits[rows, labels.to(logits.device)]


def _stepped(
    text: str,
    offsets: Sequence[tuple[int, int]],
    gradient: Tensor,
    embeddings: Tensor,
    size: float,
    vocabulary: _Vocabulary,
) -> str:
    """One text after its step; ``gradient`` and ``embeddings`` are ``[tokens, width]``."""
    words = [
        (span, places)
        for span, places in words_and_pieces(text, offsets)
        if places and LETTERS.fullmatch(text[slice(*span)])
    ]
    if not words:
        return text
    own = torch.stack([embeddings[places].mean(dim=0) for _, places in words])
    direction = torch.stack([gradient[places].mean(dim=0) for _, places in words])
    norm = float(direction.norm())
    if norm == 0:
        return text
    moved = own + direction * (size * vocabulary.unit / norm)
    # squared distances, less the squared norm of the point, which is the same for every word
    distances = vocabulary.vectors.square().sum(dim=1) - 2 * moved @ vocabulary.vectors.T
    stays = own.square().sum(dim=1) - 2 * (moved * own).sum(dim=1)
    nearest, which = distances.min(dim=1)
    pieces, last = [], 0
    for ((start, end), _), near, stay, word in zip(
        words, nearest.tolist(), stays.tolist(), which.tolist(), strict=True
    ):
        old, new = text[start:end], vocabulary.words[word]
        if near < stay and new.casefold() != old.casefold():
            pieces += [text[last:start], _cased(new, old)]
            last = end
    return "".join([*pieces, text[last:]])


def _vocabulary(classifier: TextReader) -> _Vocabulary:
    """Whole words of the tokenizer's vocabulary, except names of classes, in the order of their ids."""
    tokens = classifier.tokenizer.get_vocab()
    special = set(classifier.tokenizer.all_special_ids)
    without = {label.casefold() for label in classifier.labels}
    byte_level = any(token.startswith(BYTE_LEVEL) for token in tokens)
    mark = BYTE_LEVEL if byte_level else UNIGRAM if any(token.startswith(UNIGRAM) for token in tokens) else ""
    table = classifier.model.get_input_embeddings().weight
    found: dict[int, str] = {}
    for token, number in tokens.items():
        word = token.removeprefix(mark)
        whole = token.startswith(mark) and LETTERS.fullmatch(word) and (word.isascii() or not byte_level)
        if whole and number not in special and number < len(table) and word.casefold() not in without:
            found[number] = word
    numbers = sorted(found)
    vectors = table[torch.tensor(numbers, dtype=torch.long, device=table.device)].detach().float()
    return _Vocabulary([found[number] for number in numbers], vectors, float(vectors.norm(dim=1).mean()))


def _cased(word: str, own: str) -> str:
    """``word`` with the capitals of the word that it replaces."""
    if own.isupper() and len(own) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if own[:1].isupper() else word

"""How much memory one cell takes at most, estimated from the shapes of its models before anything is loaded.

An estimate for encoders and decoders of the usual make, in float32. Before the data are there every text counts as
long as the student reads; afterwards all count as long as the longest. ``benchmarks/memory.py`` measures how far off it
is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cod_runner.api import Input, Mixture, ShapeEstimate
from cod_runner.disk import told_size
from cod_runner.engine.steps import cut_is_exact
from cod_runner.errors import standing_at
from cod_runner.fixed_batches import EVALUATION_BATCH, LENGTH_MULTIPLE
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.own_training import trains_itself
from cod_runner.registry import Registry
from cod_runner.sizes import BYTES_A_NUMBER, read_layers, shapes

STATES_A_WEIGHT = 3
"""Beside a weight that trains: its gradient, and the two moments of AdamW."""
HEAD_WIDTH = 64
"""Of an attention head, in nearly every model."""
NUMBERS_A_TOKEN = 44
"""That a block holds of a token in forward and backward pass, in widths, as measured of DeBERTa: queries, keys, values,
what the norms and the four times wider inner layer have before and after them, dropout's masks, gradients."""
NUMBERS_A_SCORE = 6
"""That it holds of each pair of positions and head, likewise: scores, softmax, dropout, and relative positions."""
SPREAD = 1.25
"""What the C library's allocator holds for each byte of them: pieces that were freed lie between others."""
NUMBERS_A_STATE = 5
"""That a loss between hidden states keeps of each teacher's number: itself, the student's projected, their difference
and gradients."""
BESIDES = 30_000_000
"""What is held in small pieces: tokenizers, texts, and the code of a model's architecture."""
WORDS_OF_TOKENS = 60.0
"""Herdan's law, generously: n tokens of text hold at most about 60 times the root of n different ones, which are the
rows of the embeddings that train."""


@dataclass(frozen=True)
class CellMemory:
    """What one cell holds at once, in bytes. What torch and the other libraries take comes on top."""

    weights: int
    """Of the student."""
    optimiser: int
    """Gradients and moments of what trains, of the losses' own parameters too, and the weights of the best pass."""
    activations: int
    """Of one batch, with the teacher's hidden states for it."""
    evaluation: int
    """Of one batch of evaluation, after training: one block's at a time, and without gradients about half of them."""
    building: int
    """The teacher, while a student is cut from it."""
    bytes: int
    """Of all of it, at its highest."""

    def __str__(self) -> str:
        return (
            f"about {told_size(self.bytes)} for each cell that trains at once, at most (student "
            f"{told_size(self.weights)}, gradients and optimiser {told_size(self.optimiser)}, a batch "
            f"{told_size(self.activations)}; or, later, evaluation {told_size(self.evaluation)})"
        )


def cell_memory(recipe: Recipe, registry: Registry, longest: int | None = None) -> CellMemory | None:
    """Of the recipe's largest cell; None where the student's size is unknown, or it trains itself, or a loss reads
    hidden states of a teacher whose size is unknown.

    ``longest`` is how many positions the longest input has (:func:`longest_input`); None: as many as the student reads.
    """
    teacher, student = shapes(recipe, registry)
    if student is None or student.bytes is None or trains_itself(recipe, registry):
        return None
    tokens = student.longest
    if longest is not None:
        tokens = min(tokens, math.ceil(longest / LENGTH_MULTIPLE) * LENGTH_MULTIPLE)
    read = [read_layers(recipe, method, registry) for method in recipe.methods]
    if teacher is None and any(read):
        return None
    pairs = max((len(each) for each in read), default=0)
    width = teacher.shape.width if teacher is not None else 0
    cut = registry.options("student", recipe.student.use, recipe.student.options).from_teacher()
    rows, settings = min(recipe.train.batch_size, max(recipe.k)), recipe.train
    blocks = 1 if settings.gradient_checkpointing else student.shape.layers
    states = BYTES_A_NUMBER * rows * tokens * pairs * width * NUMBERS_A_STATE
    activations = _activations(student, rows, tokens, blocks) + math.ceil(SPREAD * states)
    trained = _trained(student, tokens, recipe) + BYTES_A_NUMBER * pairs * student.shape.width * width
    best = 0 if recipe.evaluate.select == "last" else student.bytes
    optimiser = STATES_A_WEIGHT * trained + best
    evaluation = _activations(student, EVALUATION_BATCH, tokens, 1) // 2 + best
    building = (teacher.bytes or 0) if cut and teacher is not None else 0
    highest = student.bytes + max(optimiser + activations, evaluation, building)
    return CellMemory(student.bytes, optimiser, activations, evaluation, building, bytes=BESIDES + highest)


def longest_input(recipe: Recipe, registry: Registry, inputs: Iterable[Input], read_by_teacher: int) -> int | None:
    """How many positions the longest of the ``inputs`` has for the student, before any is truncated; None where that
    is not known.

    ``read_by_teacher`` is how many the teacher read of the longest: a student that is cut from it reads the same
    tokens, and perhaps more of a text that the teacher truncated.
    """
    teacher, _ = shapes(recipe, registry)
    with standing_at("student"):
        student = registry.options("student", recipe.student.use, recipe.student.options)
        if student.from_teacher():
            return read_by_teacher if teacher is not None and read_by_teacher < teacher.longest else None
        texts: list[str] = []
        for value in inputs:
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, Mixture):
                texts += (value.first, value.second)
            else:
                return None
        return student.longest_input(texts)


def _activations(student: ShapeEstimate, rows: int, tokens: int, blocks: int) -> int:
    """Bytes that ``blocks`` of the student hold of ``rows`` texts of so many ``tokens``."""
    width = student.shape.width
    heads = max(1, width // HEAD_WIDTH)
    numbers = rows * tokens * blocks * (NUMBERS_A_TOKEN * width + NUMBERS_A_SCORE * heads * tokens)
    return math.ceil(SPREAD * BYTES_A_NUMBER * numbers)


def _trained(student: ShapeEstimate, tokens: int, recipe: Recipe) -> int:
    """Bytes of the weights that an optimiser's step touches: all, or the blocks, the embeddings of positions, and those
    of the words in texts of so many ``tokens``."""
    assert student.bytes is not None
    if student.block_bytes is None or not cut_is_exact(recipe.train):
        return student.bytes
    blocks = student.shape.layers * student.block_bytes
    words = math.ceil(WORDS_OF_TOKENS * math.sqrt(2 * max(recipe.k) * tokens))
    return min(student.bytes, blocks + BYTES_A_NUMBER * student.shape.width * (words + student.longest))

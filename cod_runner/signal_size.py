"""How much a run's signals will take in the store, from configurations alone: nothing is loaded or fetched."""

from __future__ import annotations

from dataclasses import dataclass

from cod_runner.api import ModelShape, ShapeEstimate
from cod_runner.errors import standing_at
from cod_runner.recipe.grammar import Recipe, WeightedLoss
from cod_runner.registry import Registry

BYTES_A_NUMBER = 4
"""Hidden states, logits and token ids are kept as float32 and int32."""
BYTES_A_TEXT, BYTES_A_LAYER = 1_024, 128
"""What a text's row and file, and each layer in that file, take besides; enough for up to 200 classes."""
STAND_IN = ModelShape(layers=200, width=1, classes=0)
"""For a model whose size is unknown: deep enough for any layer that a recipe names, to see whether a loss names one."""


@dataclass(frozen=True)
class SignalSize:
    """The teacher's word on the training texts, at most: every text as long as the teacher reads, none shared between
    arms and seeds, nothing of it in the store already."""

    texts: int
    """Originals of every arm and seed, and what is made of them."""
    layers: int | None
    """Layers whose hidden states some loss wants; None where some are wanted and the teacher's depth is unknown."""
    tokens: int | None
    """Of the longest text that the teacher reads."""
    width: int | None
    bytes: int | None
    """None where the teacher's sizes are unknown."""

    def __str__(self) -> str:
        of = f"for at most {self.texts:,} training texts"
        if self.bytes is None:
            return f"{'logits alone' if self.layers == 0 else 'size unknown until the teacher is loaded'}, {of}"
        size = f"{self.bytes / 1e6:,.1f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:,.1f} GB"
        what = "logits alone"
        if self.layers:
            layers = f"{self.layers} layer{'' if self.layers == 1 else 's'}"
            what = f"{layers} x {self.tokens} tokens x {self.width} x {BYTES_A_NUMBER} bytes a text"
        return f"at most {size} in the store, {of} ({what})"


def signal_size(recipe: Recipe, registry: Registry) -> SignalSize:
    """Reckon with the largest k of every arm and seed.

    Raises :class:`SettingError` where a loss names layers that a model is known not to have.
    """
    texts = len(recipe.seeds) * max(recipe.k) * len(recipe.arms)
    teacher = registry.shape("teacher", recipe.teacher.use, recipe.teacher.options)
    student = registry.shape("student", recipe.student.use, recipe.student.options, teacher)
    wanted: set[int] = set()
    for method, terms in recipe.methods.items():
        for index, term in enumerate(terms):
            with standing_at("methods", method, index):
                wanted |= _layers(term, registry, teacher, student)
    if teacher is None:
        return SignalSize(texts, None if wanted else 0, None, None, None)
    tokens, width = teacher.longest, teacher.shape.width
    per_text = BYTES_A_TEXT + BYTES_A_NUMBER * tokens
    per_text += len(wanted) * (BYTES_A_LAYER + BYTES_A_NUMBER * tokens * width)
    return SignalSize(texts, len(wanted), tokens, width, texts * per_text)


def _layers(
    term: WeightedLoss, registry: Registry, teacher: ShapeEstimate | None, student: ShapeEstimate | None
) -> set[int]:
    """The teacher's layers that a loss wants; all, where it wants some and which is unknown."""
    shapes = [model.shape if model else STAND_IN for model in (teacher, student)]
    needs = registry.needs(term.use, term.options, *shapes)
    if needs is not None and not needs.teacher:
        return set()
    if needs is not None and teacher and student:
        return set(needs.teacher)
    return set(range(shapes[0].layers + 1))

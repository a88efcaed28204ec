"""The labelled texts in the prompt of a teacher that is a language model."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import DataError, Example
from cod_runner.data.content import by_class, content_rank


def drawn_shots(pool: Sequence[Example], labels: Sequence[str], count: int, seed: int) -> tuple[Example, ...]:
    """``count`` rows of the pool, of each class as many, to one; which ones, and their order, depends on the seed and
    the texts alone. Raises :class:`DataError` where a class has too few."""
    ranked = by_class(sorted(pool, key=lambda row: content_rank("shots", seed, row)), len(labels))
    # Which classes have one more, where the number cannot be divided, is drawn too.
    drawn = {label: content_rank("shots of a class", seed, rows[0]) for label, rows in enumerate(ranked) if rows}
    order = sorted(range(len(labels)), key=lambda label: (drawn.get(label, b""), label))
    shares = {label: count // len(labels) + (place < count % len(labels)) for place, label in enumerate(order)}
    for label, share in shares.items():
        if len(ranked[label]) <= share:
            raise DataError(
                f"`shots: {count}` needs {share} labelled text{'' if share == 1 else 's'} of `{labels[label]}` for the "
                f"prompt, and one more to train on, and the pool has {len(ranked[label]):,}; take "
                "fewer shots, or add rows",
                "shots",
            )
    chosen = [row for label, share in shares.items() for row in ranked[label][:share]]
    return tuple(sorted(chosen, key=lambda row: content_rank("order of shots", seed, row)))

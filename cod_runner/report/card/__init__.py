"""Model cards: a ``README.md`` in the folder of every student of a run, by which a stranger can judge it."""

from cod_runner.report.card.writing import model_card, write_cards

__all__ = ["model_card", "write_cards"]

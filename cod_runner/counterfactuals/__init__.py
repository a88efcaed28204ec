"""Counterfactual explanations: searched, judged by the teacher, kept, measured and shown."""

from cod_runner.counterfactuals.ledger import PairLedger, PairOutcome
from cod_runner.counterfactuals.quality import Quality, measured, quality_table
from cod_runner.counterfactuals.search import Pair, PairSearch

__all__ = ["Pair", "PairLedger", "PairOutcome", "PairSearch", "Quality", "measured", "quality_table"]

"""Counterfactual explanations: searched, judged by the teacher, kept, measured and shown."""

from cod_runner.counterfactuals.outcomes import OutcomeStore, PairOutcome
from cod_runner.counterfactuals.quality import Quality, measured, quality_table
from cod_runner.counterfactuals.search import Pair, PairSearch

__all__ = ["OutcomeStore", "Pair", "PairOutcome", "PairSearch", "Quality", "measured", "quality_table"]

"""Counterfactual explanations: searched, judged by the teacher, stored, measured and shown."""

from cod_runner.counterfactuals.outcomes import OutcomeStore, PairOutcome
from cod_runner.counterfactuals.quality import Quality, measured, quality_table
from cod_runner.counterfactuals.search import PairSearch

__all__ = ["OutcomeStore", "PairOutcome", "PairSearch", "Quality", "measured", "quality_table"]

"""Counterfactual explanations: searched, judged by the teacher, stored, measured and shown."""

from cod_runner.counterfactuals.additions import Addition
from cod_runner.counterfactuals.lines import outcome_line, quality_of_lines
from cod_runner.counterfactuals.outcomes import OutcomeStore, PairOutcome
from cod_runner.counterfactuals.quality import Quality, measured, quality_table
from cod_runner.counterfactuals.search import PairSearch, RecordingView
from cod_runner.counterfactuals.walk import Walked, walk

__all__ = [
    "Addition", "OutcomeStore", "PairOutcome", "PairSearch", "Quality", "RecordingView", "Walked", "measured",
    "outcome_line", "quality_of_lines", "quality_table", "walk",
]  # fmt: skip

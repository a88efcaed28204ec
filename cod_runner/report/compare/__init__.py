"""Two runs side by side, cell by cell: what moved, and whether it matters."""

from cod_runner.report.compare.runs import CompareOptions, Comparison, Pair, compare_all, compare_runs
from cod_runner.report.compare.terminal import show_comparison

__all__ = ["CompareOptions", "Comparison", "Pair", "compare_all", "compare_runs", "show_comparison"]

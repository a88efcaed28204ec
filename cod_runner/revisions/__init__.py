"""Recipes as two git revisions have them, each run with the code of its revision."""

from cod_runner.revisions.flags import Flags
from cod_runner.revisions.sides import RevisionRuns, RunPair, run_revisions

__all__ = ["Flags", "RevisionRuns", "RunPair", "run_revisions"]

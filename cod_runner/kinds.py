"""The kinds of components."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    "dataset", "teacher", "student", "selector", "generator", "chooser", "loss", "metric", "cfe_measure", "executor",
    "tracker", "exporter",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

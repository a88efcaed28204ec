"""The markers of hooks, and the kinds of components."""

from __future__ import annotations

from typing import Literal, get_args

import pluggy

hookimpl = pluggy.HookimplMarker("codrun")


hookspec = pluggy.HookspecMarker("codrun")


Kind = Literal[
    "dataset", "teacher", "student", "selector", "generator", "chooser", "loss", "metric", "cfe_measure", "executor",
    "tracker", "exporter",
]  # fmt: skip


KINDS: tuple[Kind, ...] = get_args(Kind)

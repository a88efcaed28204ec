"""The selector `random`: any order will do, and the seed has drawn one."""

from __future__ import annotations

from cod_runner.api import BuildContext, Selection
from codrun_selectors.plugin import RandomOptions


class Random:
    """Keeps the order in which the inputs are given, which is a random one of the seed's."""

    nested = True

    def __init__(self, options: RandomOptions, context: BuildContext) -> None:
        """No options."""

    def rank(self, selection: Selection) -> list[int]:
        """Positions of the inputs, each once."""
        return list(range(len(selection.inputs)))

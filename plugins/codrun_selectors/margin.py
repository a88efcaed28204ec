"""The selector `margin`: what the teacher is least sure of."""

from __future__ import annotations

import heapq

from cod_runner.api import BuildContext, Selection
from codrun_selectors.order import ranked_among
from codrun_selectors.plugin import MarginOptions


class Margin:
    """The smallest difference of the teacher's two largest probabilities first (margin sampling: Scheffer et al.,
    2001); between equal ones the seed's order decides.

    There the model that is trained is asked, once for each new example; here the teacher is, once about every row.
    """

    nested = True

    def __init__(self, options: MarginOptions, context: BuildContext) -> None:
        self._among = options.among

    def rank(self, selection: Selection) -> list[int]:
        """Positions of the inputs, each once."""
        return ranked_among(selection, self._among, _by_margin)


def _by_margin(selection: Selection) -> list[int]:
    margins = []
    for probabilities in selection.teacher.score(selection.inputs):
        first, second = heapq.nlargest(2, probabilities)
        margins.append(first - second)
    return sorted(range(len(margins)), key=margins.__getitem__)

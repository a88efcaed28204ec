"""The selector `diverse`: far from each other."""

from __future__ import annotations

import torch

from cod_runner.api import BuildContext, Selection, one_thread
from codrun_selectors.order import ranked_among
from codrun_selectors.plugin import EmbeddedOptions
from codrun_selectors.points import Points

GREEDY = 500
"""Rows that are drawn one by one, more than a few-shot set takes; the others follow by their distance from these."""


class Diverse:
    """Farthest-first traversal (Gonzalez, 1985), with which k-centre greedy chooses a core-set (Sener and Savarese,
    ICLR 2018, arXiv 1708.00489): each row is the one farthest from its nearest predecessor.

    The first one is nearest to the mean of all, where they begin with rows that are labelled already; and the
    embeddings are of a pretrained encoder, where theirs are of the model that is trained.
    """

    nested = True

    def __init__(self, options: EmbeddedOptions, context: BuildContext) -> None:
        self._among = options.among
        self._points = Points(options, context)

    def rank(self, selection: Selection) -> list[int]:
        """Positions of the inputs, each once."""
        return ranked_among(selection, self._among, self._farthest_first)

    def _farthest_first(self, selection: Selection) -> list[int]:
        points = self._points.of(selection)
        with one_thread():
            lengths = points.square().sum(1)
            chosen = [int((points - points.mean(0)).square().sum(1).argmin())]
            nearest = torch.full((len(points),), float("inf"))
            while True:
                last = points[chosen[-1]]
                nearest = torch.minimum(nearest, (lengths + last @ last - 2 * points @ last).clamp(min=0))
                nearest[chosen[-1]] = -1.0  # behind every duplicate of a chosen one
                if len(chosen) == min(GREEDY, len(points)):
                    break
                chosen.append(int(nearest.argmax()))
            taken = set(chosen)
            others = nearest.argsort(descending=True, stable=True).tolist()
        return [*chosen, *(position for position in others if position not in taken)]

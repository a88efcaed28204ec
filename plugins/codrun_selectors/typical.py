"""The selector `typical`: the most typical row of each cluster."""

from __future__ import annotations

from itertools import zip_longest

import torch
from torch import Tensor

from cod_runner.api import BuildContext, Selection, one_thread
from codrun_selectors.clusters import k_means
from codrun_selectors.order import ranked_among
from codrun_selectors.plugin import EmbeddedOptions
from codrun_selectors.points import Points, squared_distances

NEIGHBOURS = 20
SMALL = 5
"""A cluster of at most so many points has no typical one."""
MOST_CLUSTERS = 500


class Typical:
    """TypiClust (Hacohen et al., ICML 2022, arXiv 2202.02794; github.com/avihu111/TypiClust): k-means into as many
    clusters as there are rows to choose, and from each, the largest first, the row of the highest typicality.

    Typicality is the inverse of the mean distance to the nearest neighbours within the cluster, 20 or half
    of the cluster. Clusters of 5 rows and fewer come after all others. A second row of a cluster is its next by
    typicality, where the published code computes that anew without the first; and the embeddings are of a pretrained
    encoder, where theirs are of one trained on the pool without labels. The clusters depend on how many rows are
    wanted, and so the sets are not nested.
    """

    nested = False

    def __init__(self, options: EmbeddedOptions, context: BuildContext) -> None:
        self._among = options.among
        self._points = Points(options, context)

    def rank(self, selection: Selection) -> list[int]:
        """Positions of the inputs, each once: round the clusters, then round them again."""
        return ranked_among(selection, self._among, self._by_cluster)

    def _by_cluster(self, selection: Selection) -> list[int]:
        points = self._points.of(selection)
        with one_thread():
            wanted = min(max(1, selection.wanted), len(points), MOST_CLUSTERS)
            clusters = sorted(k_means(points, wanted, selection.seed), key=lambda cluster: -len(cluster))
            ranked = [_most_typical_first(points, cluster) for cluster in clusters]
        large = [cluster for cluster in ranked if len(cluster) > SMALL]
        small = [cluster for cluster in ranked if len(cluster) <= SMALL]
        return [*_round_robin(large), *_round_robin(small)]


def _most_typical_first(points: Tensor, cluster: list[int]) -> list[int]:
    members = points[cluster]
    neighbours = min(NEIGHBOURS, max(1, len(cluster) // 2), len(cluster) - 1)
    if neighbours == 0:
        return cluster
    distances = torch.cat(
        [
            part.sqrt().topk(neighbours + 1, largest=False).values[:, 1:].mean(1)  # the nearest of all is the row
            for part in squared_distances(members, members)
        ]
    )
    return [cluster[place] for place in distances.argsort(stable=True).tolist()]


def _round_robin(clusters: list[list[int]]) -> list[int]:
    return [position for one_of_each in zip_longest(*clusters) for position in one_of_each if position is not None]

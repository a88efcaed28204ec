"""The selectors, called as codrun calls them, on points that can be checked by eye and on a tiny encoder."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cod_runner.api import (
    BuildContext,
    DataError,
    Example,
    Input,
    Request,
    Selection,
    Selector,
    SettingError,
    TextEncoder,
)
from cod_runner.registry import Registry
from cod_runner.testing.tiny_models import tiny_bert
from codrun_selectors import clusters
from codrun_selectors.clusters import k_means
from codrun_selectors.diverse import GREEDY

REGISTRY = Registry.discover()
WORDS = ("warm", "funny", "dull", "film", "story", "great", "bad", "long", "cast", "year")
TEXTS = [" ".join(words) for words in itertools.permutations(WORDS, 2)]


class Teacher:
    """Says of an input what the test tells it to."""

    def __init__(self, said: dict[Input, tuple[float, ...]]) -> None:
        self.said, self.asked = said, 0

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        self.asked += len(inputs)
        return [self.said[value] for value in inputs]


NOBODY: Any = None
"""Takes the place of a teacher that is not asked."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert(tmp_path_factory.mktemp("encoder"), TEXTS))


def built(name: str, store: Path | None = None, **options: Any) -> Selector:
    selector: Selector = REGISTRY.build("selector", name, options, BuildContext(store=store, offline=True))
    return selector


def ranked(
    selector: Selector, inputs: Sequence[Input], wanted: int = 4, seed: int = 0, teacher: Any = NOBODY
) -> list[int]:
    return selector.rank(Selection(inputs, wanted, seed, teacher))


def cloud(x: float, y: float, count: int, spread: float = 1.0, seed: int = 0) -> list[Input]:
    """Points around (x, y), itself among them, at place 0."""
    drawn = random.Random(seed)
    around: list[Input] = [(x + drawn.gauss(0, spread), y + drawn.gauss(0, spread)) for _ in range(count - 1)]
    return [(x, y), *around]


def test_random_is_the_order_it_is_given() -> None:
    assert ranked(built("random"), TEXTS[:5]) == [0, 1, 2, 3, 4]
    assert built("random").nested


def test_margin_takes_what_the_teacher_is_least_sure_of_and_equals_in_order() -> None:
    said: dict[Input, tuple[float, ...]] = {
        "a": (0.9, 0.06, 0.04),
        "b": (0.4, 0.21, 0.39),
        "c": (0.3, 0.5, 0.2),
        "d": (0.2, 0.39, 0.41),
        "e": (0.5, 0.3, 0.2),
    }
    selector = built("margin")
    assert selector.nested
    assert ranked(selector, list(said), teacher=Teacher(said)) == [1, 3, 2, 4, 0], "c and e are equal"


def test_only_the_first_rows_of_the_seeds_order_are_asked_about() -> None:
    said: dict[Input, tuple[float, ...]] = {"a": (0.9, 0.1), "b": (0.6, 0.4), "c": (0.5, 0.5), "d": (0.51, 0.49)}
    teacher = Teacher(said)
    assert ranked(built("margin", among=2), list(said), teacher=teacher) == [1, 0, 2, 3]
    assert teacher.asked == 2
    assert ranked(built("margin", among=9), list(said), teacher=teacher) == [2, 3, 1, 0]


def test_k_means_finds_the_clusters_and_no_empty_one() -> None:
    clouds = [cloud(0, 0, 30), cloud(20, 0, 20), cloud(0, 20, 10)]
    points = torch.tensor([point for each in clouds for point in each])
    found = k_means(points, 3, seed=0)
    assert sorted(map(sorted, found)) == [list(range(30)), list(range(30, 50)), list(range(50, 60))]
    same = torch.tensor([[1.0, 2.0]] * 5 + [[3.0, 4.0]] * 2)
    assert sorted(map(sorted, k_means(same, 4, seed=0))) == [[0, 1, 2, 3, 4], [5, 6]]


def test_a_cluster_that_loses_all_its_points_keeps_its_centre() -> None:
    """Else the centre would be the origin, to which two of the points are nearest."""
    points = torch.tensor([[1.0, 0.0], [1.2, 0.0], [10.0, 0.0]])
    tightness, found = clusters._lloyd(points, torch.tensor([[5.0, 0.0], [100.0, 100.0]]))
    assert found.tolist() == [0, 0, 0]
    assert tightness == pytest.approx(52.826667), "to the mean, at 4.0667"


def test_the_tightest_of_several_starts_counts_and_of_equals_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter([(3.0, [0, 0, 1]), (1.0, [0, 1, 1]), (1.0, [0, 1, 0]), (2.0, [1, 0, 0])])

    def scripted(points: torch.Tensor, centres: torch.Tensor) -> tuple[float, torch.Tensor]:
        tightness, found = next(runs)
        return tightness, torch.tensor(found)

    monkeypatch.setattr(clusters, "_lloyd", scripted)
    assert k_means(torch.tensor([[0.0], [1.0], [2.0]]), 2, seed=0) == [[0], [1, 2]]


def test_typical_takes_the_middle_of_each_cluster_the_largest_first() -> None:
    """Places 0, 40 and 70 are the centres of rings, which alone have many near neighbours."""
    rings: list[Input] = []
    for (x, y), count in (((0.0, 0.0), 40), ((30.0, 0.0), 30), ((0.0, 30.0), 20)):
        inner: list[Input] = [(x + 0.1 * place, y) for place in range(-2, 3)]
        angles = torch.linspace(0, 6, count - 6).tolist()
        outer: list[Input] = [
            (x + 5 * float(torch.tensor(a).cos()), y + 5 * float(torch.tensor(a).sin())) for a in angles
        ]
        rings += [(x, y + 0.01), *inner, *outer]
    order = ranked(built("typical"), rings, wanted=3)
    assert sorted(order) == list(range(90))
    assert [place // 10 for place in order[:3]] == [0, 4, 7], "one of each ring, the largest first"
    assert all(place % 40 < 6 or place - 40 < 6 or place - 70 < 6 for place in order[:3]), "from its middle"
    assert {0 if place < 40 else 1 if place < 70 else 2 for place in order[3:6]} == {0, 1, 2}, "then round again"


def test_typicality_looks_at_half_of_a_small_cluster() -> None:
    """Five rows lie close together and three far off, and of all eight a row at the edge of the five is nearest."""
    inputs: list[Input] = [(x, 0.0) for x in (10.0, 10.1, 10.2, 0.0, 0.1, 0.2, 0.3, 0.4)]
    assert ranked(built("typical"), inputs, wanted=1)[0] == 5, "the middle of the five"


def test_there_are_only_so_many_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = cloud(0, 0, 60, spread=3)
    monkeypatch.setattr("codrun_selectors.typical.MOST_CLUSTERS", 2)
    assert ranked(built("typical"), inputs, wanted=8) == ranked(built("typical"), inputs, wanted=2)


def test_small_clusters_come_after_all_others() -> None:
    """Five far points are a cluster of their own, of which none is typical."""
    inputs = cloud(0, 0, 30) + cloud(50, 50, 5, spread=0.01)
    order = ranked(built("typical"), inputs, wanted=2)
    assert set(order[:30]) == set(range(30)) and set(order[30:]) == set(range(30, 35))
    assert set(ranked(built("typical"), cloud(50, 50, 6, spread=0.01) + cloud(0, 0, 30), wanted=2)[:2]) & set(range(6))


def test_typical_depends_on_the_number_wanted_and_says_so() -> None:
    inputs = cloud(0, 0, 60, spread=3)
    selector = built("typical")
    assert not selector.nested
    orders = {wanted: ranked(selector, inputs, wanted=wanted) for wanted in (1, 2, 8)}
    assert all(sorted(order) == list(range(60)) for order in orders.values())
    assert orders[2][:2] != orders[8][:2]
    assert orders[8] == ranked(built("typical"), inputs, wanted=8), "the same again"
    assert sorted(ranked(selector, inputs[:3], wanted=8)) == [0, 1, 2], "more than there are"
    assert ranked(selector, [], wanted=8) == []


def test_diverse_begins_in_the_middle_and_takes_the_farthest_next() -> None:
    inputs: list[Input] = [(9.0, 0.0), (1.0, 1.0), (0.0, 0.0), (-10.0, 0.0), (0.0, 8.0), (0.0, 0.0)]
    selector = built("diverse")
    assert selector.nested
    order = ranked(selector, inputs)
    assert order[:4] == [1, 3, 0, 4], "the mean is (0, 1.5)"
    assert order[4:] == [2, 5], "a duplicate comes last"
    assert order == ranked(selector, inputs, wanted=1)


def test_diverse_ranks_more_rows_than_it_draws_one_by_one() -> None:
    inputs = cloud(0, 0, GREEDY + 100)
    order = ranked(built("diverse"), inputs)
    assert sorted(order) == list(range(GREEDY + 100))
    points = torch.tensor(inputs)
    nearest = torch.cdist(points[order], points[order[:GREEDY]])
    assert torch.equal(nearest[GREEDY:].min(1).values.argsort(descending=True), torch.arange(100))
    for place in range(1, 30):
        chosen, left = points[order[:place]], points[order[place:]]
        assert int(torch.cdist(left, chosen).min(1).values.argmax()) == 0


@pytest.mark.parametrize("name", ["typical", "diverse"])
def test_texts_are_compared_by_an_encoder_that_is_told(name: str, encoder: str) -> None:
    told: list[int] = []
    selection = Selection(TEXTS, 4, 0, NOBODY, told.append)
    selector = built(name, encoder=encoder)
    order = selector.rank(selection)
    assert sorted(order) == list(range(len(TEXTS)))
    assert selector.rank(selection) == order
    assert told == [len(TEXTS)] * 2, "counted as often as it is asked for, whatever is in memory"
    vectors = torch.nn.functional.normalize(TextEncoder(encoder).embed(TEXTS))
    as_vectors: list[Input] = [tuple(vector) for vector in vectors.tolist()]
    told.clear()
    assert built(name).rank(Selection(as_vectors, 4, 0, NOBODY, told.append)) == order
    assert told == [], "vectors need no encoder"


def test_among_limits_what_is_embedded(encoder: str) -> None:
    told: list[int] = []
    order = built("diverse", encoder=encoder, among=10).rank(Selection(TEXTS, 4, 0, NOBODY, told.append))
    assert told == [10]
    assert set(order[:10]) == set(range(10)) and order[10:] == list(range(10, len(TEXTS)))


def test_a_pool_of_texts_and_vectors_is_refused() -> None:
    with pytest.raises(DataError, match="texts and vectors, between which there is no distance"):
        ranked(built("diverse"), ["a text", (0.5, 1.0)])


def test_an_encoder_that_is_not_there_is_a_sentence_at_its_option(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no model folder") as caught:
        ranked(built("typical", encoder=str(tmp_path / "nowhere")), TEXTS)
    assert caught.value.setting == ("encoder",)


def test_where_the_pool_holds_texts_a_missing_encoder_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    options = {"encoder": str(tmp_path / "nowhere")}
    with pytest.raises(SettingError, match="there is no model folder"):
        REGISTRY.build("selector", "diverse", options, BuildContext(pool=[Example("1", "a text")], offline=True))
    REGISTRY.build("selector", "diverse", options, BuildContext(pool=[Example("1", (0.5, 1.0))], offline=True))


def test_the_encoder_is_part_of_the_identity_by_its_content(encoder: str, tmp_path: Path) -> None:
    options = REGISTRY.find("selector", "typical").options
    identity = options.model_validate({"encoder": encoder}).identity()
    other = str(tiny_bert(tmp_path, TEXTS, seed=1))
    assert "model.safetensors" in identity["encoder"]["files"]
    assert identity != options.model_validate({"encoder": other}).identity()
    assert [each.setting for each in options.model_validate({"encoder": "a/b"}).destinations()] == [("encoder",)]
    assert not options.model_validate({"encoder": encoder}).destinations()

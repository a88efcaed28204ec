"""The searches that the arms of a run need, one for each way of asking, whichever arms ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cod_runner.api import Example
from cod_runner.context import RunContext
from cod_runner.counterfactuals import Addition, OutcomeStore, PairSearch, outcome_line
from cod_runner.counterfactuals.additions import SUFFIX, What
from cod_runner.data.near_duplicates import NearDuplicates
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.recipe.arms import CONTROL, Keep
from cod_runner.recipe.grammar import Counterfactuals
from cod_runner.recipe.nodes import Place
from cod_runner.recipe.sections import Use
from cod_runner.runs.identity import control_identity, counterfactual_identity, generator_identity
from cod_runner.stages.load import Experiment
from cod_runner.store import content_key

FLIPS = "counterfactuals"
"""The section, and the stem of the file of its outcomes."""


ANY_EDITS = 1e6
"""As a share of the words: a paraphrase may change every word; its length is bounded all the same."""
TAKEN: dict[Keep, What] = {"flip": "flips", "same": "copies", "any": "texts"}


@dataclass(frozen=True)
class Searched:
    """A search and where its outcomes are written."""

    name: str
    """The stem of its file in the run's folder."""
    search: PairSearch

    def lines(self, examples: Mapping[str, Example], labels: Sequence[str]) -> list[dict[str, Any]]:
        """The lines of its file; ``examples`` are the originals by their ids."""
        return [
            outcome_line(examples[source], outcome, labels, SUFFIX[TAKEN[self.search.keep]])
            for source, outcome in self.search.outcomes.items()
        ]


@dataclass(frozen=True)
class SearchRequest:
    """What is asked for: by which generators, judged how, and what is taken."""

    places: Sequence[Place]
    """Of the generators in the recipe."""
    settings: Counterfactuals
    identity: Any
    """What decides the proposals, apart from teacher and data."""
    keep: Keep
    file: str
    """Stem of the file of its outcomes."""


class Searches:
    """Makes each search when it is first needed; arms that ask alike share one."""

    def __init__(
        self, context: RunContext, experiment: Experiment, teacher: CachedTeacher, evaluation: NearDuplicates | None
    ) -> None:
        self._context, self._experiment, self._teacher, self._evaluation = context, experiment, teacher, evaluation
        self._by_key: dict[str, Searched] = {}

    @cached_property
    def _stored(self) -> OutcomeStore:
        """Opened for the first search: arms that add nothing need none."""
        return OutcomeStore(self._context.store.folder("pairs") / "pairs.sqlite")

    @cached_property
    def _data(self) -> str:
        """What decides a search besides its settings: a generator may learn from the pool and unlabelled rows, and a
        candidate like an evaluation row is refused."""
        corpus = self._experiment.corpus
        measured = [row.input for row in (*corpus.evaluation, *self._experiment.dev)]
        unlabelled = [[row.input for row in corpus.unlabelled]] if corpus.unlabelled else []
        return content_key([[[row.input, row.label] for row in corpus.pool], measured, *unlabelled])

    @property
    def made(self) -> list[Searched]:
        """Every search, in the order in which it was first needed."""
        return list(self._by_key.values())

    def addition(self, name: str, place: int) -> Addition:
        """The entry ``place`` of what the arm adds."""
        recipe, registry = self._context.recipe, self._context.registry
        arm = recipe.arms[name]
        each, count = arm.add[place], arm.per_original
        if isinstance(each, Use):
            keep = arm.keep or "flip"
            file = f"added-{name}" if place == 0 else f"added-{name}-{place + 1}"
            request = self._own_request(each, keep, ("arms", name, "add", place), file)
            return Addition(self._search(request, count), TAKEN[keep], count)
        if each == CONTROL:
            assert recipe.control is not None  # the recipe was checked
            settings = Counterfactuals(generators=[recipe.control])
            identity = control_identity(recipe, registry)
            copying = SearchRequest([("control",)], settings, identity, "same", CONTROL)
            return Addition(self._search(copying, count), "copies", count)
        made = recipe.counterfactuals
        assert made is not None
        places = [("counterfactuals", "generators", index) for index in range(len(made.generators))]
        flipping = SearchRequest(places, made, counterfactual_identity(recipe, registry), "flip", FLIPS)
        return Addition(self._search(flipping, count), "flips" if each == "flips" else "misses", count)

    def unlabelled(self, name: str) -> Addition | None:
        """What the arm sees without a label, where a generator makes it."""
        more = self._context.recipe.arms[name].unlabelled
        if more is None or not isinstance(more.source, Use):
            return None
        count = more.per_original or 1
        place = ("arms", name, "unlabelled", "from")
        return Addition(
            self._search(self._own_request(more.source, "any", place, f"unlabelled-{name}"), count), "texts", count
        )

    def _own_request(self, use: Use, keep: Keep, place: Place, file: str) -> SearchRequest:
        """For a generator that an arm names itself; the section's settings hold for flips."""
        recipe = self._context.recipe
        settings = Counterfactuals(generators=[use], max_edits=ANY_EDITS)
        if keep == "flip" and recipe.counterfactuals is not None:
            settings = recipe.counterfactuals.model_copy(update={"generators": [use]})
        identity = generator_identity(recipe, self._context.registry, use, keep)
        return SearchRequest([place], settings, identity, keep, file)

    def _search(self, request: SearchRequest, wanted: int) -> PairSearch:
        identity = [request.identity, self._data, *([] if wanted == 1 else [{"on different words": wanted}])]
        key = content_key([identity, request.keep])
        if key not in self._by_key:
            search = PairSearch(
                generators=[self._experiment.generators[place] for place in request.places],
                teacher=self._teacher,
                fingerprint=self._teacher.fingerprint,
                settings=request.settings,
                identity=identity,
                stored=self._stored,
                keep=request.keep,
                wanted=wanted,
                held_out=self._evaluation,
            )
            taken = {one.name for one in self.made}
            name = request.file if request.file not in taken else f"{request.file}-{wanted}"
            self._by_key[key] = Searched(name, search)
        return self._by_key[key].search

"""The loop: propose, refuse, verify, choose, retry, and the walk along the originals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from word_count_teacher import Scripted, WordCountTeacher

from cod_runner.api import CodrunError, Example, Generator, Proposal, ProviderError, Request, TeacherView
from cod_runner.counterfactuals import Addition, OutcomeStore, PairSearch, walk
from cod_runner.counterfactuals.additions import What
from cod_runner.counterfactuals.walk import is_hopeless
from cod_runner.recipe.grammar import Counterfactuals


def search(
    folder: Path, *generators: tuple[str, Generator], teacher: WordCountTeacher | None = None, **settings: Any
) -> PairSearch:
    return PairSearch(
        generators=generators,
        teacher=teacher or WordCountTeacher(),
        fingerprint="teacher",
        settings=Counterfactuals(generators=["x"], **settings),
        identity=[name for name, _ in generators],
        stored=OutcomeStore(folder / "pairs.sqlite"),
    )


def walked(
    finder: PairSearch,
    orders: Sequence[Sequence[Example]],
    wanted: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    what: What = "flips",
) -> dict[str, Example]:
    """What is added to each original that a walk finds usable, by the original's id."""
    addition = Addition(finder, what)
    made: dict[str, Example] = {}

    def usable(originals: Sequence[Example]) -> list[bool]:
        for original, outcome in zip(originals, finder.search(originals), strict=True):
            made.update((original.id, one) for one in addition.of(original, outcome) or ())
        return [original.id in made for original in originals]

    redraw = finder.settings.on_failure == "redraw"
    parts = walk(orders, wanted, usable, redraw=redraw, progress=progress)
    return {one.id: made[one.id] for part in parts for one in part.found}


def example(text: str, label: int = 1, name: str | None = None) -> Example:
    return Example(name or text, text, label)


def test_the_first_generator_that_flips_wins_and_each_attempt_says_who_made_it(tmp_path: Path) -> None:
    first = Scripted({"a good film": [["a warm film"]]})
    second = Scripted({"a good film": [["a bad film"]]})
    third = Scripted({"a good film": [["an awful film"]]})
    finder = search(tmp_path, ("first", first), ("second", second), ("third", third))
    (outcome,) = finder.search([example("a good film")])
    assert (outcome.counterfactual, outcome.generator, outcome.label) == ("a bad film", "second", 0)
    assert outcome.verified
    assert [(one.generator, one.reason) for one in outcome.attempts] == [("first", "not_flipped"), ("second", None)]
    assert outcome.reasons == {"not_flipped": 1}
    assert third.asked == []


def test_a_failed_round_goes_back_with_what_was_tried(tmp_path: Path) -> None:
    generator = Scripted({"a good film": [["a warm film", "a good film"], ["a bad film"]]}, rounds=3)
    finder = search(tmp_path, ("g", generator))
    (outcome,) = finder.search([example("a good film")])
    assert outcome.counterfactual == "a bad film"
    assert [len(asked) for asked in generator.asked] == [1, 1]
    told = generator.asked[1][0]
    assert told.round == 2
    assert [(one.input, one.reason) for one in told.history] == [
        ("a warm film", "not_flipped"),
        ("a good film", "identical"),
    ]
    assert told.history[0].probabilities is not None
    assert told.history[1].probabilities is None


def test_among_flips_tier_then_edits_then_margin_then_text(tmp_path: Path) -> None:
    original = "a good film for the family"
    generator = Scripted(
        {
            original: [
                [
                    Proposal("a awful film for the family", tier=1),
                    Proposal("a bad bad bad film for the family", tier=0),
                    Proposal("a bad film for the family", tier=0),
                    Proposal("a awful film for the dog", tier=0),
                ]
            ]
        }
    )
    (outcome,) = search(tmp_path, ("g", generator)).search([example(original)])
    assert outcome.counterfactual == "a bad film for the family"
    same_edits = Scripted({original: [["a bad film for the family", "a awful film for the family"]]})
    (outcome,) = search(tmp_path, ("h", same_edits)).search([example(original)])
    assert outcome.counterfactual == "a awful film for the family"


def test_all_candidates_of_a_round_are_read_in_one_call(tmp_path: Path) -> None:
    teacher = WordCountTeacher()
    texts = [f"a good film number {number}" for number in range(20)]
    generator = Scripted({text: [[text.replace("good", "bad"), text.replace("good", "warm")]] for text in texts})
    search(tmp_path, ("g", generator), teacher=teacher).search([example(text) for text in texts])
    assert teacher.calls == 2
    assert len(teacher.read) == 20 + 40


def test_a_verdict_owes_nothing_to_its_company(tmp_path: Path) -> None:
    """Alone, a generator that is silent in round 1 must be as silent as it is beside an original it can serve."""
    script = {
        "a good film": [[], ["a bad film"]],
        "a great film": [["a warm film"], ["an awful film"]],
    }
    (tmp_path / "alone").mkdir()
    alone = search(tmp_path / "alone", ("g", Scripted(script, rounds=2))).search([example("a good film")])
    together = search(tmp_path, ("g", Scripted(script, rounds=2))).search(
        [example("a great film"), example("a good film")]
    )
    assert alone[0] == together[1]


def test_the_second_time_nobody_is_asked(tmp_path: Path) -> None:
    script = {"a good film": [["a bad film"]]}
    first = search(tmp_path, ("g", Scripted(script))).search([example("a good film"), example("a warm day")])
    teacher, generator = WordCountTeacher(), Scripted(script)
    again = search(tmp_path, ("g", generator), teacher=teacher).search(
        [example("a good film", name="another id"), example("a warm day")]
    )
    assert again == first
    assert first[1].counterfactual is None
    assert generator.asked == []
    assert teacher.read == ["a good film", "a warm day"]


def test_another_teacher_or_other_settings_are_another_search(tmp_path: Path) -> None:
    script = {"a good film": [["a bad film"]]}
    search(tmp_path, ("g", Scripted(script))).search([example("a good film")])
    generator = Scripted(script)
    same = search(tmp_path, ("g", generator))
    for other in (replace(same, fingerprint="another", outcomes={}), replace(same, identity="another", outcomes={})):
        other.search([example("a good film")])
    assert len(generator.asked) == 2


class Failing:
    """Answers the first request of each call in round 1, and ends the run in round 2."""

    rounds = 2

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        if requests[0].round == 2:
            raise ProviderError("the server is gone")
        return [[Proposal(str(one.input).replace("good", "bad"))] for one in requests]


def test_a_providers_fault_ends_the_run_and_loses_no_flip(tmp_path: Path) -> None:
    finder = search(tmp_path, ("g", Failing()), ("next", Scripted({"a warm film": [["a cold film"]]})))
    with pytest.raises(ProviderError, match="gone"):
        finder.search([example("a good film"), example("a warm film")])
    resumed = Scripted({"a warm film": [["a cold film"]]})
    again = search(tmp_path, ("g", resumed), ("next", Scripted({})))
    outcomes = again.search([example("a good film"), example("a warm film")])
    assert [outcome.counterfactual for outcome in outcomes] == ["a bad film", "a cold film"]
    assert [request.input for request in resumed.asked[0]] == ["a warm film"]


def test_a_generator_that_skips_a_request_is_a_fault(tmp_path: Path) -> None:
    class Short:
        rounds = 1

        def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
            return []

    with pytest.raises(CodrunError, match="`short`: `propose` returned 0 lists for 1 requests"):
        search(tmp_path, ("short", Short())).search([example("a good film")])


# --- labels, targets, verification ------------------------------------------------------------------------------------


def test_base_label_says_what_is_flipped(tmp_path: Path) -> None:
    misread = example("a bad film", label=1)
    for base, wanted in (("teacher", (0, 1)), ("gold", (1, 0))):
        (outcome,) = search(tmp_path, (base, Scripted({})), base_label=base).search([misread])
        assert (outcome.from_label, outcome.target) == wanted


THREE = ("negative", "positive", "neutral")


def test_runner_up_refuses_a_flip_to_another_class(tmp_path: Path) -> None:
    generator = Scripted({"a good film": [["a odd film", "a bad film"]]})
    finder = search(tmp_path, ("g", generator), teacher=WordCountTeacher(THREE))
    (outcome,) = finder.search([example("a good film")])
    assert [one.reason for one in outcome.attempts] == ["wrong_class", None]
    assert (outcome.target, outcome.label) == (0, 0)


def test_fixed_target_comes_from_the_recipe(tmp_path: Path) -> None:
    generator = Scripted({"a good film": [["a bad film", "a odd film"]]})
    targets = {"positive": "neutral", "negative": "positive"}
    settings = {"target": "fixed", "targets": targets}
    finder = search(tmp_path, ("g", generator), teacher=WordCountTeacher(THREE), **settings)
    (outcome,) = finder.search([example("a good film")])
    assert (outcome.counterfactual, outcome.label) == ("a odd film", 2)
    with pytest.raises(CodrunError, match="none for `neutral`"):
        finder.search([example("odd")])


def test_all_targets_are_asked_for_and_the_best_flip_wins(tmp_path: Path) -> None:
    class ByTarget:
        rounds = 1

        def __init__(self) -> None:
            self.targets: list[int] = []

        def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
            self.targets = [request.target for request in requests]
            to = {0: Proposal("a bad film", tier=1), 2: Proposal("a odd film", tier=0)}
            return [[to[request.target]] for request in requests]

    generator = ByTarget()
    finder = search(tmp_path, ("g", generator), teacher=WordCountTeacher(THREE), target="all")
    (outcome,) = finder.search([example("a good film")])
    assert generator.targets == [0, 2]
    assert (outcome.counterfactual, outcome.target, outcome.label) == ("a odd film", 2, 2)
    assert len(outcome.attempts) == 2


def test_without_verification_the_first_answer_is_taken_and_labelled_as_asked(tmp_path: Path) -> None:
    generator = Scripted({"a good film": [["a good film", "a warm film", "a bad film"]]})
    finder = search(tmp_path, ("g", generator), verify=False)
    pairs = walked(finder, [[example("a good film")]], 1)
    outcome = finder.outcomes["a good film"]
    assert outcome.counterfactual == "a warm film"
    assert (outcome.verified, outcome.label, outcome.attempts[0].reason) == (False, 0, "identical")
    assert pairs["a good film"].label == 0


# --- the walk --------------------------------------------------------------------------------------------------------


SCRIPT = {f"a good film {n}": [[f"a bad film {n}"]] for n in range(10) if n not in (1, 2)}
ORDER = [example(f"a good film {n}") for n in range(10)]


def numbers(pairs: dict[str, Any]) -> list[int]:
    return sorted(int(name.split()[-1]) for name in pairs)


def test_redraw_goes_on_to_the_next_original(tmp_path: Path) -> None:
    finder = search(tmp_path, ("g", Scripted(SCRIPT)))
    assert numbers(walked(finder, [ORDER], 3)) == [0, 3, 4]
    assert numbers(finder.outcomes) == [0, 1, 2, 3, 4]


def test_drop_leaves_the_gap(tmp_path: Path) -> None:
    assert numbers(walked(search(tmp_path, ("g", Scripted(SCRIPT)), on_failure="drop"), [ORDER], 3)) == [0]


def test_fail_ends_the_run_with_the_original_and_its_reasons(tmp_path: Path) -> None:
    script = {**SCRIPT, "a good film 1": [["a warm film 1"]]}
    with pytest.raises(CodrunError, match="`a good film 1`; candidates: 1 not_flipped"):
        walked(search(tmp_path, ("g", Scripted(script)), on_failure="fail"), [ORDER], 3)


def test_keep_unverified_takes_the_nearest_miss_with_the_teachers_label(tmp_path: Path) -> None:
    script = {**SCRIPT, "a good film 1": [["a great film 1", "a warm film 1"]]}
    finder = search(tmp_path, ("g", Scripted(script)), on_failure="keep_unverified")
    pairs = walked(finder, [ORDER], 2)
    assert numbers(pairs) == [0, 1]
    found = finder.outcomes["a good film 1"]
    assert (found.counterfactual, found.verified, found.label) == ("a warm film 1", False, 1)
    assert pairs["a good film 1"].label == 1


def test_a_smaller_walk_lies_inside_a_larger_one(tmp_path: Path) -> None:
    for wanted in (1, 2, 5):
        found = numbers(walked(search(tmp_path, ("g", Scripted(SCRIPT))), [ORDER], wanted))
        assert found == [0, 3, 4, 5, 6, 7][:wanted]


def test_orders_that_share_originals_search_them_once(tmp_path: Path) -> None:
    generator = Scripted(SCRIPT)
    finder = search(tmp_path, ("g", generator))
    pairs = walked(finder, [ORDER, ORDER[::-1]], 4)
    assert numbers(pairs) == [0, 3, 4, 5, 6, 7, 8, 9]
    asked = [request.id for call in generator.asked for request in call]
    assert len(asked) == len(set(asked))


def test_an_exhausted_order_gives_what_it_has(tmp_path: Path) -> None:
    assert numbers(walked(search(tmp_path, ("g", Scripted(SCRIPT))), [ORDER[:3]], 3)) == [0]


def test_a_flip_is_named_after_its_original_and_has_the_teachers_class(tmp_path: Path) -> None:
    gold_differs = example("a good film 0", label=0, name="row 7")
    ((original, added),) = walked(search(tmp_path, ("g", Scripted(SCRIPT))), [[gold_differs]], 1).items()
    assert original == "row 7"
    assert added == Example("row 7~cf", "a bad film 0", 0, is_counterfactual=True)


def test_progress_counts_usable_originals(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    finder = search(tmp_path, ("g", Scripted(SCRIPT)))
    walked(finder, [ORDER], 3, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (3, 3)]


def test_vectors_are_searched_as_texts_are(tmp_path: Path) -> None:
    class Mirror:
        rounds = 1

        def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
            return [[Proposal(tuple(-float(one) for one in request.input))] for request in requests]

    row = Example("v", (2.0, 1.0), 1)
    finder = search(tmp_path, ("g", Mirror()))
    (added,) = walked(finder, [[row]], 1).values()
    assert added.input == (-2.0, -1.0)
    again = search(tmp_path, ("g", Mirror())).search([row])
    assert again == [finder.outcomes["v"]]


def test_turned_round_it_finds_copies_that_keep_their_reading_and_their_gold_label(tmp_path: Path) -> None:
    generator = Scripted({"a good film": [["a bad film"], ["good film"]]}, rounds=2)
    finder = replace(search(tmp_path, ("g", generator)), keep="same")
    misread = example("a good film", label=0, name="row 7")  # gold says 0, the teacher reads it as 1
    pairs = walked(finder, [[misread]], 1, what="copies")
    assert pairs["row 7"] == Example("row 7~copy", "good film", 0)
    outcome = finder.outcomes["row 7"]
    assert [(one.input, one.reason) for one in outcome.attempts] == [("a bad film", "flipped"), ("good film", None)]
    assert (outcome.from_label, outcome.target, outcome.label, outcome.verified) == (1, 1, 1, True)


@pytest.mark.parametrize(("found", "looked_at"), [(0, 59), (1, 93), (2, 124), (10, 336)])
def test_a_walk_is_hopeless_from_the_exact_binomial_bound_on(found: int, looked_at: int) -> None:
    assert is_hopeless(looked_at, found) and not is_hopeless(looked_at - 1, found)


def test_where_a_walk_ends_depends_on_the_order_alone() -> None:
    """Not on how many are wanted, what else is walked, or in what pieces: so sets nest."""
    order = [example(f"text {number}") for number in range(400)]
    others = [example(f"other {number}") for number in range(400)]
    can = {f"text {number}" for number in (3, 40, 130, 150)} | {one.id for one in others}

    def usable(originals: Sequence[Example]) -> list[bool]:
        return [one.id in can for one in originals]

    for wanted in range(1, 40):
        text, other = walk([order, others], wanted, usable)
        assert [one.id for one in text.found] == ["text 3", "text 40"][:wanted]
        assert (text.gave_up, text.looked_at) == ((True, 124) if wanted > 2 else (False, [4, 41][wanted - 1]))
        assert (len(other.found), other.gave_up) == (wanted, False)
        assert walk([order], wanted, usable) == [text]
    assert not walk([order], 70, usable, redraw=False)[0].gave_up, "gaps are what the recipe asks for"


def test_originals_for_which_nothing_was_tried_do_not_end_a_walk() -> None:
    """As with a file of counterfactuals of a few texts of many."""
    order = [example(f"text {number}") for number in range(400)]
    rare = {"text 150", "text 399"}
    walked = walk([order], 2, lambda some: [one.id in rare for one in some], tried=lambda one: False)
    assert [one.id for one in walked[0].found] == ["text 150", "text 399"] and not walked[0].gave_up

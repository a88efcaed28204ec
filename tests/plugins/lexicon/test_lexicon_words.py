"""The pieces of `lexicon`: texts, inflection, opposites, negation, leaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cod_runner.api import Input, Request
from codrun_lexicon.inflection import plural, verb_forms
from codrun_lexicon.negation import affirmations, negations, with_and_without
from codrun_lexicon.opposites import BLAME, PRAISE, Kind, Opposites
from codrun_lexicon.options import LexiconOptions
from codrun_lexicon.readings import Readings, words_of
from codrun_lexicon.text import Edit, Sentence, applied, article_for, delete, insert_before, swap
from codrun_lexicon.usage import Usage
from codrun_lexicon.valence import Leaning, sentiment_of_labels, vader

LISTED = Opposites.packaged()


def texts(text: str, edits: object) -> set[str]:
    return {applied(text, [edit]) for edit in edits}  # type: ignore[attr-defined]


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "new", "wanted"),
    [
        ("a good film .", 1, "awful", "an awful film ."),
        ("An awful film.", 1, "good", "A good film."),
        ("Good film!", 0, "bad", "Bad film!"),
        ("GOOD film", 0, "bad", "BAD film"),
        ("it does n't work", 3, "fail", "it does n't fail"),
    ],
)
def test_a_swap_preserves_capitals_spacing_and_article(text: str, place: int, new: str, wanted: str) -> None:
    assert applied(text, [swap(Sentence.of(text), place, place, new, 0)]) == wanted


@pytest.mark.parametrize(
    ("text", "first", "last", "wanted"),
    [
        ("a very awful film .", 1, 1, "an awful film ."),
        ("Not a film .", 0, 0, "A film ."),
        ("it is good , but long .", 3, 5, "it is good ."),
        ("it is good, but long.", 3, 5, "it is good."),
    ],
)
def test_a_deletion_leaves_a_text_that_reads_well(text: str, first: int, last: int, wanted: str) -> None:
    assert applied(text, [delete(Sentence.of(text), first, last, 0)]) == wanted


def test_an_insertion_at_the_front_takes_the_capital() -> None:
    assert applied("A rich film", [insert_before(Sentence.of("A rich film"), 0, "hardly", 0)]) == "Hardly a rich film"
    assert applied("I like it", [insert_before(Sentence.of("I like it"), 0, "never", 0)]) == "never I like it"


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("honest", "an"),
        ("house", "a"),
        ("unique", "a"),
        ("unfunny", "an"),
        ("one", "a"),
        ("Awful", "an"),
        ("euro", "a"),
    ],
)
def test_articles_go_by_sound(word: str, wanted: str) -> None:
    assert article_for(word) == wanted


def test_edits_of_one_place_clash_and_others_combine() -> None:
    sentence = Sentence.of("a good and warm film")
    first, same, other = (
        swap(sentence, place, place, word, 0) for place, word in ((1, "bad"), (1, "awful"), (3, "cold"))
    )
    assert first.clashes(same)
    assert not first.clashes(other)
    assert applied(sentence.text, [other, first]) == "a bad and cold film"


def test_parts_of_a_longer_word_are_recognised() -> None:
    sentence = Sentence.of("a clean-cut film - good")
    assert sentence.glued(1, 1)
    assert sentence.glued(3, 3)
    assert not sentence.glued(1, 3)
    assert not sentence.glued(6, 6)


# --- inflection and opposites -----------------------------------------------------------------------------------------


def test_forms_of_verbs_and_nouns() -> None:
    assert verb_forms("grip") == {
        "base": "grip", "s": "grips", "past": "gripped", "participle": "gripped", "ing": "gripping"
    }  # fmt: skip
    assert verb_forms("satisfy")["s"] == "satisfies"
    assert verb_forms("lose")["past"] == "lost"
    assert verb_forms("fall short of")["past"] == "fell short of"
    assert verb_forms("annoy")["past"] == "annoyed"
    assert [plural(noun) for noun in ("mess", "bore", "comedy", "low point")] == [
        "messes", "bores", "comedies", "low points"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "opposite", "kind"),
    [
        ("good", "bad", Kind("adjective")),
        ("badly", "well", Kind("adverb")),
        ("succeeded", "failed", Kind("verb", "past")),
        ("failing", "succeeding", Kind("verb", "ing")),
        ("masterpieces", "disasters", Kind("noun", "plural")),
        ("funnier", "less funny", Kind("adjective", "less")),
        ("dullest", "least dull", Kind("adjective", "least")),
        ("better", "worse", Kind("adjective")),
        ("falls short of", "transcends", Kind("verb", "s")),
        ("well - made", "shoddy", Kind("adjective")),
    ],
)
def test_opposites_have_the_same_form(word: str, opposite: str, kind: Kind) -> None:
    assert (opposite, kind) in {(one.word, one.kind) for one in LISTED.of(word)}


def test_no_word_is_on_both_sides() -> None:
    """A word that praises and blames in one part of speech would be swapped for one of its own side."""
    for kind in (Kind("adjective"), Kind("adverb"), Kind("verb"), Kind("noun"), Kind("mass noun")):
        assert not set(LISTED.words(kind, PRAISE)) & set(LISTED.words(kind, BLAME)), kind


def test_own_pairs_come_first() -> None:
    own = Opposites.packaged([("good", "meh")])
    assert own.of("good")[0].word == "meh"
    assert own.of("meh")[0].word == "good"


# --- negation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the film is good .", "the film is not good ."),
        ("it's a film with heart", "it's not a film with heart"),
        ("you can see it", "you cannot see it"),
        ("they are still good", "they are still not good"),
        ("the story makes sense", "the story does not make sense"),
        ("the story makes sense", "the story never makes sense"),
        ("it has been made well", "it has not been made well"),
        ("a rich film .", "hardly a rich film ."),
        ("A rich film .", "Hardly a rich film ."),
        ("funny and moving .", "neither funny nor moving ."),
        ("it is funny and moving .", "it is neither funny nor moving ."),
        ("one of those films", "not one of those films"),
    ],
)
def test_negations_are_placed_as_in_english(text: str, wanted: str) -> None:
    assert wanted in texts(text, negations(Sentence.of(text), LISTED, 1))


@pytest.mark.parametrize(
    "text",
    [
        "it is not good",
        "it isn't good",
        "is it good ?",
        "it is only good",
        "free will .",
        "what is left .",
        "his works .",
    ],
)
def test_no_negation_where_there_is_one_or_none_fits(text: str) -> None:
    assert texts(text, negations(Sentence.of(text), LISTED, 1)) == set()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("it is not good", "it is good"),
        ("it isn't good", "it is good"),
        ("it is n't good", "it is good"),
        ("it ca n't move you", "it can move you"),
        ("it won't move you", "it will move you"),
        ("it doesn't work .", "it works ."),
        ("it does n't work .", "it works ."),
        ("they don't work", "they work"),
        ("it never works", "it always works"),
        ("there is nothing new", "there is something new"),
        ("neither new nor good", "both new and good"),
        ("it is too long", "it is never too long"),
    ],
)
def test_negations_are_removed(text: str, wanted: str) -> None:
    assert wanted in texts(text, affirmations(Sentence.of(text), 1))


@pytest.mark.parametrize("text", ["not only good", "no one came", "whether or not it is", "it is much too long"])
def test_what_only_looks_like_a_negation_stays(text: str) -> None:
    assert texts(text, affirmations(Sentence.of(text), 1)) == set()


def test_with_and_most_are_replaced_in_place() -> None:
    assert texts("with wit", with_and_without(Sentence.of("with wit"), True, 1)) == {"without wit"}
    assert texts("the least funny", with_and_without(Sentence.of("the least funny"), False, 1)) == {"the most funny"}
    assert (
        texts("most of it , filled with wit", with_and_without(Sentence.of("most of it , filled with wit"), True, 1))
        == set()
    )


# --- leaning and usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (("negative", "positive"), (-1.0, 1.0)),
        (("POS", "NEG"), (1.0, -1.0)),
        (("very negative", "negative", "neutral", "positive"), (-1.0, -1.0, 0.0, 1.0)),
        (("1 star", "2 stars", "3 stars"), (-1.0, 0.0, 1.0)),
        (("5", "3", "1"), (1.0, 0.0, -1.0)),
        (("0", "1"), None),
        (("sports", "business"), None),
        (("positive", "sports"), None),
    ],
)
def test_sentiment_is_read_off_label_names(labels: tuple[str, ...], wanted: tuple[float, ...] | None) -> None:
    assert sentiment_of_labels(labels) == wanted


def test_the_valence_lexicon_is_read_from_its_file() -> None:
    assert len(vader()) > 5000
    assert vader()["awful"] < 0 < vader()["wonderful"]


TEXTS = [f"the team won the match in minute {n}" for n in range(6)] + [
    f"the bank sold the shares at price {n}" for n in range(6)
]


class TopicTeacher:
    """Reads a text with `bank` as business, any other as sports."""

    labels = ("sports", "business")

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        return [(0.2, 0.8) if "bank" in str(text) else (0.7, 0.3) for text in inputs]


def leaning_of(own: Mapping[str, Sequence[str]]) -> Leaning:
    teacher: Any = TopicTeacher()
    in_texts = Counter(word for text in TEXTS for word in words_of(text))
    return Leaning(teacher.labels, in_texts, Readings(TEXTS, teacher), LISTED, own)


def test_leaning_is_learned_where_labels_are_not_sentiment() -> None:
    leaning = leaning_of({})
    assert leaning.direction(0, 1) == 0
    assert leaning.towards("team", 0, 1) < -0.5
    assert leaning.towards("bank", 0, 1) > 0.5
    assert leaning.towards("the", 0, 1) == 0
    assert set(leaning.typical(0, 1)) >= {"bank", "shares"}
    assert "team" not in leaning.typical(0, 1)


def test_own_words_outrank_what_was_learned() -> None:
    leaning = leaning_of({"business": ("Merger",), "sports": ("bank",)})
    assert leaning.towards("merger", 0, 1) == 1
    assert leaning.towards("bank", 0, 1) == -1
    assert leaning.typical(0, 1)[0] == "merger"


def test_usage_tells_parts_of_speech_apart() -> None:
    usage = Usage(TEXTS)
    assert usage.alike("team", "bank") > usage.alike("team", "won")
    assert usage.fluency("the", "bank", "sold") > usage.fluency("the", "sold", "bank")
    assert usage.alike("team", "unseen") == 0


def test_edits_are_hashable_so_that_none_comes_twice() -> None:
    sentence = Sentence.of("a good film")
    assert len({swap(sentence, 1, 1, "bad", 0), swap(sentence, 1, 1, "bad", 0)}) == 1
    assert isinstance(swap(sentence, 1, 1, "bad", 0), Edit)


def test_the_advice_names_the_place_where_words_are_written(tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("spam: [prize]\nham: [meeting]\n")
    assert LexiconOptions().advice() == (
        "write under `words:` some words that tell each label, as in `words: {LABEL: [word, word], ...}`, or name "
        "a YAML file of such lists there"
    )
    inline = LexiconOptions(words={"spam": ["prize"], "ham": ["meeting"]})
    assert inline.advice() == "put more words that tell each label under `words:`"
    file = LexiconOptions.model_validate({"words": "words.yaml"}, context={"folder": str(tmp_path)})
    assert file.advice() == "put more words that tell each label into the file that `words:` names"

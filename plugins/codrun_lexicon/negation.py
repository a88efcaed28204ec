"""Adds negations to a statement, or removes them, as English does."""

from __future__ import annotations

from collections.abc import Iterator

from codrun_lexicon.grammar import (
    AUXILIARIES,
    BE,
    BE_CONTRACTED,
    DETERMINERS,
    FOCUS,
    HAVE,
    JOINING,
    NOUNS_TOO,
    PARTICIPLES,
    PLURAL_SUBJECTS,
    PREPOSITIONS,
    SUBJECTS,
    VERBS,
    denies,
    is_adverb,
)
from codrun_lexicon.inflection import verb_forms
from codrun_lexicon.opposites import Kind, Opposites
from codrun_lexicon.text import Edit, Sentence, delete, insert_after, insert_before, swap

QUESTION_WORDS = frozenset("what how why where when".split())
BEFORE_TOO = frozenset("much far all just way a".split())
WHOLE_FORMS = {"won't": "will", "can't": "can", "shan't": "shall", "ain't": "is", "cannot": "can"}
CUT_FORMS = {"wo": "will", "ca": "can", "sha": "shall"}
NO_IDIOMS = frozenset("one longer matter doubt less more wonder way means such".split())


def negations(sentence: Sentence, listed: Opposites, tier: int) -> Iterator[Edit]:
    """Every negation that can be inserted."""
    for place, token in enumerate(sentence.tokens):
        word, left, right = token.lower, sentence.lower(place - 1), sentence.lower(place + 1)
        if not token.is_word or denies(left) or denies(right) or right in FOCUS or not right[:1].isalnum():
            continue
        if word in BE | BE_CONTRACTED:
            if not sentence.opens(place) or word in BE_CONTRACTED:
                if left not in QUESTION_WORDS and not denies(sentence.lower(place + 2)) and right != "far":
                    late = right in {"still", "also"}  # "are still not", as in "are not"
                    yield insert_after(sentence, place + late, "not", tier)
                both = _joined_adjectives(sentence, place + 1, listed)
                if both:
                    yield _neither(sentence, place + 1, both, tier)
        elif word in AUXILIARIES:
            noun = left in DETERMINERS - SUBJECTS or left in PREPOSITIONS or right in {"of", "to", "for", "with"}
            if not sentence.opens(place) and not noun and left not in QUESTION_WORDS and word != "do":
                yield swap(sentence, place, place, "cannot" if word == "can" else f"{word} not", tier)
        elif word in HAVE and (right in PARTICIPLES or right.endswith("ed")):
            yield insert_after(sentence, place, "not", tier)
        else:
            yield from _denied_verb(sentence, place, listed, tier)
    yield from _denied_opening(sentence, listed, tier)


def affirmations(sentence: Sentence, tier: int) -> Iterator[Edit]:
    """Every negation that can be removed."""
    for place, token in enumerate(sentence.tokens):
        word, left, right = token.lower, sentence.lower(place - 1), sentence.lower(place + 1)
        denied = word == "not" and right not in FOCUS | {"to", "even"} and left not in {"or", "whether"}
        if denied or (word == "n't" and place):
            yield from _without_not(sentence, place, place, tier)
        elif word in WHOLE_FORMS:
            yield swap(sentence, place, place, WHOLE_FORMS[word], tier)
        elif word.endswith("n't"):
            yield from _without_contraction(sentence, place, tier)
        elif word in {"never", "hardly", "barely", "scarcely", "rarely", "seldom"} and right[:1].isalnum():
            if right not in BE | AUXILIARIES | HAVE | FOCUS:
                yield delete(sentence, place, place, tier)
                if word == "never":
                    yield swap(sentence, place, place, "always", tier)
        elif word == "no" and right[:1].isalnum() and right not in NO_IDIOMS:
            yield delete(sentence, place, place, tier)
            yield swap(sentence, place, place, "plenty of" if right.endswith("s") else "real", tier)
        elif word == "nothing" and right[:1].isalnum():
            yield swap(sentence, place, place, "something", tier)
        elif word == "neither":
            nor = next((at for at in range(place + 2, len(sentence.tokens)) if sentence.lower(at) == "nor"), None)
            if nor is not None:
                yield _together(swap(sentence, place, place, "both", tier), swap(sentence, nor, nor, "and", tier))
        elif word == "too" and place and right[:1].isalnum() and right not in PREPOSITIONS | DETERMINERS:
            yield from _never_too(sentence, place, tier)


def _never_too(sentence: Sentence, place: int, tier: int) -> Iterator[Edit]:
    left = sentence.lower(place - 1)
    if left not in BEFORE_TOO and not denies(left):
        yield insert_before(sentence, place, "never", tier)


def with_and_without(sentence: Sentence, praise_to_blame: bool, tier: int) -> Iterator[Edit]:
    """``with wit`` to ``without wit``, ``the most moving`` to ``the least moving``; or the other way."""
    turn = {"with": "without", "most": "least"} if praise_to_blame else {"without": "with", "least": "most"}
    for place, token in enumerate(sentence.tokens):
        word, left, right = token.lower, sentence.lower(place - 1), sentence.lower(place + 1)
        if word not in turn or not right[:1].isalnum():
            continue
        degree = word in {"most", "least"}
        if degree and (left not in DETERMINERS or right in {"of", "part", "people"}):
            continue
        if word == "with" and left.endswith(("ed", "en")):
            continue  # "filled with" takes no "without"
        yield swap(sentence, place, place, turn[word], tier)


def _denied_verb(sentence: Sentence, place: int, listed: Opposites, tier: int) -> Iterator[Edit]:
    word, left, right = sentence.lower(place), sentence.lower(place - 1), sentence.lower(place + 1)
    kinds = listed.kinds(word)
    if word in VERBS or Kind("verb", "s") in kinds:
        nominal = left in DETERMINERS - SUBJECTS or left in PREPOSITIONS or left.endswith(("'s", "ing"))
        nominal = nominal or any(kind.part == "adjective" for kind in listed.kinds(left)) or is_adverb(left)
        ambiguous = word in NOUNS_TOO or Kind("noun", "plural") in kinds
        if nominal or (ambiguous and left not in SUBJECTS) or right == "'" or left == "'":
            return
        base = VERBS.get(word) or listed.base_of(word)
        yield swap(sentence, place, place, f"does not {base}", tier)
        if word not in {"has", "does"}:
            yield insert_before(sentence, place, "never", tier)
    elif Kind("verb", "base") in kinds and left in PLURAL_SUBJECTS:
        yield swap(sentence, place, place, f"do not {word}", tier)
    elif Kind("verb", "past") in kinds and left in SUBJECTS - {"that", "this"}:
        yield insert_before(sentence, place, "never", tier)


def _denied_opening(sentence: Sentence, listed: Opposites, tier: int) -> Iterator[Edit]:
    """Negations of fragments, common in reviews: ``a rich film`` to ``hardly a rich film``, ``funny and sad`` to
    ``neither funny nor sad``."""
    if len(sentence.tokens) < 3 or any(denies(sentence.lower(place)) for place in range(3)):
        return
    first = sentence.lower(0)
    adjective = any(kind.part == "adjective" for kind in listed.kinds(first))
    leads_to_adjective = is_adverb(first) and any(kind.part == "adjective" for kind in listed.kinds(sentence.lower(1)))
    if first in {"a", "an"} and _is_fragment(sentence):
        yield insert_before(sentence, 0, "hardly", tier)
        yield insert_before(sentence, 0, "not", tier)
    elif first == "one" and sentence.lower(1) == "of":
        yield insert_before(sentence, 0, "not", tier)
    elif adjective or leads_to_adjective:
        both = _joined_adjectives(sentence, 0, listed)
        if both:
            yield _neither(sentence, 0, both, tier)
        elif _is_fragment(sentence) and not sentence.lower(1).endswith("s"):
            yield insert_before(sentence, 0, "not", tier)


def _is_fragment(sentence: Sentence) -> bool:
    """Whether the text seems to have no main verb before its first comma; relative clauses do not count."""
    for place, token in enumerate(sentence.tokens):
        if token.lower in {",", ";", "-", ":", "("} and place > 2:
            return True
        if token.lower in BE | AUXILIARIES | HAVE or token.lower in VERBS:
            return sentence.lower(place - 1) in {"that", "which", "who", "as", "it", "you", "they"}
    return True


def _joined_adjectives(sentence: Sentence, place: int, listed: Opposites) -> int | None:
    """The place of ``and`` in ``[adverb] adjective and [adverb] adjective`` from ``place`` on."""
    start = place + is_adverb(sentence.lower(place))
    if not any(kind.part == "adjective" for kind in listed.kinds(sentence.lower(start))):
        return None
    if sentence.lower(start + 1) != "and":
        return None
    other = start + 2 + is_adverb(sentence.lower(start + 2))
    joined = any(kind.part == "adjective" for kind in listed.kinds(sentence.lower(other)))
    ends = not sentence.lower(other + 1)[:1].isalnum() or sentence.lower(other + 1) in PREPOSITIONS | JOINING
    return start + 1 if joined and ends else None


def _neither(sentence: Sentence, place: int, joined_at: int, tier: int) -> Edit:
    return _together(insert_before(sentence, place, "neither", tier), swap(sentence, joined_at, joined_at, "nor", tier))


def _without_not(sentence: Sentence, first: int, last: int, tier: int) -> Iterator[Edit]:
    """Drop ``not``; ``does not work`` becomes ``works``."""
    left, right = sentence.lower(first - 1), sentence.lower(last + 1)
    if left in CUT_FORMS and sentence.lower(first) == "n't":
        yield swap(sentence, first - 1, last, CUT_FORMS[left], tier)
    elif left == "does" and right.isalpha() and not is_adverb(right):
        yield swap(sentence, first - 1, last + 1, _third_person(right), tier)
    elif left == "do" and right.isalpha():
        yield delete(sentence, first - 1, last, tier)
    else:
        yield delete(sentence, first, last, tier)


def _without_contraction(sentence: Sentence, place: int, tier: int) -> Iterator[Edit]:
    stem, right = sentence.lower(place).removesuffix("n't"), sentence.lower(place + 1)
    if stem == "does" and right.isalpha() and not is_adverb(right):
        yield swap(sentence, place, place + 1, _third_person(right), tier)
    elif stem == "do" and right.isalpha() and not sentence.opens(place):
        yield delete(sentence, place, place, tier)
    else:
        yield swap(sentence, place, place, stem, tier)


def _third_person(verb: str) -> str:
    if verb in {"go", "do"}:
        return f"{verb}es"
    return "is" if verb == "be" else verb_forms(verb)["s"]


def _together(one: Edit, other: Edit) -> Edit:
    return Edit((*one.changes, *other.changes), max(one.tier, other.tier))

"""As much English grammar as an edit needs: closed classes of words, and whether a word is used as a verb or a noun."""

from __future__ import annotations

from codrun_lexicon.inflection import verb_forms
from codrun_lexicon.opposites import Kind, Opposites
from codrun_lexicon.text import Sentence

DETERMINERS = frozenset(
    "a an the this that these those its his her their our your my some any no every each another such both all "
    "what whose".split()
)
PREPOSITIONS = frozenset(
    "of in on with without for from by at as about into through between over under than like toward towards "
    "against among beyond despite".split()
)
OBJECTS = frozenset("me you him her it us them".split())
SUBJECTS = frozenset("i you he she it we they who that which this there".split())
PLURAL_SUBJECTS = frozenset("i you we they".split())
BE = frozenset("is are was were am".split())
BE_CONTRACTED = frozenset("it's that's there's he's she's they're we're you're i'm".split())
MODALS = frozenset("can could will would should must may might".split())
AUXILIARIES = MODALS | {"does", "did", "do"}
HAVE = frozenset("have has had".split())
NEGATIONS = frozenset(
    "not n't never no nothing none nobody nor neither cannot hardly barely scarcely rarely seldom without".split()
)
FOCUS = frozenset("only just merely simply alone".split())
"""Before these a ``not`` does not negate: ``not only``."""
JOINING = frozenset("and or but yet".split())
PARTICIPLES = frozenset("been made seen done given taken become gone got shown found kept left lost won put".split())
VERBS = {
    **{f"{verb}s": verb for verb in (
        "make keep give take get feel look work play offer deliver capture prove come bring find know show tell let "
        "leave seem deserve hold pull provide create manage remain stay add earn hit build explore allow run live "
        "rise grow turn use need want think mean sound become draw lead tap convey create explore understand "
        "transport combine balance mix blend merit reward generate sustain maintain justify strike raise"
    ).split()},
    "goes": "go", "does": "do", "has": "have", "reaches": "reach", "touches": "touch", "carries": "carry",
    "achieves": "achieve", "manages": "manage", "teaches": "teach", "expresses": "express",
}  # fmt: skip
"""The third person of common verbs that neither praise nor blame, to their base form."""
CLOSED = frozenset().union(
    DETERMINERS, PREPOSITIONS, SUBJECTS, OBJECTS, BE, BE_CONTRACTED, AUXILIARIES, HAVE, NEGATIONS, FOCUS, JOINING,
    "been being be if so too very more most less least much many few then when while where why how because".split(),
    "even still also there here up down off out one two own else ever".split(),
)  # fmt: skip
"""Function words; none is swapped for a word of the lexicon."""
INTRANSITIVE = frozenset(
    form
    for verb in (
        "succeed excel triumph work fail flop plod drag sink fade fizzle lurch flounder founder falter stumble shine "
        "sparkle glow soar glide thrive suffer wither collapse pall stagnate clash backfire yawn groan frown smile"
    ).split()
    for form in verb_forms(verb).values()
)
"""Verbs that take no object: none replaces a verb that has one."""
IDIOMS = frozenset(
    tuple(idiom.split())
    for idiom in (
        "loved ones", "right now", "right away", "right here", "good deal", "great deal", "fair share", "fine line",
        "clear cut", "fresh out", "hard core", "strong suit", "real life", "real time", "real estate", "true story",
        "free time", "sweet spot", "well known", "bright side", "open mind", "dead end", "fun house", "hit man",
    )
)  # fmt: skip
"""Pairs of words in which the first neither praises nor blames."""
ADJECTIVES_IN_LY = frozenset("lovely friendly silly ugly lively lonely only family early likely holy deadly".split())
DEGREES = frozenset("very quite so too rather really".split())
PARTICLES = frozenset("up out off down over away back".split())
NOUNS_TOO = frozenset("looks works plays shows needs turns uses means sounds leads strikes hits runs".split())


def denies(word: str) -> bool:
    """Whether a word is a negation, ``isn't`` included."""
    return word in NEGATIONS or word.endswith("n't")


def is_adverb(word: str) -> bool:
    """Whether a word ends in -ly and is not one of the adjectives that do, or names a degree."""
    return (word.endswith("ly") and word not in ADJECTIVES_IN_LY) or word in DEGREES


def fits(sentence: Sentence, place: int, kind: Kind, kinds: set[Kind], listed: Opposites) -> bool:
    """Whether the token is used as this kind, among all the kinds that its spelling allows."""
    word, right = sentence.lower(place), sentence.lower(place + 1)
    if word in HAVE:  # not the auxiliary: "has a heart", but not "has been"
        return right in DETERMINERS | {"few", "plenty", "many", "enough"} or _adjective(right, listed)
    if kind.part == "verb" and right in PARTICLES:
        return False  # "works up" is not the verb "works"
    if (word, right) in IDIOMS:
        return False
    if word == "well" and right != "as" and (sentence.lower(place - 1) == "as" or right == ","):
        return False  # "as well", "well, ..."
    if kind.part == "adjective" and right == "of" and sentence.lower(place - 1) in DETERMINERS:
        return False  # "the kind of"
    if denies(word) and right in BE | AUXILIARIES | HAVE:
        return False  # "never has it been so"
    if len({one.part for one in kinds}) == 1 and kind.part != "verb":
        return True
    left = sentence.lower(place - 1)
    after_verb_sign = left in MODALS | {"to", "not", "n't", "does", "do", "did", "never"} or left.endswith("n't")
    nominal_left = left in DETERMINERS or left in PREPOSITIONS or _adjective(left, listed)
    other_parts = {one.part for one in kinds} - {kind.part}
    if word.endswith("ing") and "adjective" in {one.part for one in kinds}:
        described = left in DETERMINERS | BE | BE_CONTRACTED or is_adverb(left)
        takes_object = right in (DETERMINERS | OBJECTS) - {"that"}
        if takes_object or described:
            return (kind.part == "verb") == takes_object
    if kind.part == "verb":
        if kind.form == "base":
            return after_verb_sign or left in PLURAL_SUBJECTS or (left == "who" and not other_parts)
        if kind.form == "s":
            return not nominal_left and left not in MODALS | HAVE | BE
        return True
    if kind.part in {"noun", "mass noun"}:
        if after_verb_sign or (left in SUBJECTS and left not in DETERMINERS):
            return False
        if "adjective" in other_parts:
            return _ends_phrase(right) and left not in BE | BE_CONTRACTED and not is_adverb(left)
        return nominal_left or left in JOINING or right == "of" or kind.form == "plural" or not other_parts
    if kind.part == "adjective" and other_parts & {"noun", "mass noun"}:
        return not _ends_phrase(right) or left in BE | BE_CONTRACTED or is_adverb(left)
    return not after_verb_sign or kind.part != "adjective"


def _adjective(word: str, listed: Opposites) -> bool:
    return any(kind.part == "adjective" for kind in listed.kinds(word)) if word else False


def _ends_phrase(right: str) -> bool:
    return not right[:1].isalnum() or right in PREPOSITIONS | JOINING | BE | SUBJECTS | AUXILIARIES | HAVE | {"to"}

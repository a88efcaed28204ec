"""The regular forms of English verbs, nouns and adjectives, and the irregular ones that the word list needs."""

from __future__ import annotations

IRREGULAR = {
    "win": ("wins", "won", "won", "winning"),
    "lose": ("loses", "lost", "lost", "losing"),
    "sink": ("sinks", "sank", "sunk", "sinking"),
    "shine": ("shines", "shone", "shone", "shining"),
    "build": ("builds", "built", "built", "building"),
    "understand": ("understands", "understood", "understood", "understanding"),
    "misunderstand": ("misunderstands", "misunderstood", "misunderstood", "misunderstanding"),
    "forget": ("forgets", "forgot", "forgotten", "forgetting"),
    "break": ("breaks", "broke", "broken", "breaking"),
    "hurt": ("hurts", "hurt", "hurt", "hurting"),
    "have": ("has", "had", "had", "having"),
    "fall": ("falls", "fell", "fallen", "falling"),
    "ring": ("rings", "rang", "rung", "ringing"),
    "undercut": ("undercuts", "undercut", "undercut", "undercutting"),
    "glow": ("glows", "glowed", "glowed", "glowing"),
    "repel": ("repels", "repelled", "repelled", "repelling"),
    "excel": ("excels", "excelled", "excelled", "excelling"),
    "omit": ("omits", "omitted", "omitted", "omitting"),
    "benefit": ("benefits", "benefited", "benefited", "benefiting"),
}
"""Base form to (-s, past, participle, -ing)."""

_SINGLE_CONSONANT = ("w", "x", "y")
VERB_FORMS = ("base", "s", "past", "participle", "ing")


def verb_forms(verb: str) -> dict[str, str]:
    """Form name (:data:`VERB_FORMS`) to the verb in that form; in a phrase the first word is inflected."""
    head, _, rest = verb.partition(" ")
    tail = f" {rest}" if rest else ""
    if head in IRREGULAR:
        forms = (head, *IRREGULAR[head])
    else:
        past = _with_ed(head)
        forms = (head, _with_s(head), past, past, _with_ing(head))
    return {name: form + tail for name, form in zip(VERB_FORMS, forms, strict=True)}


def plural(noun: str) -> str:
    """The plural of a noun; in a phrase, of the last word."""
    front, space, last = noun.rpartition(" ")
    return front + space + _with_s(last)


def comparative_base(word: str) -> list[tuple[str, str]]:
    """What ``word`` may be the -er (``less``) or -est (``least``) form of: (base, ``less`` or ``least``)."""
    found = []
    for ending, degree in (("er", "less"), ("est", "least")):
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        bases = [stem, f"{stem}e"]
        if stem.endswith("i"):
            bases.insert(0, f"{stem[:-1]}y")
        if len(stem) > 2 and stem[-1] == stem[-2]:
            bases.append(stem[:-1])
        found += [(base, degree) for base in bases]
    return found


def _with_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def _with_ed(word: str) -> str:
    if word.endswith("e"):
        return f"{word}d"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ied"
    return f"{_doubled(word)}ed"


def _with_ing(word: str) -> str:
    if word.endswith("e") and not word.endswith("ee"):
        return f"{word[:-1]}ing"
    return f"{_doubled(word)}ing"


def _doubled(word: str) -> str:
    """A one-syllable word that ends in a vowel and a consonant doubles the consonant: ``grip``, ``gripped``."""
    vowels = sum(letter in "aeiou" for letter in word)
    closed = len(word) > 2 and word[-1] not in "aeiou" and word[-2] in "aeiou" and word[-3] not in "aeiou"
    return word + word[-1] if vowels == 1 and closed and word[-1] not in _SINGLE_CONSONANT else word

"""A text with some of its words masked, and ways to fill the gaps."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Infilling:
    """One way to fill some gaps of a text: gap number to word, which may be the original word."""

    words: tuple[tuple[int, str], ...] = ()
    log_probability: float = 0.0


@dataclass
class Gaps:
    """A text and its masked words."""

    text: str
    spans: list[tuple[int, int]] = field(default_factory=list)
    """(start, end) of each masked word, in the order of the text."""

    def shown(self, infilling: Infilling, mask: str, gap: int) -> tuple[str, int]:
        """The text as the model sees it, masks in open gaps, and which of its masks ``gap`` is."""
        filled = dict(infilling.words)
        pieces, last = [], 0
        for place, (start, end) in enumerate(self.spans):
            # a mask token in the data itself is not a gap
            pieces += [self.text[last:start].replace(mask, " "), filled.get(place, mask)]
            last = end
        number = sum(place not in filled for place in range(gap))
        return "".join([*pieces, self.text[last:].replace(mask, " ")]), number

    def written(self, infilling: Infilling) -> str:
        """The text with its filled gaps, and its own words in open ones."""
        filled = dict(infilling.words)
        pieces, last = [], 0
        for place, (start, end) in enumerate(self.spans):
            pieces += [self.text[last:start], filled.get(place, self.text[start:end])]
            last = end
        return "".join([*pieces, self.text[last:]])

    def own_word(self, gap: int) -> str:
        start, end = self.spans[gap]
        return self.text[start:end]


def cased(word: str, own: str) -> str:
    """``word`` with the capitals of the original word."""
    if own.isupper() and len(own) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if own[:1].isupper() else word

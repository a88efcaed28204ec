"""What one answer says of a text's label, read from the log-probabilities of its first token.

A model spreads one answer over many tokens ("A", " A", "(A", "**A"): surface forms that compete for its probability
(Holtzman et al., 2021, arXiv 2104.08315, section 3). They are summed here, where that paper divides by a prior instead;
dividing by a prior is the core's calibration. What is left for other tokens lowers the *coverage*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cod_runner.api import LLMAnswer

MARKS = " \t\r\n\u00a0\u0120\u2581\u010a()[]{}<>*_`\"'“”‘’«».,:;!?#|/\\-–—="
"""What may stand around an answer; with the signs by which tokenizers spell a space and a line break."""
UNKNOWN = -9998.0
"""Providers write -9999 for "less likely than can be said"."""
LARGEST_LOG = 0.01
LARGEST_SUM = 1.02
LEAST_LEFT = 1e-9
LEAST_PIECE = 2
"""Letters of a token that stands for the word it begins; `p` may begin anything."""
RENORMALISED = 1e-4

Reads = Callable[[str], Sequence[int]]
"""The classes that a token may begin to name."""


@dataclass(frozen=True)
class Heard:
    """What was said of one text's label."""

    logs: tuple[float, ...] = ()
    """Log-probability of each class among the classes; () where the answer says nothing."""
    coverage: float = 0.0
    """The share of the answer that is about the classes, before it was divided among them."""
    unclear: float = 0.0
    """The share that may name one class or another."""
    fault: str = ""
    """Why the answer says nothing, or cannot be trusted, in words that follow "it"."""
    first: str = ""
    """The likeliest token."""
    listed: int = 0
    """Tokens with a log-probability."""
    renormalised: bool = False
    """The classes alone are listed and add up to one, so that the coverage says nothing."""


def heard_in(answer: LLMAnswer, reads: Reads, classes: int) -> Heard:
    """What the first token of an answer says."""
    if answer.finish == "content_filter":
        return Heard(fault="refused the text")
    scores = answer.scores[0] if answer.scores else ()
    logs: dict[str, float] = {}
    for token, log in scores:
        if log > UNKNOWN:
            logs[token] = max(log, logs.get(token, -math.inf))
    if not logs:
        return Heard(fault="gives no log-probabilities" if not scores else "gives no usable log-probabilities")
    if max(logs.values()) > LARGEST_LOG:
        return Heard(fault=f"gives log-probabilities that are none: {max(logs.values()):g} is more than 0")
    sizes = {token: math.exp(min(0.0, log)) for token, log in logs.items()}
    total = sum(sizes.values())
    if total > LARGEST_SUM:
        return Heard(fault=f"gives log-probabilities that are none: the probabilities add up to {total:.3g}")
    masses, unclear = [0.0] * classes, 0.0
    for token, size in sizes.items():
        named = reads(token)
        if len(named) == 1:
            masses[named[0]] += size
        elif named:
            unclear += size
    first = max(sizes, key=lambda token: sizes[token])
    covered = sum(masses)
    told = Heard(coverage=covered, unclear=unclear, first=first, listed=len(sizes))
    if covered == 0.0:
        return told
    # what is not listed is at most as likely as the last that is listed, and as all that is left
    least = max(LEAST_LEFT, min(min(sizes.values()), 1.0 - total))
    others = any(not reads(token) for token in sizes)
    return Heard(
        normalised([mass or least for mass in masses]), min(1.0, covered), unclear, "", first, len(sizes),
        renormalised=not others and abs(1.0 - covered) < RENORMALISED,
    )  # fmt: skip


def normalised(masses: Sequence[float]) -> tuple[float, ...]:
    """Logarithms of the masses' shares."""
    total = math.log(math.fsum(masses))
    return tuple(math.log(mass) - total for mass in masses)


def averaged(heard: Sequence[Heard]) -> Heard:
    """What several orders of the labels say together: the mean of their log-probabilities.

    What a model has for a letter, or for the place of a label in the list, adds to the logit, and an average over
    orders takes it out (Zheng et al., 2024, arXiv 2309.03882, section 3.1, who average probabilities over cyclic
    permutations; the mean of logarithms takes out exactly what adds to a logit, and so needs two orders for two
    classes). An order without an answer is left out.
    """
    told = [each for each in heard if each.logs]
    if not told:
        return next((each for each in heard if each.fault), heard[0])
    means = [math.fsum(logs) / len(told) for logs in zip(*(each.logs for each in told), strict=True)]
    return Heard(
        logs=normalised([math.exp(mean) for mean in means]),
        coverage=sum(each.coverage for each in told) / len(told),
        unclear=sum(each.unclear for each in told) / len(told),
        first=told[0].first,
        listed=told[0].listed,
        renormalised=all(each.renormalised for each in told),
    )


def bare(token: str) -> str:
    """A token without what stands around an answer, in small letters."""
    return token.strip(MARKS).casefold()


def reads_letters(letters: Sequence[str]) -> Reads:
    """Tokens that are the letter of a class, whatever stands around it."""
    classes = {letter.casefold(): label for label, letter in enumerate(letters)}

    def reads(token: str) -> Sequence[int]:
        label = classes.get(bare(token))
        return () if label is None else (label,)

    return reads


def reads_words(names: Sequence[str]) -> Reads:
    """Tokens that begin the word of a class; one that begins two of them names both."""
    words = [bare(name) for name in names]

    def reads(token: str) -> Sequence[int]:
        piece = bare(token)
        return [
            label
            for label, word in enumerate(words)
            if piece and word.startswith(piece) and (len(piece) >= LEAST_PIECE or piece == word)
        ]

    return reads

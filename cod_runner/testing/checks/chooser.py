"""The contract of a chooser among candidates."""

from __future__ import annotations

from collections.abc import Sequence

from cod_runner.api import Attempt, Choice, Chooser, Choosing, Example, Input
from cod_runner.testing.checks.calling import check_of
from cod_runner.testing.checks.identity import check_identity
from cod_runner.testing.checks.subject import Subject
from cod_runner.testing.checks.toys import POINTS, TEXTS, CountingTeacher

NESTED = "Chooser.nested: whether a choice depends on the earlier originals at most"
RANK = "Chooser.rank: for each choice, positions of its candidates, the best first, none twice"
SAME = "Chooser.rank: the same choices and seed give the same ranks"
STUDENT = "Choosing.student: probabilities after this many steps on the originals alone, at least 1"
PURE = "Choice: what a chooser is given stays as it is"
QUESTIONS = "Options.questions: about how many texts the teacher is asked for so many originals, at most"


@check_of("chooser")
def check_chooser(subject: Subject) -> None:
    """Positions of candidates that there are, by what it is given and its seed alone."""

    def look(texts: bool) -> None:
        chooser: Chooser = subject.build()
        choices = _choices(texts)
        ranked = _ranked(subject, chooser, choices, texts)
        subject.must(isinstance(chooser.nested, bool), f"has the `nested` {chooser.nested!r}", NESTED)
        subject.must(_ranked(subject, chooser, [], texts) == [], "ranks where there is no choice", RANK)
        for one in (chooser, subject.build()):
            again = _ranked(subject, one, choices, texts)
            subject.must(again == ranked, "ranks the same candidates otherwise when it is asked again", SAME)
        if chooser.nested:
            for count in range(1, len(choices)):
                fewer = _ranked(subject, subject.build(), choices[:count], texts)
                subject.must(
                    fewer == ranked[:count],
                    "says that it is nested, and later originals change its earlier choices",
                    NESTED,
                )
        check_identity(subject, lambda options: _ranked(subject, subject.build(options), choices, texts))

    subject.either_input(look)


def _choices(texts: bool) -> list[Choice]:
    """Originals with none, one and several candidates, as the teacher reads them."""
    teacher = CountingTeacher(texts)
    choices = []
    for number, original in enumerate((TEXTS if texts else POINTS)[:5]):
        changed = [_changed(original, place) for place in range((0, 3, 1, 4, 3)[number])]
        read = zip(changed, teacher.score(changed), strict=True)
        attempts = [
            Attempt(value, "toy", 1, None, said, teacher.distance(original.input, value)[0]) for value, said in read
        ]
        choices.append(Choice(original, tuple(sorted(attempts, key=lambda each: each.edits or 0.0))))
    return choices


def _changed(original: Example, place: int) -> Input:
    if not isinstance(original.input, str):
        x, y = original.input  # type: ignore[misc]
        return (-x * (1 + place / 4), y + place / 3)
    words = original.input.split()
    words[3:3] = ("not", "never ever", "hardly", "no longer the least")[place].split()
    return " ".join(words)


def _ranked(subject: Subject, chooser: Chooser, choices: Sequence[Choice], texts: bool) -> list[list[int]]:
    teacher = CountingTeacher(texts)

    def student(inputs: Sequence[Input], steps: int) -> list[tuple[float, ...]]:
        subject.must(steps >= 1, f"asks for a student after {steps} steps", STUDENT)
        return [(said[0] / 2 + 0.25, said[1] / 2 + 0.25) for said in CountingTeacher(texts).score(inputs)]

    given = list(choices)
    with subject.watched("in `rank`", refusals=True):
        ranked = chooser.rank(given, Choosing(teacher, student, seed=5))
    subject.must(given == list(choices), "changed the choices that it was given", PURE)
    answered = isinstance(ranked, list) and len(ranked) == len(choices)
    subject.must(answered, f"ranks {len(choices)} choices as {ranked!r:.80}", RANK)
    for order, choice in zip(ranked, choices, strict=True):
        right = isinstance(order, list) and all(isinstance(place, int) for place in order)
        within = right and len(set(order)) == len(order) and set(order) <= set(range(len(choice.candidates)))
        subject.must(within, f"ranks {len(choice.candidates)} candidates as {order!r:.80}", RANK)
    allowed, asked = subject.options().questions(len(choices)), len(teacher.asked)
    subject.must(
        allowed is None or asked <= allowed,
        f"asks the teacher about {asked} texts for {len(choices)} originals, and says {allowed}",
        QUESTIONS,
    )
    return ranked

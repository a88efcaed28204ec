"""Texts in, answers out, block by block: what `codrun predict` does between reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from cod_runner.deployment.answering import BLOCK, Decision, Ensemble, decided

Item = TypeVar("Item")
Ask = Callable[[Sequence[str]], list[tuple[float, ...] | None]]
"""What a teacher says of texts: its probabilities, or None where it is not asked."""


@dataclass(frozen=True)
class Prediction:
    """One model's word on one text."""

    label: str
    probability: float
    """Of this label, which is the likeliest one unless a threshold decides."""
    probabilities: tuple[float, ...]
    """In the order of the labels."""


@dataclass(frozen=True)
class Answer:
    """What was said of one text; None: nothing, since the text is empty or the teacher was not asked."""

    text: str
    student: Prediction | None
    teacher: Prediction | None = None


class Predictor:
    """Answers texts in blocks, in their order."""

    def __init__(self, ensemble: Ensemble, decision: Decision | None = None, teacher: Ask | None = None) -> None:
        self.labels = ensemble.labels
        self._ensemble, self._decision, self._teacher = ensemble, decision, teacher
        self.empty = 0
        """Texts without a word, which were given no label."""
        self.unasked = 0
        """Texts about which the teacher was not asked."""

    @property
    def asks_teacher(self) -> bool:
        return self._teacher is not None

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """One for each text, in order."""
        there = [place for place, text in enumerate(texts) if text.strip()]
        self.empty += len(texts) - len(there)
        found: list[Answer] = [Answer(text, None) for text in texts]
        asked = [texts[place] for place in there]
        if not asked:
            return found
        probabilities = self._ensemble.probabilities(asked)
        chosen = decided(probabilities, self._decision)
        said = [None] * len(asked) if self._teacher is None else self._teacher(asked)
        for place, row, label, teacher in zip(there, probabilities.tolist(), chosen.tolist(), said, strict=True):
            prediction = None
            if teacher is not None:
                prediction = self._prediction(max(range(len(teacher)), key=teacher.__getitem__), teacher)
            elif self._teacher is not None:
                self.unasked += 1
            found[place] = Answer(texts[place], self._prediction(label, row), prediction)
        return found

    def _prediction(self, label: int, probabilities: Sequence[float]) -> Prediction:
        return Prediction(self.labels[label], probabilities[label], tuple(probabilities))


def blocks(items: Iterable[Item], size: int = BLOCK) -> Iterator[list[Item]]:
    """The items in lists of ``size``, the last one shorter."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block


@dataclass(frozen=True)
class NewColumns:
    """The names of the columns that answers add to a row."""

    predicted: str
    probability: str
    each: tuple[str, ...]
    """Of the probability of each label."""
    teacher: tuple[str, str] | None
    """The teacher's label and its probability; None where it is not asked."""

    @property
    def names(self) -> list[str]:
        """In their order."""
        return [self.predicted, self.probability, *self.each, *(self.teacher or ())]

    def cells(self, answer: Answer) -> dict[str, Any]:
        """What an answer puts into them; None where nothing was said."""
        student, values = answer.student, dict.fromkeys(self.names)
        if student is not None:
            shown = [student.label, student.probability, *student.probabilities]
            values |= dict(zip([self.predicted, self.probability, *self.each], shown, strict=True))
        if self.teacher is not None and answer.teacher is not None:
            values |= dict(zip(self.teacher, (answer.teacher.label, answer.teacher.probability), strict=True))
        return values


def new_columns(labels: Sequence[str], taken: Iterable[str], teacher: bool) -> tuple[NewColumns, str]:
    """(names that none of the columns ``taken`` has, a sentence on those that had to be changed, or "")."""
    used, changed = set(taken), []

    def free(name: str) -> str:
        chosen, number = name, 2
        while chosen in used:
            chosen, number = f"{name}_{number}", number + 1
        if chosen != name:
            changed.append((name, chosen))
        used.add(chosen)
        return chosen

    columns = NewColumns(
        free("predicted"),
        free("probability"),
        tuple(free(f"probability_{label}") for label in labels),
        (free("teacher"), free("teacher_probability")) if teacher else None,
    )
    there, instead = (", ".join(f"`{pair[side]}`" for pair in changed) for side in (0, 1))
    return columns, f"the file has {there} already, so the new columns are called {instead}" if changed else ""


def as_json(answer: Answer, labels: Sequence[str], teacher: bool) -> dict[str, Any]:
    """An answer as ``--json`` prints it; with the teacher's, where it was wanted."""

    def prediction(said: Prediction | None) -> Mapping[str, Any]:
        if said is None:
            return {"label": None, "probabilities": None}
        return {"label": said.label, "probabilities": dict(zip(labels, said.probabilities, strict=True))}

    asked = {"teacher": prediction(answer.teacher)} if teacher else {}
    return {"text": answer.text, **prediction(answer.student), **asked}

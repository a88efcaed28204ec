"""What components give back, checked where it enters the core: one sentence each, which names the component.

What losses and classifiers give back, tensors, the engine checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cod_runner.api import Answering, Example, Input, Kind, LoadedData, Mixture, Proposal, Workers
from cod_runner.errors import WrongResult
from cod_runner.plain_text import one_line

UNLABELLED = -1
"""Stands for a label that is not public, as in GLUE's test sets."""
LONGEST_SHOWN = 80
"""Characters of a wrong value that a sentence quotes."""
BUILT: Mapping[Kind, tuple[str, ...]] = {
    "loss": ("bind", "forward", "parameters", "to"),
    "student": ("encode", "collate", "forward", "compact", "save", "load", "labels", "shape"),
    "dataset": ("load",),
    "generator": ("propose", "rounds"),
    "selector": ("rank", "nested"),
    "chooser": ("rank", "nested"),
    "executor": ("map",),
    "exporter": ("export",),
    "metric": ("__call__",),
    "cfe_measure": ("__call__", "title"),
}
"""What is asked of everything that a kind's ``build`` returns; of a teacher see :data:`OF_A_NETWORK`."""
OF_A_NETWORK = ("labels", "fingerprint", "encode", "collate", "forward", "compact", "save", "load", "shape")
OF_A_SCORER = ("labels", "fingerprint", "at_once", "score", "price")
"""Of a teacher that only answers."""
OF_STATES = ("shape", "states")
"""Of one that offers hidden states besides."""


def described(value: object) -> str:
    """A value and its type, on one short line."""
    try:
        text = one_line(repr(value))
    except Exception:  # noqa: BLE001 - it is a stranger's code
        text = "something that cannot be shown"
    shortened = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
    return "None" if value is None else f"`{shortened}` ({type(value).__name__})"


def check_built(kind: Kind, named: str, built: Any, answering: Answering | None = None) -> None:
    """Raise :class:`WrongResult` where what ``build`` returned lacks what its kind must have; ``answering`` is what a
    teacher's options say of one that only answers."""
    fault = fault_of_built(kind, built, answering)
    if fault is not None:
        raise WrongResult(f"{named}: {fault}")
    if kind == "generator" and not _is_whole(built.rounds):
        raise WrongResult(f"{named}: its `rounds` is {described(built.rounds)}, and must be a whole number from 1")


def fault_of_built(kind: Kind, built: Any, answering: Answering | None = None) -> str | None:
    """What is missing in what ``build`` returned, as the end of a sentence; None where all is there."""
    if hasattr(type(built), "register_parameter") and "_parameters" not in vars(built):
        return "its `__init__` does not call `super().__init__()`, which every nn.Module must"
    needing, wanted = f"every {kind}", BUILT.get(kind, ())
    if kind == "teacher":
        needing, wanted = _wanted_of_a_teacher(built, answering)
    if _has(built, "fit"):  # one that trains itself is never cut
        wanted = tuple(name for name in wanted if name != "compact")
    for name in wanted:
        there = callable(built) if name == "__call__" else _has(built, name)
        if not there:
            what = "it cannot be called" if name == "__call__" else f"it has no `{name}`"
            return f"`build` returned {described(built)}, and {what}, which {needing} needs"
    return None


def _wanted_of_a_teacher(built: object, answering: Answering | None) -> tuple[str, tuple[str, ...]]:
    """Who needs what. That a network's options speak of a label scorer, or the other way round, is said elsewhere."""
    if _has(built, "encode") or (answering is None and not _has(built, "score")):
        return "every teacher", OF_A_NETWORK
    if answering is not None and answering.hidden_states and all(_has(built, name) for name in OF_A_SCORER):
        return "every teacher whose options say that it offers hidden states", OF_STATES
    return "every teacher that only answers", OF_A_SCORER


def _has(built: object, name: str) -> bool:
    """Looks into the class first: a property, such as a fingerprint, may take long to ask."""
    return hasattr(type(built), name) or hasattr(built, name)


def _is_whole(rounds: object) -> bool:
    return isinstance(rounds, int) and not isinstance(rounds, bool) and rounds >= 1


def fault_of_workers(workers: object) -> str | None:
    """What is wrong with what an executor's ``workers`` gave, as the end of a sentence; None where it will do."""
    import torch

    if not isinstance(workers, Workers):
        return f"`workers` returned {described(workers)}, and must return a Workers"
    if not _is_whole(workers.at_once):
        return f"`workers` chose {described(workers.at_once)} at once, and must choose a whole number from 1"
    try:
        torch.device(workers.device)
    except (RuntimeError, TypeError):
        return f"`workers` chose the device {described(workers.device)}, and must choose one by torch's name for it"
    return None


def check_data(named: str, data: object) -> LoadedData:
    """What a data set's ``load`` returned, if it keeps to the contract: label names, examples, each id once."""

    def wrong(what: str) -> WrongResult:
        return WrongResult(f"{named}: `load` returned {what}")

    if not isinstance(data, LoadedData):
        raise wrong(f"{described(data)}, and must return a LoadedData")
    if isinstance(data.labels, str) or not all(isinstance(label, str) for label in data.labels):
        raise wrong(f"the labels {described(data.labels)}, which must be names")
    if len(set(data.labels)) < len(data.labels):
        raise wrong(f"the labels {described(data.labels)}, of which two are equal")
    if not isinstance(data.splits, Mapping):
        raise wrong(f"splits that are {described(data.splits)}, and must map each name to examples")
    for split, rows in data.splits.items():
        if isinstance(rows, str) or not isinstance(rows, Sequence):
            raise wrong(f"the split `{split}` as {described(rows)}, which must be a sequence of examples")
        _check_rows(rows, len(data.labels), f"{named}: `load` returned in the split `{split}`")
    return data


def _check_rows(rows: Sequence[Any], classes: int, returned: str) -> None:
    def wrong(what: str) -> WrongResult:
        return WrongResult(f"{returned} {what}")

    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, Example):
            raise wrong(f"{described(row)}, which is not an Example")
        if not isinstance(row.id, str):
            raise wrong(f"an example with the id {described(row.id)}, which must be a text")
        if row.id in seen:
            raise wrong(f"two examples with the id {described(row.id)}; each needs one of its own")
        seen.add(row.id)
        if not is_input(row.input):
            raise wrong(
                f"the example {described(row.id)} with the input {described(row.input)}, which must be a text or a "
                "tuple of numbers"
            )
        label = row.label
        if label is not None and (isinstance(label, bool) or not isinstance(label, int)):
            raise wrong(f"the example {described(row.id)} with the label {described(label)}, which must be a class id")
        if label is not None and not UNLABELLED <= label < classes:
            raise wrong(
                f"the example {described(row.id)} with the label {label}, and class ids go from 0 to {classes - 1} "
                "(None where there is no label)"
            )


def is_input(value: object) -> bool:
    """Whether it is what a teacher or student may read; see :data:`Input`."""
    if isinstance(value, tuple):
        return all(type(number) in (float, int) for number in value)
    return isinstance(value, str | Mixture)


def check_proposals(named: str, given: Any, requests: int, like: Input) -> Sequence[Sequence[Proposal]]:
    """What a generator's ``propose`` returned, if there is a list of proposals for each request; inputs are of the
    sort of ``like``, texts or vectors."""

    def wrong(what: str) -> WrongResult:
        return WrongResult(f"{named}: `propose` returned {what}")

    if not _is_list(given):
        raise wrong(f"{described(given)}, and must return a list, empty or not, for each request")
    if len(given) != requests:
        raise wrong(f"{len(given)} lists for {requests} requests, and must return one, empty or not, for each")
    for offered in given:
        if not _is_list(offered):
            raise wrong(f"{described(offered)} for a request, and must return a list of proposals for it, empty or not")
        for proposal in offered:
            if not isinstance(proposal, Proposal):
                raise wrong(f"{described(proposal)} among its proposals, which is not a Proposal")
            if not is_input(proposal.input) or (isinstance(like, tuple) and not _is_vector(proposal.input, like)):
                wanted = f"a tuple of {len(like)} numbers" if isinstance(like, tuple) else "a text"
                raise wrong(f"a Proposal of {described(proposal.input)}, and it must be {wanted}")
            if isinstance(proposal.tier, bool) or not isinstance(proposal.tier, int):
                raise wrong(f"a Proposal with the tier {described(proposal.tier)}, which must be a whole number")
            if proposal.usd is not None and not _is_number(proposal.usd):
                raise wrong(f"a Proposal that cost {described(proposal.usd)}, which must be a number, or None")
    checked: Sequence[Sequence[Proposal]] = given
    return checked


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_vector(value: Input, like: tuple[float, ...]) -> bool:
    return isinstance(value, tuple) and len(value) == len(like)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_ranking(named: str, ranked: Any, rows: int) -> Sequence[int]:
    """A selector's order, if it holds every position once."""
    if not _is_list(ranked) and not hasattr(ranked, "__array__"):
        raise WrongResult(f"{named}: `rank` returned {described(ranked)}, and must return every position once")
    wrong = [place for place in ranked if not _is_position(place, rows)]
    if wrong:
        raise WrongResult(
            f"{named}: `rank` returned the position {described(wrong[0])}, and those of {rows:,} rows are whole "
            f"numbers from 0 to {rows - 1:,}"
        )
    if len(ranked) != rows or len(set(ranked)) != rows:
        raise WrongResult(
            f"{named} ranked {len(set(ranked)):,} of {rows:,} rows: a bug in its plugin, which must return every "
            "position once"
        )
    return [int(place) for place in ranked]


def _is_position(place: Any, rows: int) -> bool:
    try:
        return int(place) == place and 0 <= place < rows and not isinstance(place, bool)
    except (TypeError, ValueError, OverflowError):
        return False


def check_choices(named: str, ranked: Any, candidates: Sequence[int]) -> Sequence[Sequence[int]]:
    """A chooser's orders, one for each choice, if they hold positions of its ``candidates`` (how many there are), none
    twice."""
    if not _is_list(ranked) or len(ranked) != len(candidates) or not all(map(_is_list, ranked)):
        raise WrongResult(
            f"{named}: `rank` returned {described(ranked)}, and must return a list for each of the {len(candidates)} "
            "choices"
        )
    for order, size in zip(ranked, candidates, strict=True):
        wrong = [place for place in order if not _is_position(place, size)]
        if wrong or len(set(order)) < len(order):
            what = f"a position, {described(wrong[0])}, that there is not" if wrong else "a position twice"
            raise WrongResult(
                f"{named} ranked {what}: a bug in its plugin, which must return positions of each choice's candidates, "
                f"here of {size}"
            )
    return [[int(place) for place in order] for order in ranked]


def check_metric(named: str, value: Any) -> float:
    """What a metric returned as a number; it may not be one, as in NaN."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise WrongResult(f"{named} returned {described(value)}, and must return a number") from None


def check_measures(named: str, values: Any, pairs: int) -> list[float | None]:
    """What a measure of counterfactuals returned, if it is a number, or None, for each pair."""
    if not _is_list(values):
        raise WrongResult(f"{named} returned {described(values)}, and must return a value for each pair")
    if len(values) != pairs:
        raise WrongResult(f"{named} gave {len(values)} values for {pairs} pairs")
    return [None if value is None else _finite(named, value) for value in values]


def _finite(named: str, value: Any) -> float:
    number = check_metric(named, value)
    if not math.isfinite(number):
        raise WrongResult(f"{named} returned {described(value)}, and must return finite numbers, or None")
    return number

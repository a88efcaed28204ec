"""What cannot work in a recipe although every key and value is allowed by itself.

The checks read the tree, not the validated recipe, so that they also report where something else is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cod_runner.api import TrainSettings
from cod_runner.errors import Fault
from cod_runner.plain_text import shortened
from cod_runner.recipe.arms import COD, CONTROL, DEFAULT_ARMS, PLAIN, STANDARD, Arm
from cod_runner.recipe.balance import imbalance
from cod_runner.recipe.expectation import CELL_NUMBERS, CFE_MEASURES, Expectation
from cod_runner.recipe.grammar import Recipe
from cod_runner.recipe.messages import LONGEST_SENTENCE, nearest, quoted
from cod_runner.recipe.nodes import Items, Mapping, Node, Place, Scalar, at, is_null, plain, text_of
from cod_runner.recipe.overlays import as_component

RESULT_KEYS = frozenset({
    "key", "method", "arm", "k", "seed", "steps", "training_rows", "labelled", "added", "unlabelled", "teacher_queries",
    "embedded", "generator_calls", "usd", "teacher_usd", "redrawn", "yield", "teacher_disagrees_with_gold", "losses",
    "held_out_rows", "held_out_accuracy", "held_out_loss", "temperature", "calibration_error", "calibrated_error",
    "select", "precision", "device", "train_seconds", "seconds",
})  # fmt: skip
"""What codrun itself writes into a line of cells.jsonl, beside the metrics: :data:`cod_runner.runs.records.FIELDS`."""


@dataclass(frozen=True)
class Domain:
    """The cells and metrics that a recipe has: what an expectation can be about."""

    methods: frozenset[str] = frozenset()
    arms: frozenset[str] = frozenset()
    ks: frozenset[int] = frozenset()
    metrics: frozenset[str] = frozenset()
    cfes: bool = False
    """Whether some arm adds what the section `counterfactuals` searches."""

    def __or__(self, other: Domain) -> Domain:
        return Domain(
            self.methods | other.methods,
            self.arms | other.arms,
            self.ks | other.ks,
            self.metrics | other.metrics,
            self.cfes or other.cfes,
        )

    def holds(self, expectation: Expectation) -> bool:
        """Whether all cells of an expectation are among these."""
        if expectation.cfes is not None:
            return self.cfes
        return expectation.number in {*self.metrics, *CELL_NUMBERS} and all(
            each.method in self.methods and each.arm in self.arms and each.k in self.ks for each in expectation.cells
        )


def domain_of(tree: Mapping) -> Domain:
    """The domain of a recipe, as far as it can be read."""
    methods = tree.get("methods")
    metrics = (as_component(item) for item in _items(tree, "evaluate", "metrics"))
    arms = _arms(tree)
    return Domain(
        frozenset(methods.entries) if isinstance(methods, Mapping) else frozenset(),
        frozenset(arms),
        frozenset(value for item in _items(tree, "k") if (value := _whole_number(item)) is not None and value >= 2),
        frozenset(name for each in metrics if isinstance(each, Mapping) and (name := text_of(each.get("use")))),
        any(arm.uses_section for arm in arms.values()),
    )


def check_sense(tree: Mapping, options: Dict[Place, Dict[str, Any]], domain: Domain) -> list[Fault]:
    """Every fault of the recipe as a whole. ``options`` are the validated ones by place; ``domain`` is what
    expectations may refer to."""
    labels = _labels(tree, options)
    checks = (
        _balance(tree, labels), _groups(tree), _targets(tree, labels), _failures(tree), _metrics(tree),
        _folds(tree), _budgets(tree), _expectations(tree, domain),
    )  # fmt: skip
    return [fault for check in checks for fault in check]


def _items(tree: Node, *place: str) -> tuple[Node, ...]:
    node = at(tree, place)
    return node.items if isinstance(node, Items) else ()


def _whole_number(node: Node | None) -> int | None:
    value = node.value if isinstance(node, Scalar) and not node.broken else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _arms(tree: Mapping) -> dict[str, Arm]:
    """The arms by name, as far as they can be read."""
    node = tree.get("arms")
    if node is None:
        return {name: STANDARD[name] for name in DEFAULT_ARMS}
    if isinstance(node, Items):
        return {name: STANDARD[name] for item in node.items if (name := text_of(item)) in STANDARD}
    arms: dict[str, Arm] = {}
    for name, entry in node.entries.items() if isinstance(node, Mapping) else ():
        try:
            arms[name] = Arm.model_validate(plain(entry.node) or {})
        except ValidationError:
            continue  # the grammar reports what is wrong
    return arms


def _arm_node(tree: Mapping, name: str) -> Node:
    """Where an arm is named."""
    node = tree.get("arms")
    if isinstance(node, Mapping) and name in node.entries:
        return node.entries[name].node
    return next((item for item in _items(tree, "arms") if text_of(item) == name), tree)


def _labels(tree: Mapping, options: Dict[Place, Dict[str, Any]]) -> list[str]:
    """The label names that the data set declares (see ``Dataset``); empty where only the data will tell."""
    declared = options.get(("dataset",), {}).get("labels")
    if declared is None:
        return []
    return [each for each in declared if isinstance(each, str)] if isinstance(declared, list) else []


def _balance(tree: Mapping, labels: list[str]) -> Iterator[Fault]:
    """k must be divisible by the classes, and where arms add something into whole groups of each class."""
    arms = _arms(tree)
    for item in _items(tree, "k") if arms else ():
        k = _whole_number(item)
        fault = None if k is None or k < 2 else imbalance(k, len(labels) or None, arms)
        if fault is not None:
            yield item.mark.fault(shortened(fault, LONGEST_SENTENCE))


def _groups(tree: Mapping) -> Iterator[Fault]:
    """What an arm that adds something needs: whatever makes it, and batches that hold whole groups."""
    arms = _arms(tree)
    unknown = set(tree.entries) - set(Recipe.model_fields)
    needing = next((name for name, arm in arms.items() if arm.uses_section), None)
    if (
        needing is not None
        and tree.get("counterfactuals") is None
        and not difflib.get_close_matches("counterfactuals", unknown, 1)
    ):
        cure = "; add them, or set `arms: [plain]`" if needing == COD else ""
        yield _arm_node(tree, needing).mark.fault(f"the arm `{needing}` needs `counterfactuals`{cure}")
    copying = next((name for name, arm in arms.items() if CONTROL in arm.add), None)
    if copying is not None and tree.get("control") is None:
        yield _arm_node(tree, copying).mark.fault(f"the arm `{copying}` needs `control`, the generator of its copies")
    batch = at(tree, ("train", "batch_size"))
    size = TrainSettings().batch_size if batch is None else _whole_number(batch)
    paired = {name: arm for name, arm in arms.items() if arm.of == "own"}  # others' counterfactuals stand alone
    uneven = next((name for name, arm in paired.items() if size and size > 0 and size % arm.group), None)
    if uneven is not None:
        group = arms[uneven].group
        must, whole = ("even", "pairs") if group == 2 else (f"a multiple of {group}", f"groups of {group}")
        node = _arm_node(tree, uneven) if batch is None else batch
        yield node.mark.fault(
            f"`train.batch_size` must be {must}, not {size}: a batch of the arm `{uneven}` holds whole {whole}"
        )


def _targets(tree: Mapping, labels: list[str]) -> Iterator[Fault]:
    """``target: fixed`` and ``targets`` belong together, and name labels."""
    target, targets = at(tree, ("counterfactuals", "target")), at(tree, ("counterfactuals", "targets"))
    fixed = text_of(target) == "fixed"
    if not isinstance(targets, Mapping) or not targets.entries:
        if fixed and target is not None and (targets is None or isinstance(targets, Mapping)):
            yield target.mark.fault("`target: fixed` needs `targets`, a mapping of each label to the one to flip to")
        return
    if not fixed:
        mark = at(tree, ("counterfactuals",)).entries["targets"].key  # type: ignore[union-attr]
        yield mark.fault("`targets` has an effect only with `target: fixed`")
        return
    for label, entry in targets.entries.items():
        goal = text_of(entry.node)
        if labels and label not in labels:
            yield entry.key.fault(f"{quoted(label)} is not a label{nearest(label, labels)}")
        if goal is not None and labels and goal not in labels:
            yield entry.node.mark.fault(f"{quoted(goal)} is not a label{nearest(goal, labels)}")
        if goal == label:
            yield entry.node.mark.fault(f"{quoted(label)} cannot be flipped to itself")
    absent = [label for label in labels if label not in targets.entries]
    if absent:
        yield targets.mark.fault(f"`targets` has no entry for {', '.join(quoted(each) for each in absent)}")


def _failures(tree: Mapping) -> Iterator[Fault]:
    verify, failure = at(tree, ("counterfactuals", "verify")), at(tree, ("counterfactuals", "on_failure"))
    off = isinstance(verify, Scalar) and verify.value is False
    if off and failure is not None and text_of(failure) == "keep_unverified":
        yield failure.mark.fault(
            "`on_failure: keep_unverified` has no effect with `verify: false`, which accepts every answer"
        )
    for name, arm in _arms(tree).items() if off else ():
        if arm.adds_flips and arm.per_original > 1:
            yield _arm_node(tree, name).mark.fault(
                f"with `verify: false` the first answer is taken, so the arm {quoted(name)} cannot have "
                f"{arm.per_original} of each original"
            )


def _metrics(tree: Mapping) -> Iterator[Fault]:
    """A metric is a key of a line of cells.jsonl, so it can be listed once, and under no name that codrun uses."""
    seen: set[str] = set()
    for item in _items(tree, "evaluate", "metrics"):
        component = as_component(item)
        name = text_of(component.get("use")) if isinstance(component, Mapping) else None
        if name is not None and name in seen:
            yield item.mark.fault(f"the metric {quoted(name)} is listed twice")
        if name in RESULT_KEYS:
            yield item.mark.fault(
                f"the metric {quoted(name)} has the name of a key that codrun itself writes into cells.jsonl; its "
                "plugin must give it another name"
            )
        seen.add(name or "")


def _folds(tree: Mapping) -> Iterator[Fault]:
    rows = at(tree, ("evaluate", "rows"))
    if at(tree, ("evaluate", "folds")) is not None and rows is not None:
        yield rows.mark.fault("`rows` leaves rows unmeasured, and `folds` measures every row once; remove one of them")


def _budgets(tree: Mapping) -> Iterator[Fault]:
    """One budget holds for the whole run, wherever it stands."""
    here, below = tree.get("budget"), at(tree, ("counterfactuals", "budget"))
    if here is not None and below is not None:
        yield below.mark.fault("`budget` already bounds the whole run, counterfactuals included; remove this one")


def _expectations(tree: Mapping, domain: Domain) -> Iterator[Fault]:
    """An expectation must be about cells that the recipe has; a recipe without any has a fault of its own."""
    for item in _items(tree, "expect"):
        if not isinstance(item, Mapping):
            continue
        for key in ("metric", "gain", "ratio"):
            yield from _unknown_number(item.get(key), domain)
        over = item.get("over")
        for cells in (item, over) if isinstance(over, Mapping) else (item,):
            yield from _unknown(cells.get("method"), "method", domain.methods)
            yield from _unknown(cells.get("arm"), "arm", domain.arms)
            yield from _unknown_k(cells.get("k"), domain.ks)
        yield from _unknown(over, "arm", domain.arms)
        yield from _unnamed_arms(item, domain)
        cfes = item.get("cfes")
        if text_of(cfes) is not None and cfes is not None and domain.arms and not domain.cfes:
            yield cfes.mark.fault(
                "the recipe searches no counterfactuals: no arm adds `flips` or `misses`; add the arm "
                f"`{COD}`, or remove the entry"
            )


def _unknown(node: Node | None, what: str, names: frozenset[str]) -> Iterator[Fault]:
    name = text_of(node)
    if node is not None and name is not None and names and name not in names:
        yield node.mark.fault(f"the recipe has no {what} {quoted(name)}{nearest(name, names)}")


def _unknown_number(node: Node | None, domain: Domain) -> Iterator[Fault]:
    """A number is a metric of the recipe, or one that every line of cells.jsonl may have."""
    name = text_of(node)
    if node is None or name is None or not domain.metrics or name in domain.metrics or name in CELL_NUMBERS:
        return
    if name in CFE_MEASURES:
        yield node.mark.fault(f"`{name}` is a measure of the counterfactuals; write `cfes: {name}`, without cells")
        return
    known = {*domain.metrics, *CELL_NUMBERS}
    hint = nearest(name, known if difflib.get_close_matches(name, known, 1) else domain.metrics)
    yield node.mark.fault(f"the recipe has no metric {quoted(name)}{hint}")


def _unknown_k(node: Node | None, ks: frozenset[int]) -> Iterator[Fault]:
    k = _whole_number(node)
    if k is not None and node is not None and k >= 1 and ks and k not in ks:
        yield node.mark.fault(f"the recipe has no k of {k}; there are: {', '.join(map(str, sorted(ks)))}")


def _unnamed_arms(item: Mapping, domain: Domain) -> Iterator[Fault]:
    """A gain or a ratio that leaves its arms to the defaults needs these."""
    defaults = {"arm": COD, "over": PLAIN}
    unnamed = {name for key, name in defaults.items() if item.get(key) is None or is_null(item.get(key))}
    for key in ("gain", "ratio"):
        node = item.get(key)
        if node is not None and text_of(node) is not None and domain.arms and unnamed - domain.arms:
            yield node.mark.fault(
                f"`{key}` compares the arms `{COD}` and `{PLAIN}` unless `arm` and `over` name others, so the recipe "
                "needs both arms"
            )

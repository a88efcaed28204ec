"""A plugin's declaration of a component, and what a component is given when it is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cod_runner.llm.budget import Spending

if TYPE_CHECKING:
    from cod_runner.api.classifiers import Classifier
    from cod_runner.api.data import Example
    from cod_runner.api.options import Options
    from cod_runner.kinds import Kind


@dataclass(frozen=True)
class Component:
    """A plugin's declaration of one thing that a recipe can name with ``use:``.

    ``options`` validates and documents the keys next to ``use``, and says what must be known before the component is
    built (see :class:`Options`). ``build`` is ``"module:attribute"``, imported when needed and called as
    ``build(options, context)``.
    """

    kind: Kind
    name: str
    options: type[Options]
    build: str
    summary: str
    version: int = field(default=1, kw_only=True)
    """Raise it when the component's results change with equal options: keys are made of its name, version and
    ``options.identity()``, never of its code, so without a higher number finished cells, stored pairs, fitted losses
    and teachers of the old code are taken for those of the new one."""
    title: str = field(default="", kw_only=True)
    """For metrics: the heading of its table; by default its name."""
    higher_is_better: bool = field(default=True, kw_only=True)
    """For metrics: whether a larger value is the better one."""
    reopen: str = field(default="", kw_only=True)
    """``"module:attribute"``, imported when needed. For students, called as ``reopen(folder, context)``: the
    :class:`Classifier` that ``save`` wrote there, its labels in the order of its logits, without recipe or teacher;
    absent: the student is built as for its recipe, and loads the folder. For exporters, called likewise: the
    :class:`Answerer` that ``export`` wrote there."""


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built. Fields that do not apply to a kind keep their defaults."""

    folder: Path = Path()
    """What names of files in the options are relative to; a recipe's are resolved already."""
    labels: tuple[str, ...] = ()
    """The names of the classes, in the order of their ids."""
    describe: str = ""
    """The recipe's ``describe:`` line, one sentence on what the task is."""
    device: str = "cpu"
    """A device of torch's: what is built may be made there, and is moved there in any case. For executors: that of the
    run."""
    seed: int = 0
    """Where a component draws, it draws from this (and from what its options say), never from the generators that the
    process shares, so that its results depend on no other component."""
    offline: bool = False
    """Nothing may be reached over a network: what is not on this machine is a :class:`CodrunError` that says so."""
    teacher: Callable[[], Classifier] | None = None
    """For students that are cut from their teacher: loads it, once it is asked for."""
    pool: Sequence[Example] = ()
    """For generators: the training pool, never the evaluation split. For selectors and choosers the same without its
    labels."""
    unlabelled: Sequence[Example] = ()
    """For generators: rows of the data that have no label, beside the pool."""
    shots: Sequence[Example] = ()
    """For teachers that only answer: the labelled rows of their prompt, in the order in which it shows them."""
    store: Path | None = None
    """For teachers, selectors, generators and choosers: the store's root, for what is worth keeping between runs; paid
    answers go into ``Ledger.of_store(store)``."""
    say: Callable[[str], None] = lambda sentence: None
    """Tells the user one sentence (a warning or a note)."""
    run: Path | None = None
    """For trackers: the run's folder, in the run's own process and in workers alike. For executors: the
    same, where one may keep what its workers need, in a folder of its own name."""
    tell: Callable[[str], None] = lambda line: None
    """Shows a few words on what happens now beside the bar that is running; "" takes them away."""
    spending: Spending | None = None
    """For teachers and generators that call paid models: the run's budget and meter, shared by all of them."""
    cell_bytes: int | None = None
    """For executors: about how much memory one cell takes at most; None where it is unknown."""
    processes: int = 1
    """For teachers: how many processes hold one each, to fine-tune it together or to answer."""

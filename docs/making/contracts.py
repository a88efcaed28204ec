"""A page per kind of component: its contract, what it is given, what its options may say, and what there is of it."""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cod_runner import api, word_edits
from cod_runner.api import Component, Kind, Options, classifiers, hooks, inputs, options, quantities
from cod_runner.cli.option_types import described
from cod_runner.registry import Registry
from cod_runner.scaffold.new_plugin import new_plugin
from cod_runner.testing.checks import CHECKS, declaration, identity, network, scorer, subject
from making.text import autodoc, code, table

CONTRACTS: dict[Kind, tuple[str, ...]] = {
    "dataset": ("Dataset", "LoadedData", "Example"),
    "teacher": (
        "LabelScorer",
        "HiddenStateScorer",
        "Answering",
        "CallEstimate",
        "Classifier",
        "Encoded",
        "Outputs",
        "Attribution",
        "VocabularyCut",
        "WordVectors",
        "EmbeddingStep",
        "ShapeEstimate",
        "ModelShape",
        "Kept",
    ),
    "student": (
        "Classifier",
        "Encoded",
        "Outputs",
        "Attribution",
        "VocabularyCut",
        "TrainsItself",
        "OwnTraining",
        "WordVectors",
        "GradientCheckpointing",
        "ShapeEstimate",
        "ModelShape",
    ),
    "selector": ("Selector", "Selection"),
    "generator": ("Generator", "Request", "Attempt", "Proposal", "TeacherView", "CallEstimate"),
    "chooser": ("Chooser", "Choosing", "Choice"),
    "loss": ("Loss", "Needs", "Batch", "Outputs", "Binding", "BatchSource", "ModelShape"),
    "metric": ("Metric", "Predictions"),
    "cfe_measure": ("CfeMeasure",),
    "executor": ("Executor", "ChoosesWorkers", "Workers", "EndsEarlierCalls", "TaskAttempts", "ClusterRequest"),
    "tracker": (),
    "exporter": ("Exporter", "ExportRequest", "ExportReport", "Answerer"),
}
"""The names of ``cod_runner.api`` that a page documents; a tracker's contract is the hooks."""
GIVEN: dict[Kind, tuple[str, ...]] = {
    "dataset": ("offline", "say", "tell"),
    "teacher": ("labels", "describe", "device", "seed", "offline", "shots", "store", "say", "tell", "spending"),
    "student": ("labels", "describe", "device", "seed", "offline", "teacher", "say"),
    "selector": ("labels", "describe", "device", "offline", "pool", "unlabelled", "store", "say", "tell"),
    "generator": ("labels", "describe", "offline", "pool", "unlabelled", "store", "say", "tell", "spending"),
    "chooser": ("labels", "describe", "device", "offline", "pool", "unlabelled", "store", "say", "tell"),
    "loss": ("labels", "device", "seed"),
    "metric": ("labels", "describe"),
    "cfe_measure": ("device", "offline", "say"),
    "executor": ("cell_bytes", "device", "run", "say"),
    "tracker": ("offline", "run", "say"),
    "exporter": ("labels", "describe", "offline", "say"),
}
"""The fields of a BuildContext that a component of a kind is given; the others keep their defaults."""
CLAUSE = re.compile(r"[A-Z][\w.]*: ")
"""How a clause of a contract begins, as in ``Loss.forward: ...``."""
MARKERS = {
    "Kind": "The name of a kind, one of `KINDS`.",
    "hookimpl": "Marks a function or method as the implementation of the hook of its name.",
    "hookspec": "Marks a hook's declaration; codrun's own are all there are.",
}
"""What the source says in no docstring."""
CALLED = {"Metric", "CfeMeasure"}
"""Contracts that are called."""
BESIDE = {"teacher": (network, scorer), "student": (network,)}
"""Modules of checks that a kind needs besides its own."""
PLURALS: dict[Kind, str] = {kind: f"{kind}s" for kind in CONTRACTS} | {"loss": "losses"}


def shown_name(kind: Kind) -> str:
    """``cfe_measure`` as words."""
    return kind.replace("_", " ").replace("cfe", "CFE")


def kind_page(kind: Kind, registry: Registry) -> str:
    """All that the author of a component of this kind must know."""
    parts = [f"# {shown_name(kind).capitalize() if kind != 'cfe_measure' else 'CFE measure'}\n"]
    parts += ["## Start one\n", *_scaffold(kind)]
    parts += ["## The contract\n", _contract(kind)]
    parts += ["## What `build` is given\n", _given(kind)]
    parts += ["## What its options may say\n", _methods(kind)]
    parts += ["## Check it\n", *_checks(kind)]
    parts += ["## Those that codrun brings\n", *_installed(kind, registry)]
    return "\n".join(parts)


def api_page() -> str:
    """Everything that a plugin may import, each name once."""
    documented = [_directive(name) for name in api.__all__ if _is_documented(name)]
    constants = [(f"`{name}`", _told(name)) for name in api.__all__ if not _is_documented(name)]
    return (
        "# Everything that a plugin may import\n\n"
        "`cod_runner.api` is the only module of codrun that a plugin imports. What matters to a component of one kind "
        "stands together on [the page of its kind](kinds/index.md).\n\n"
        + table(("name", "what it is"), constants)
        + "\n"
        + autodoc(*documented)
    )


def _is_documented(name: str) -> bool:
    value = getattr(api, name)
    return inspect.isclass(value) or inspect.isfunction(value)


def _told(name: str) -> str:
    """A constant's value, or what stands below it in the source."""
    value = getattr(api, name)
    if isinstance(value, tuple | str):
        return f"`{value!r}`"
    for module in (hooks, inputs, options, quantities, classifiers, word_edits):
        found = re.search(rf'^{name}\b(?:: \w+)? = (.*)\n"""([^"]*)"""', inspect.getsource(module), re.MULTILINE)
        if found:
            return f"`{found[1]}`: {_as_markdown(found[2])}"
    return MARKERS[name]


def _as_markdown(text: str) -> str:
    """A docstring without reStructuredText's roles."""
    return re.sub(r":\w+:`", "`", " ".join(text.split()))


def _directive(name: str) -> str:
    value = getattr(api, name)
    if inspect.isclass(value):
        called = "   :special-members: __call__\n" if name in CALLED else ""
        return f".. autoclass:: cod_runner.api.{name}\n{called}"
    return f".. autofunction:: cod_runner.api.{name}\n"


def _apart(*directives: str) -> list[str]:
    """Directives whose names stand in the index elsewhere: several pages show them."""
    return [f"{directive.rstrip()}\n   :no-index:\n" for directive in directives]


def _scaffold(kind: Kind) -> Iterator[str]:
    name = f"my-{kind.replace('_', '-')}"
    if kind == "teacher":
        yield "For one that only answers, a rule or a language model, see [its own page](../../answering.md).\n"
    yield f"`codrun new plugin {name} --kind {kind}` writes a package that works, with a test that passes:\n"
    with tempfile.TemporaryDirectory() as folder:
        files = new_plugin(name, kind, Path(folder))
        for path in files:
            if path.suffix == ".py" and path.name != "__init__.py":
                yield code((Path(folder) / path).read_text(encoding="utf-8"), "python", str(path))


def _contract(kind: Kind) -> str:
    if kind == "tracker":
        return "Any of the hooks, each marked with `hookimpl`, and nothing else.\n\n" + autodoc(
            *_apart(".. autoclass:: cod_runner.hookspecs.Hooks\n")
        )
    return autodoc(*_apart(*(_directive(name) for name in CONTRACTS[kind])))


def _given(kind: Kind) -> str:
    """The fields of a BuildContext that say something to this kind."""
    told = dict(_fields_told(api.BuildContext))
    rows = [(f"`context.{name}`", told[name]) for name in GIVEN[kind]]
    seed = "`Selection.seed`" if kind == "selector" else "`Choosing.seed`"
    draws = f"\nWhat it draws, it draws from {seed}: one component serves all seeds.\n"
    return (
        "`build(options, context)` is called with the checked options and a `BuildContext`, of which these fields are "
        "filled:\n\n" + table(("field", "what it holds"), rows) + (draws if kind in ("selector", "chooser") else "")
    )


def _fields_told(model: type[Any]) -> Iterator[tuple[str, str]]:
    """Each field with the text that stands below it in the source."""
    lines = inspect.getsource(model).splitlines()
    for place, line in enumerate(lines):
        found = re.match(r"    (\w+): ", line)
        if found:
            following = "\n".join(lines[place + 1 :])
            text = re.match(r'\s*"""(.*?)"""', following, re.DOTALL)
            yield found[1], _as_markdown(text[1]) if text else ""


def _kinds_of(text: str) -> set[Kind] | None:
    """The kinds that the sentence before the first colon names; None where it speaks of all."""
    before, colon, _ = text.partition(":")
    if not colon:
        return None
    named = {kind for kind, plural in PLURALS.items() if plural.replace("_", " ") in before.lower()}
    return named or None


def _methods(kind: Kind) -> str:
    names = [name for name, kinds in methods_of_options().items() if kinds is None or kind in kinds]
    types = "The types that they return stand on [the page of all names](../api.md)."
    return f"The options are a pydantic model. Each of these methods has a default. {types}\n\n" + autodoc(
        *_apart(*(f".. automethod:: cod_runner.api.Options.{name}\n" for name in names))
    )


def methods_of_options() -> dict[str, set[Kind] | None]:
    """The methods that options may define, with the kinds of which they are asked; None: of all."""
    own = [name for name, value in vars(Options).items() if inspect.isfunction(value) and not name.startswith("_")]
    return {name: _kinds_of(inspect.getdoc(getattr(Options, name)) or "") for name in own}


def _checks(kind: Kind) -> Iterator[str]:
    check = CHECKS[kind]
    yield (
        f"One line of a test, `{check.__name__}(component)`, or on the command line `codrun plugins --check NAME`, "
        "looks at all of this on toy data:\n"
    )
    yield "\n".join(f"- {clause}" for clause in clauses_of(kind)) + "\n"
    yield "The labels of the toy data are `negative` and `positive`.\n"
    yield autodoc(*_apart(".. autofunction:: cod_runner.testing.checks.check_component\n"))


def clauses_of(kind: Kind) -> list[str]:
    """What the check of this kind looks at: the sentences that its modules name."""
    modules = [declaration, subject, identity, importlib.import_module(CHECKS[kind].__module__), *BESIDE.get(kind, ())]
    clauses = [
        value.replace("__", r"\_\_")
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and CLAUSE.match(value)
    ]
    return list(dict.fromkeys(clauses))


def _installed(kind: Kind, registry: Registry) -> Iterator[str]:
    for name in registry.names(kind):
        component = registry.find(kind, name)
        yield f"### {name}\n\n{component.summary}\n"
        yield _options(component)


def _options(component: Component) -> str:
    rows = [(f"`{each.name}`", each.type, f"`{each.default}`", each.meaning) for each in described(component.options)]
    return table(("option", "type", "default", "meaning"), rows) if rows else "No options.\n"

"""Plugins: discovery inside a guard, look-up by kind and name, and what a broken one does and does not stop."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy
import pytest
from pydantic import Field

from cod_runner.api import BuildContext, Component, Options, PathOption, hookimpl
from cod_runner.errors import PluginError, SettingError
from cod_runner.hookspecs import Hooks
from cod_runner.registry import METHODS, Registry


class NoOptions(Options):
    pass


class SomeOptions(Options):
    size: int = Field(1, ge=1)
    path: PathOption | None = None


def component(name: str = "mine", kind: Any = "loss", options: type[Options] = SomeOptions, **more: Any) -> Component:
    return Component(kind, name, options, more.pop("build", "a_plugins_module:Built"), "a summary", **more)


def plugin(*components: Any, **hooks: Any) -> Any:
    """A plugin object that declares components and may implement further hooks."""

    @hookimpl
    def codrun_components() -> Iterator[Any]:
        yield from components

    return type("Plugin", (), {"codrun_components": staticmethod(codrun_components), **hooks})


def good(registry: Registry, name: str = "good", *components: Component) -> None:
    registry.register(name, f"{name}.plugin", lambda: plugin(*(components or (component(),))), f"codrun-{name}", "1.0")


def test_a_component_is_found_by_kind_and_name() -> None:
    registry = Registry()
    good(registry, "good", component("b"), component("a"), component("a", "metric"))
    assert registry.names("loss") == ["a", "b"]
    assert registry.names("metric") == ["a"]
    assert registry.names("student") == []
    assert registry.find("loss", "a").kind == "loss"
    (found,) = registry.plugins
    assert (found.name, found.module, found.distribution, found.version, found.fault) == (
        "good", "good.plugin", "codrun-good", "1.0", None,
    )  # fmt: skip
    assert registry.warnings == []


def test_an_unknown_component_is_told_the_nearest_name() -> None:
    registry = Registry()
    good(registry, "good", component("hard"), component("kd"))
    with pytest.raises(PluginError, match=r"^no loss is named `hrad`; did you mean `hard`\?$"):
        registry.find("loss", "hrad")
    with pytest.raises(PluginError, match=r"^no loss is named `zzz`; there are: hard, kd$"):
        registry.find("loss", "zzz")
    with pytest.raises(PluginError, match=r"^no metric is named `hard`; there are: none$"):
        registry.find("metric", "hard")


def raising(error: BaseException) -> Any:
    def load() -> object:
        raise error

    return load


def generator_that_raises() -> Any:
    @hookimpl
    def codrun_components() -> Iterator[Component]:
        yield component("half")
        raise RuntimeError("midway")

    return type("Plugin", (), {"codrun_components": staticmethod(codrun_components)})


@hookimpl
def codrun_componets() -> list[Component]:
    return []


@hookimpl
def codrun_step(wrong_argument: int) -> None: ...


class NotOptions:
    model_fields: dict[str, Any] = {}  # noqa: RUF012


class UseOptions(Options):
    use: str = ""


class WeightOptions(Options):
    weight: float = 1


class FinetuneOptions(Options):
    finetune: bool = False


class Unreadable:
    """A type that no recipe can give."""


class UnreadableOptions(Options):
    size: Unreadable


def options_with(name: str) -> type[Options]:
    """Options of which one is called ``name``."""
    return type("Named", (Options,), {"__annotations__": {name: int}, name: 1})


BROKEN = [
    (raising(ImportError("no module named gone")), "ImportError: no module named gone"),
    (raising(SystemExit(3)), "SystemExit: 3"),
    (generator_that_raises, "RuntimeError: midway"),
    (
        lambda: plugin(codrun_componets=staticmethod(codrun_componets)),
        "PluginError: unknown hook `codrun_componets`; did you mean `codrun_components`?",
    ),
    (lambda: plugin(codrun_step=staticmethod(codrun_step)), "PluginValidationError: "),
    (lambda: plugin("text"), "TypeError: codrun_components gave 'text', which is not a Component"),
    (
        lambda: plugin(component(options=UnreadableOptions)),
        "PydanticSchemaGenerationError: Unable to generate pydantic-core schema for",
    ),
    (lambda: plugin(component(kind="los")), "TypeError: component `mine` is of unknown kind `los`"),
    (
        lambda: plugin(component(kind="measure")),
        "TypeError: component `mine` is of unknown kind `measure`; the kind `measure` is called `cfe_measure`",
    ),
    *(
        (
            lambda name=name: plugin(component(options=options_with(name))),
            f"TypeError: component `mine` defines the option `{name}`, which is the core's",
        )
        for name in sorted(METHODS)
    ),
    (
        lambda: plugin(component(options=UseOptions)),
        "TypeError: component `mine` defines the option `use`, which is the core's",
    ),
    (
        lambda: plugin(component(options=WeightOptions)),
        "TypeError: component `mine` defines the option `weight`, which is the core's",
    ),
    (
        lambda: plugin(component(kind="teacher", options=FinetuneOptions)),
        "TypeError: component `mine` defines the option `finetune`, which is the core's",
    ),
]


@pytest.mark.filterwarnings("ignore:Field name .* shadows an attribute")
@pytest.mark.parametrize(("load", "fault"), BROKEN, ids=[fault[:40] for _, fault in BROKEN])
def test_a_broken_plugin_is_named_and_stops_nothing_else(load: Any, fault: str) -> None:
    registry = Registry()
    good(registry, "first", component("first"))
    broken = registry.register("bad", "bad.plugin", load, "codrun-bad", "0.1")
    good(registry, "last", component("last"))
    assert broken.fault is not None and broken.fault.startswith(fault)
    assert broken.components == []
    assert registry.names("loss") == ["first", "last"]
    (warning,) = registry.warnings
    assert warning.startswith("plugin `bad` of codrun-bad (bad.plugin) is broken and was skipped: ")
    with pytest.raises(
        PluginError, match=r"`half`; there are: first, last \(it may belong to a plugin that is broken .*: `bad`\)"
    ):
        registry.find("loss", "half")
    registry.hook.codrun_step(cell={}, step=1, losses={})  # nothing of the broken plugin is called


def test_a_keyboard_interrupt_is_no_fault_of_a_plugin() -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry().register("bad", "bad", raising(KeyboardInterrupt()))


def test_an_observer_of_the_broken_plugin_is_not_called() -> None:
    called: list[str] = []

    class Observer:
        @staticmethod
        @hookimpl
        def codrun_run_finished(summary: Any) -> None:
            called.append("working")

    class BrokenObserver:
        @staticmethod
        @hookimpl
        def codrun_components() -> list[Component]:
            raise ValueError("broken")

        @staticmethod
        @hookimpl
        def codrun_run_finished(summary: Any) -> None:
            called.append("broken")

    registry = Registry()
    registry.register("bad", "bad", BrokenObserver)
    assert registry.register("watch", "watch", Observer).fault is None
    registry.hook.codrun_run_finished(summary={}, folder=Path())
    assert called == ["working"]


def test_two_plugins_that_claim_one_name_are_both_named() -> None:
    registry = Registry()
    good(registry, "one", component("kd"), component("other"))
    good(registry, "two", component("kd"))
    sentence = "loss `kd` is claimed by two plugins: `one` of codrun-one and `two` of codrun-two; uninstall one of them"
    assert registry.warnings == [sentence]
    with pytest.raises(PluginError) as caught:
        registry.find("loss", "kd")
    assert str(caught.value) == sentence and caught.value.exit_code == 2
    assert registry.names("loss") == ["other"]
    assert registry.find("loss", "other").name == "other"


def test_one_name_may_be_taken_once_for_each_kind() -> None:
    registry = Registry()
    good(registry, "one", component("same", "loss"))
    good(registry, "two", component("same", "metric"))
    assert registry.warnings == []


def test_discovery_goes_through_entry_points_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_plugins_entry")
    module.codrun_components = plugin(component("found")).codrun_components  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_plugins_entry", module)
    points = [
        metadata.EntryPoint("missing", "there_is_no_such_module", "codrun"),
        metadata.EntryPoint("mine", "a_plugins_entry", "codrun"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(points))
    registry = Registry.discover()
    assert registry.names("loss") == ["found"]
    assert [each.name for each in registry.plugins if each.fault] == ["missing"]
    assert "ModuleNotFoundError" in registry.warnings[0]


def test_an_entry_point_in_a_group_that_is_nearly_ours_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [
        "codrun.plugins",
        "codrun_plugins",
        "codruns",
        "cod-runner",
        "codrum",
        "console_scripts",
        "cordova",
        "run",
    ]
    points = [metadata.EntryPoint(f"p{n}", "nowhere", group) for n, group in enumerate(groups)]
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(points))
    registry = Registry.discover()
    assert {plugin.name for plugin in registry.plugins} == {"p0", "p1", "p2", "p3", "p4"}
    assert (
        "plugin `p0` of unknown (nowhere) is broken and was skipped: its entry point is in the group `codrun.plugins`, "
        "and plugins are looked for in `codrun`"
    ) in registry.warnings


def test_a_plugin_without_a_hook_or_with_one_that_is_not_marked_is_said() -> None:
    registry = Registry()
    empty = registry.register("empty", "empty.plugin", lambda: types.ModuleType("empty"), "codrun-empty", "1")
    assert empty.fault == "PluginError: it has no hook: it needs a `codrun_components` that is marked with `@hookimpl`"
    unmarked = types.SimpleNamespace(codrun_components=lambda: [component()])
    bare = registry.register("bare", "bare.plugin", lambda: unmarked, "codrun-bare", "1")
    assert bare.fault == "PluginError: its `codrun_components` is not marked as a hook; write `@hookimpl` above it"
    assert registry.names("loss") == []


def test_a_clash_says_which_of_the_two_can_go() -> None:
    registry = Registry()
    registry.register("losses", "codrun_losses.plugin", lambda: plugin(component("kd")), "codrun", "1")
    good(registry, "theirs", component("kd"))
    assert registry.warnings == [
        "loss `kd` is claimed by two plugins: `losses` of codrun and `theirs` of codrun-theirs; codrun's own stays, so "
        "rename the other's component, or uninstall codrun-theirs"
    ]
    registry = Registry()
    for name in ("one", "two"):
        registry.register(name, name, lambda: plugin(component("kd")), "codrun-both", "1")
    assert registry.warnings[0].endswith("`one` of codrun-both and `two` of codrun-both; rename one of them")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_plugins_module")
    module.Built = lambda options, context: (options, context)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_plugins_module", module)
    return module


def test_a_component_is_built_from_validated_options(built: types.ModuleType) -> None:
    registry = Registry()
    good(registry, "good", component(kind="tracker"))
    context = BuildContext(folder=Path("/data"))
    options, given = registry.build("tracker", "mine", {"size": 3, "path": "x.csv"}, context)
    assert isinstance(options, SomeOptions) and (options.size, options.path) == (3, "/data/x.csv")
    assert given is context


class HashedOptions(SomeOptions):
    def identity(self) -> dict[str, Any]:
        if self.path is not None:
            raise SettingError("there is no such file", "path")
        return {"hash": self.size}


def test_identity_is_the_options_or_what_they_say() -> None:
    registry = Registry()
    good(registry, "good", component("plain"), component("hashed", options=HashedOptions, version=4))
    assert registry.identity("loss", "plain", {}) == {
        "use": "plain", "version": 1, "options": {"size": 1, "path": None},
    }  # fmt: skip
    assert registry.identity("loss", "hashed", {"size": 9}) == {"use": "hashed", "version": 4, "options": {"hash": 9}}
    with pytest.raises(SettingError, match="no such file") as caught:
        registry.identity("loss", "hashed", {"path": "x.csv"})
    assert caught.value.component == ("loss", "hashed")


def test_no_option_may_be_called_as_a_method_of_the_options_is() -> None:
    asked = {
        name for name in vars(Options) if callable(getattr(Options, name)) and not name.startswith(("_", "model_"))
    }
    assert asked == METHODS and {"identity", "needs", "trains_itself"} <= METHODS


def test_every_hook_is_specified_documented_and_typed() -> None:
    hooks = [getattr(Hooks, name) for name in dir(Hooks) if name.startswith("codrun_")]
    assert len(hooks) >= 5
    for hook in hooks:
        assert hasattr(hook, "codrun_spec") and hook.__doc__
        arguments = list(inspect.signature(hook).parameters)[1:]
        assert set(arguments) <= set(hook.__annotations__)


def test_observers_get_what_the_hooks_promise() -> None:
    seen: list[tuple[str, Any]] = []

    class Tracker:
        @hookimpl
        def codrun_run_finished(self, summary: Any) -> None:
            seen.append(("finished", summary))

        @hookimpl
        def codrun_step(self, step: int, losses: Any) -> None:
            seen.append(("step", (step, losses)))

    registry = Registry()
    registry.attach("tracker", Tracker())
    registry.attach("tracker", Tracker())  # attached once, however often it is asked for
    registry.hook.codrun_step(cell={}, step=1, losses={"kd": 0.5})
    registry.hook.codrun_cell_finished(row={})
    registry.hook.codrun_run_finished(summary={"cells": 4}, folder=Path())
    assert seen == [("step", (1, {"kd": 0.5})), ("finished", {"cells": 4})]


def test_hooks_take_keywords_only() -> None:
    with pytest.raises((TypeError, pluggy.HookCallError)):
        Registry().hook.codrun_step({}, 1, {})

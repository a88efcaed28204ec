"""The plugin registry: discovery through entry points, look-up by kind and name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from cod_runner.api import KINDS, BuildContext, Component, Kind, Options
from cod_runner.blame import Blame, ComponentFailed, Suspect, failure, in_package, is_foreseen, own_line, told
from cod_runner.build_paths import unresolved
from cod_runner.code_digests import code_digest
from cod_runner.component_results import check_built
from cod_runner.errors import CodrunError, PluginError, SettingError
from cod_runner.hookspecs import Hooks
from cod_runner.local_plugins import LocalFile, read_local
from cod_runner.plugin_modules import (
    ENTRY_POINT_GROUP,
    is_nearly_ours,
    refuse_another_version,
    refuse_unknown_hooks,
    refuse_unmarked_hooks,
)

METHODS = frozenset(
    name for name, value in vars(Options).items() if inspect.isfunction(value) and not name.startswith("_")
)
"""What every component's options answer, so that no option may be called so."""


@dataclass
class Plugin:
    """One entry point: where it comes from, what it brought, and what is wrong with it, if anything."""

    name: str
    module: str
    distribution: str
    version: str
    components: list[Component] = field(default_factory=list)
    fault: str | None = None
    file: LocalFile | None = None
    """Of a plugin that is one file beside a recipe."""


class Registry:
    """All components by kind and name. Built once, by ``main``, and handed to whoever needs it."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self._manager = pluggy.PluginManager("codrun")
        self._manager.add_hookspecs(Hooks)
        self._components: dict[tuple[Kind, str], tuple[Component, Plugin]] = {}
        self._clashes: dict[tuple[Kind, str], str] = {}
        self._blame = Blame()
        self._leading_nowhere: dict[str, str | None] = {}

    @property
    def hook(self) -> Any:
        """pluggy's hook caller, for the observer hooks."""
        return self._manager.hook

    @classmethod
    def discover(cls) -> Registry:
        """Load every entry point of the group ``codrun``, each on its own, so that one cannot break another."""
        registry = cls()
        every, packages = metadata.entry_points(), _Packages()
        for group in (ENTRY_POINT_GROUP, *(group for group in sorted(every.groups) if is_nearly_ours(group))):
            for entry in sorted(every.select(group=group), key=lambda point: (point.name, point.value)):
                distribution, version = packages.name_and_version(entry)
                if group == ENTRY_POINT_GROUP:
                    registry.register(entry.name, entry.value, entry.load, distribution, version)
                else:
                    fault = f"its entry point is in the group `{group}`, and plugins are looked for in `codrun`"
                    registry.plugins.append(Plugin(entry.name, entry.value, distribution, version, fault=fault))
        return registry

    def register(
        self,
        name: str,
        module: str,
        load: Callable[[], object],
        distribution: str = "",
        version: str = "",
        file: LocalFile | None = None,
    ) -> Plugin:
        """Load one plugin inside the guard; a fault is recorded with the plugin rather than raised."""
        plugin = Plugin(name, module, distribution, version, file=file)
        self.plugins.append(plugin)
        unique = f"{distribution}:{name}"
        try:
            loaded = load()
            refuse_another_version(loaded)
            self._manager.register(loaded, name=unique)
            refuse_unknown_hooks(self._manager, loaded)
            refuse_unmarked_hooks(self._manager, loaded)
            for caller in self._manager.get_hookcallers(self._manager.get_plugin(unique)) or []:
                if caller.name == "codrun_components":
                    plugin.components = self._declared(unique)
            if distribution != ENTRY_POINT_GROUP:  # ours are tested; a stranger's are built now, so that faults show
                for component in plugin.components:
                    if issubclass(component.options, Options):
                        component.options.model_rebuild(raise_errors=False)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
            plugin.fault = told(error) + own_line(error, lambda module: in_package(module, plugin.module))
            plugin.components = []
            if self._manager.has_plugin(unique):
                self._manager.unregister(name=unique)
        for component in plugin.components:
            self._claim(component, plugin)
        return plugin

    def register_file(self, path: Path, digest: str | None = None) -> Plugin:
        """Load a plugin that is one file beside a recipe, once; its name is the file's.

        With ``digest`` no other content is loaded. Raises :class:`CodrunError` where it cannot be, or where a file of
        that name was loaded before and is another.
        """
        file, load = read_local(path, digest)
        for plugin in self.plugins:
            if plugin.file == file:
                return plugin
            if plugin.file is not None and plugin.file.module == file.module:
                same = plugin.file.path == path
                what = "has changed since it was loaded" if same else f"has the name of {plugin.file.path}"
                raise CodrunError(f"{path} {what}; {'start anew' if same else 'rename one of them'}")
        return self.register(file.module, file.module, load, path.name, file=file)

    @property
    def local_files(self) -> tuple[LocalFile, ...]:
        """The files that were loaded as plugins, for a process that needs them too."""
        return tuple(plugin.file for plugin in self.plugins if plugin.file is not None)

    def _declared(self, unique: str) -> list[Component]:
        """Exhaust one plugin's ``codrun_components``, be it a list or a generator, and check what it gave."""
        others = [other for name, other in self._manager.list_name_plugin() if name != unique]
        caller = self._manager.subset_hook_caller("codrun_components", others)
        declared = [component for given in caller() for component in given]
        for component in declared:
            if not isinstance(component, Component):
                raise TypeError(f"codrun_components gave {component!r}, which is not a Component")
            if component.kind not in KINDS:
                former = "; the kind `measure` is called `cfe_measure`" if str(component.kind) == "measure" else ""
                raise TypeError(f"component `{component.name}` is of unknown kind `{component.kind}`{former}")
            texts = (component.name, component.build, component.summary, component.title, component.reopen)
            if not component.name or not all(isinstance(each, str) for each in texts):
                raise TypeError(
                    f"component {component.name!r} must have a name, and name, build, summary, title and reopen must "
                    "be texts"
                )
            core = {"use", "weight"}
            if component.kind == "teacher":
                core |= {"finetune", "calibration", "processes"}
            reserved = (core | METHODS) & set(component.options.model_fields)
            if reserved:
                raise TypeError(
                    f"component `{component.name}` defines the option `{min(reserved)}`, which is the core's"
                )
        return declared

    def _claim(self, component: Component, plugin: Plugin) -> None:
        place = (component.kind, component.name)
        if place in self._components:
            first = self._components[place][1]
            self._clashes[place] = (
                f"{component.kind} `{component.name}` is claimed by two plugins: `{first.name}` of "
                f"{first.distribution} and `{plugin.name}` of {plugin.distribution}; {_cure_of_a_clash(first, plugin)}"
            )
            return
        self._components[place] = (component, plugin)
        self._blame.may_fall_on(_suspect(component, plugin))

    @property
    def warnings(self) -> list[str]:
        """One sentence per broken plugin and per name claimed twice."""
        broken = [
            f"plugin `{plugin.name}` of {plugin.distribution} ({plugin.module}) is broken and was skipped: "
            f"{plugin.fault}"
            for plugin in self.plugins
            if plugin.fault
        ]
        return broken + list(self._clashes.values())

    def names(self, kind: Kind) -> list[str]:
        """The names of every working component of a kind, sorted."""
        return sorted(name for of, name in self._components if of == kind and (of, name) not in self._clashes)

    def find(self, kind: Kind, name: str) -> Component:
        """The component, or a :class:`PluginError` that says which near name there is, or which plugin broke."""
        place = (kind, name)
        if place in self._clashes:
            raise PluginError(self._clashes[place])
        if place in self._components:
            return self._components[place][0]
        near = difflib.get_close_matches(name, self.names(kind), 1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; there are: {', '.join(self.names(kind)) or 'none'}"
        broken = [plugin.name for plugin in self.plugins if plugin.fault]
        if broken and not near:
            listed = ", ".join(f"`{each}`" for each in broken)
            hint += f" (it may belong to a plugin that is broken and was skipped: {listed})"
        raise PluginError(f"no {kind} is named `{name}`{hint}")

    def build(self, kind: Kind, name: str, options: Mapping[str, Any], context: BuildContext) -> Any:
        """Import the component's class and build it from validated options."""
        component = self.find(kind, name)
        checked = component.options.model_validate(dict(options), context={"folder": str(context.folder)})
        with self._running(component):
            built = self._attribute(component, component.build)(checked, context)
            answering = checked.answering() if kind == "teacher" else None
        check_built(kind, self.named(kind, name), built, answering)
        self._blame.remember(built, self._suspect(component))
        return built

    def reopen(self, kind: Kind, name: str, folder: Path, context: BuildContext) -> Any:
        """What a component wrote into ``folder``; None where it declares no ``reopen``."""
        component = self.find(kind, name)
        if not component.reopen:
            return None
        with self._running(component):
            opened = self._attribute(component, component.reopen)(folder, context)
        self._blame.remember(opened, self._suspect(component))
        return opened

    def attach(self, name: str, tracker: object) -> None:
        """Let an object observe every run of this registry; trackers that a recipe names observe theirs alone."""
        if not self._manager.has_plugin(name):
            self._manager.register(tracker, name=name)

    @contextmanager
    def observed_by(self, observer: object) -> Iterator[None]:
        """Let an object of ours observe the run with hooks of its own, for a block."""
        self._manager.register(observer)
        try:
            yield
        finally:
            self._manager.unregister(observer)

    def options(self, kind: Kind, name: str, options: Mapping[str, Any]) -> Options:
        """A component's validated options, which say what must be known of it before it is built."""
        return self.find(kind, name).options.model_validate(dict(options))

    def identity(self, kind: Kind, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """JSON-able data that decides what the component does; light enough for ``codrun plan``."""
        with self.asked(kind, name, options) as checked:
            decides = checked.identity()
        identity = {"use": name, "version": self.find(kind, name).version, "options": decides}
        file = self._components[kind, name][1].file
        return identity if file is None else {**identity, "file": file.digest}

    @contextmanager
    def asked(self, kind: Kind, name: str, options: Mapping[str, Any]) -> Iterator[Options]:
        """:meth:`options`, for a block that asks them: a :class:`SettingError` from it points at the component."""
        with self.blaming_plugins(), _raised_by(self.find(kind, name)):
            yield self.options(kind, name, options)

    def unresolved(self, component: Component) -> str | None:
        """One sentence where the component's ``build`` or ``reopen`` leads nowhere; imports nothing."""
        for path in filter(None, (component.build, component.reopen)):
            if path not in self._leading_nowhere:
                self._leading_nowhere[path] = unresolved(path)
            if (reason := self._leading_nowhere[path]) is not None:
                named = self.named(component.kind, component.name)
                return f"{named} is {'built' if path == component.build else 'reopened'} by `{path}`, {reason}"
        return None

    def _attribute(self, component: Component, path: str) -> Any:
        module, _, name = path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError):
            if (sentence := self.unresolved(component)) is not None:
                raise PluginError(sentence) from None
            raise

    def code(self, kind: Kind, name: str) -> str | None:
        """A digest of the code that the component is built by; None for ours, whose versions we raise, for a file,
        whose content is in its identity, and where there is no source. Imports nothing."""
        component, plugin = self._components[kind, name]
        if plugin.distribution == ENTRY_POINT_GROUP or plugin.file is not None:
            return None
        return code_digest(component.build.partition(":")[0], {plugin.module.partition(":")[0]})

    def named(self, kind: Kind, name: str) -> str:
        """A component and its package, as in "the loss `ted` (codrun 0.9)"."""
        return self._suspect(self.find(kind, name)).named

    def own_line(self, kind: Kind, name: str, error: BaseException) -> str:
        """The component's own line that raised, as the end of a sentence; "" where there is none."""
        return own_line(error, self._suspect(self.find(kind, name)).owns)

    def blame(self, kind: Kind, name: str, error: BaseException) -> ComponentFailed:
        """What is said of an exception that this component raised: one sentence, and the traceback beside it."""
        suspect = self._suspect(self.find(kind, name))
        return failure(suspect.named, error, suspect.owns)

    def blamed(self, error: BaseException) -> ComponentFailed | None:
        """:meth:`blame` of the component whose code raised it; None where none did, or where it is foreseen."""
        return self._blame.of(error)

    @contextmanager
    def blaming_plugins(self) -> Iterator[None]:
        """Raise an unforeseen exception from inside as the :class:`ComponentFailed` of the component whose code raised
        it; one that no plugin's code raised passes unchanged."""
        try:
            yield
        except (Exception, SystemExit) as error:
            failed = self.blamed(error)
            if failed is None:
                raise
            raise failed from error

    @contextmanager
    def _running(self, component: Component) -> Iterator[None]:
        """A block that runs nothing but this component's own code."""
        try:
            with _raised_by(component):
                yield
        except (Exception, SystemExit) as error:
            if is_foreseen(error):
                raise
            raise self.blame(component.kind, component.name, error) from error

    def _suspect(self, component: Component) -> Suspect:
        return _suspect(*self._components[component.kind, component.name])


class _Packages:
    """Names and versions of distributions; the metadata of each, which Python parses anew each time, are read once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[metadata.Distribution, str, str]] = {}

    def name_and_version(self, entry: metadata.EntryPoint) -> tuple[str, str]:
        """Of the distribution that an entry point belongs to."""
        if entry.dist is None:
            return "unknown", "unknown"
        if id(entry.dist) not in self._read:
            described = entry.dist.metadata
            self._read[id(entry.dist)] = (entry.dist, described["Name"], described["Version"])
        _, name, version = self._read[id(entry.dist)]
        return name, version


def _cure_of_a_clash(one: Plugin, other: Plugin) -> str:
    ours = [plugin.distribution == ENTRY_POINT_GROUP for plugin in (one, other)]
    if one.distribution == other.distribution:
        return "rename one of them"
    if not any(ours):
        return "rename the component in the file" if one.file or other.file else "uninstall one of them"
    theirs = other if ours[0] else one
    if theirs.file is not None:
        return f"codrun's own stays, so rename the component in {theirs.distribution}"
    return f"codrun's own stays, so rename the other's component, or uninstall {theirs.distribution}"


def _suspect(component: Component, plugin: Plugin) -> Suspect:
    return Suspect(component, plugin.name, plugin.distribution, plugin.version, plugin.module)


@contextmanager
def _raised_by(component: Component) -> Iterator[None]:
    """Note on a :class:`SettingError` whose options it speaks of."""
    try:
        yield
    except SettingError as error:
        if error.component is None:
            error.component = (component.kind, component.name)
        raise

"""Whose fault an unforeseen exception is: a plugin's component, named in one sentence with the author's own line.

What codrun foresees is a :class:`CodrunError`, and what its core does wrong keeps its traceback. All else that is
raised while a plugin's code runs becomes a :class:`ComponentFailed`.
"""

from __future__ import annotations

import errno
import logging
import traceback
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import FrameType

from cod_runner.api import Component, Options
from cod_runner.errors import CodrunError
from cod_runner.plain_text import one_line

LOG = logging.getLogger("codrun")
LONGEST_FAULT = 500
"""Characters of what a stranger's exception says."""
NOT_A_PLUGINS = "no plugin raised this: it is a fault of codrun itself"
"""A note on an exception of the core's that passes through an executor's code, which is not to blame for it."""
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Errors that meet whoever writes or opens a file at that moment."""

DIFFERENTIATED = {"loss", "student", "teacher"}
"""Kinds whose code runs while a gradient is taken."""


class ComponentFailed(CodrunError):
    """A component raised what nobody foresaw. Can be pickled, so that a worker's comes home whole."""

    def __init__(self, sentence: str, traceback: str = "") -> None:
        super().__init__(sentence)
        self.traceback = traceback
        """All of it, down to the line that raised, as Python prints it."""
        self.log: Path | None = None
        """The file that the traceback was written to, if any."""

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.log is None else f"{said}; the whole traceback is in {self.log}"


@dataclass(frozen=True)
class Suspect:
    """One component with the plugin that brought it."""

    component: Component
    plugin: str
    distribution: str
    version: str
    module: str
    """What the plugin's entry point names: ``module`` or ``module:attribute``."""

    @property
    def named(self) -> str:
        """The component and its package, as sentences name them."""
        return f"the {self.component.kind} `{self.component.name}` {self.source}"

    @property
    def source(self) -> str:
        """The package, in brackets."""
        return f"({self.distribution or self.plugin} {self.version})".replace(" )", ")")

    @property
    def packages(self) -> set[str]:
        """The packages that are the plugin's own, with all that is in them."""
        entry, build = self.module.partition(":")[0], self.component.build.partition(":")[0]
        same = build.partition(".")[0] == entry.partition(".")[0]
        return {package_of(module) for module in ((entry, build) if same else (entry,)) if module}

    def owns(self, module: str) -> int:
        """How closely a module is this plugin's: the length of what both names share, 0 where it is another's."""
        if module.partition(".")[0] == "cod_runner":
            return 0
        if module in (self.component.build.partition(":")[0], self.component.options.__module__):
            return len(module)
        return max((len(own) for own in self.packages if f"{module}.".startswith(f"{own}.")), default=0)


def in_package(module: str, entry: str) -> bool:
    """Whether a module lies in the package of the one that an entry point names."""
    return f"{module}.".startswith(f"{package_of(entry.partition(':')[0])}.")


def package_of(module: str) -> str:
    """The package that a module lies in; a module by itself is its own."""
    return module.rpartition(".")[0] or module


class Blame:
    """Knows which component built what, and finds in a traceback the one that raised."""

    def __init__(self) -> None:
        self._suspects: list[Suspect] = []
        self._made: dict[int, tuple[weakref.ref[object], Suspect]] = {}

    def may_fall_on(self, suspect: Suspect) -> None:
        """Take note of a component before any of its code runs."""
        self._suspects.append(suspect)

    def remember(self, made: object, suspect: Suspect) -> None:
        """Take note of what a component built: a method of it, found in a traceback, names the component."""
        try:
            self._made[id(made)] = (weakref.ref(made), suspect)
        except TypeError:  # a tuple, say, or a class with slots: its component is found by its module
            return

    def of(self, error: BaseException) -> ComponentFailed | None:
        """The failure of the component in whose code ``error`` was raised; None where it is foreseen, the machine's,
        or the core's own."""
        if is_foreseen(error) or NOT_A_PLUGINS in getattr(error, "__notes__", ()):
            return None
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]
        number = next((number for number, frame in enumerate(frames) if self._owners(frame)), None)
        if number is None:
            # no line of an author's, but a library's at work on what a component built
            found = self._made_of([frame for frame in frames if not _is_the_cores(frame)], self._suspects)
            return None if found is None else failure(found.named, error, found.owns)
        owners = self._owners(frames[number])
        # up to where the core called it, whoever made it: a class of one plugin's may be built on another's
        called = takewhile(lambda frame: not _is_the_cores(frame), frames[number:])
        own = [frame for frame in frames[number:] if set(owners) & set(self._owners(frame))]
        slope = any(str(frame.f_globals.get("__name__")).startswith("torch.autograd") for frame in frames)
        found = self._made_of(called, self._suspects) or self._made_of(own, owners)
        found = found or self._by_module(own, owners, slope)
        named = f"the plugin `{owners[0].plugin}` {owners[0].source}" if found is None else found.named
        return failure(named, error, (found or owners[0]).owns)

    def _owners(self, frame: FrameType) -> list[Suspect]:
        """The components of the plugin whose code it is; of two that share a package, the closer one's."""
        module = str(frame.f_globals.get("__name__", ""))
        close = [(suspect.owns(module), suspect) for suspect in self._suspects]
        closest = max((length for length, _ in close), default=0)
        return [suspect for length, suspect in close if length == closest > 0]

    def _made_of(self, frames: Iterable[FrameType], owners: Sequence[Suspect]) -> Suspect | None:
        """The component that a frame is a method of, the deepest first."""
        for frame in frames:
            first = frame.f_code.co_varnames[:1]
            this = frame.f_locals.get(first[0]) if first else None
            reference, suspect = self._made.get(id(this), (lambda: None, None))
            if suspect in owners and reference() is this:
                return suspect
            if isinstance(this, Options):
                having = [each for each in owners if each.component.options is type(this)]
                if len(having) == 1:
                    return having[0]
        return None

    def _by_module(self, frames: Sequence[FrameType], owners: Sequence[Suspect], slope: bool) -> Suspect | None:
        """The only component that the module of a frame builds, of several the only one that is there, and with
        ``slope`` can be at work where a gradient is taken; else the plugin's only one."""
        modules = {frame.f_globals.get("__name__") for frame in frames}
        built = [each for each in owners if each.component.build.partition(":")[0] in modules]
        if len(built) > 1:
            there = [suspect for reference, suspect in self._made.values() if reference() is not None]
            built = [each for each in built if each in there and (each.component.kind in DIFFERENTIATED or not slope)]
        return built[0] if len(built) == 1 else owners[0] if len(owners) == 1 else None


def _is_the_cores(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "cod_runner"


def is_foreseen(error: BaseException) -> bool:
    """Whether an exception has its own sentence: ours, and a full disk's."""
    return isinstance(error, CodrunError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE)


def failure(named: str, error: BaseException, owns: Callable[[str], object] = bool) -> ComponentFailed:
    """What is said of ``error`` where ``named`` (as in "the loss `ted` (codrun 0.9)") raised it.

    The line is the deepest one in a module that the author ``owns``; the deepest of all where there is none.
    """
    frames = list(zip(traceback.extract_tb(error.__traceback__), _modules(error), strict=True))
    where = ""
    if frames:
        own = [line for line, module in frames if owns(module)]
        line = (own or [line for line, _ in frames])[-1]
        where = f", at {shown(line.filename)}:{line.lineno} in {line.name}"
        last, module = frames[-1]
        if own and line is not last and module.partition(".")[0] == "cod_runner":
            where += f", which called codrun's {Path(last.filename).name}:{last.lineno}"
    whole = "".join(traceback.format_exception(error))
    return ComponentFailed(f"{named} raised {told(error)}{where}", whole)


def own_line(error: BaseException, owns: Callable[[str], object]) -> str:
    """The deepest line in a module that the author owns, as the end of a sentence; "" where there is none."""
    frames = zip(traceback.extract_tb(error.__traceback__), _modules(error), strict=True)
    own = [line for line, module in frames if owns(module)]
    return f", at {shown(own[-1].filename)}:{own[-1].lineno} in {own[-1].name}" if own else ""


def _modules(error: BaseException) -> list[str]:
    """The module of each frame, the deepest last."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]


def told(error: BaseException) -> str:
    """What a stranger's error says, as far as it can be asked and is worth reading, on one line."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - it is a stranger's code too
        said = "an error that cannot be shown"
    shortened = f"{said[:LONGEST_FAULT]}{'...' if len(said) > LONGEST_FAULT else ''}"
    return one_line(f"{type(error).__name__}: {shortened}" if shortened else type(error).__name__)


def shown(file: str) -> str:
    """A source file, relative to the working folder where it is inside it, so that a terminal can open it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def log_traceback(error: ComponentFailed) -> None:
    """Write the whole traceback into the run's log. It may be another process's, of which only the text is here."""
    record = LOG.makeRecord(LOG.name, logging.ERROR, __file__, 0, str(error), (), None)
    record.exc_text = error.traceback
    LOG.handle(record)

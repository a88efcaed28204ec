"""The options of the command line and of the ini file, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cod_runner.calling import Asked
    from cod_runner.permissions import Permissions

GROUP = """codrun: recipes as tests (a file or folder named on the command line suffices: `pytest recipes/ci`)"""


def words(value: str) -> list[str]:
    """``kd,lwd`` as a list."""
    return [word for word in value.replace(",", " ").split() if word]


def numbers(value: str) -> list[int]:
    """``0,1,2`` as a list; raises :class:`ValueError`, which pytest shows with the option's name."""
    return [int(word) for word in words(value)]


def one_or_more(value: str) -> int:
    """A number of processes."""
    number = int(value)
    if number < 1:
        raise ValueError(value)
    return number


def add_options(parser: pytest.Parser) -> None:
    """Declare everything that starts with ``--codrun`` or ``codrun_``."""
    group = parser.getgroup("codrun", GROUP)

    def option(name: str, help: str, **more: Any) -> None:
        dest = name.removeprefix("--").replace("-", "_")
        group.addoption(name, dest=dest, help=help, default=more.pop("default", None), **more)

    def narrowed(name: str, metavar: str, help: str, type: Callable[[str], list[Any]]) -> None:
        option(f"--codrun-{name}", f"run only these {help}", metavar=metavar, type=type)

    others = "expectations on others are not run"

    option(
        "--codrun",
        "test every recipe with `expect:` that pytest meets, in `testpaths` too; without it only files and folders "
        "that are named on the command line or in the ini file's `codrun_recipes`",
        action="store_true",
        default=False,
    )
    option("--codrun-profile", "merge this profile of each recipe on top", metavar="NAME")
    option(
        "--codrun-set",
        "override one key of each recipe, as `--set` of codrun; may be repeated",
        metavar="KEY.PATH=VALUE",
        action="append",
    )
    narrowed("k", "8,16", f"numbers of training examples; {others}", numbers)
    narrowed("seeds", "0,1,2", "seeds; expectations are judged over them", numbers)
    narrowed("methods", "kd,lwd", f"methods; {others}", words)
    narrowed("arms", "plain,cod", f"arms; {others}", words)
    option(
        "--codrun-jobs",
        "students that train at once; by default one for each core, shared among the workers of pytest-xdist (where "
        "`--dist loadfile` keeps the tests of a recipe together; else the others wait for the one that runs it)",
        metavar="N",
        type=one_or_more,
    )
    option(
        "--codrun-out",
        "keep the runs in DIR, DIR/recipes/ci/NAME for recipes/ci/NAME.yaml, and continue those that are there; by "
        "default in pytest's cache, where a second call repeats no finished cell unless the code of codrun or of a "
        "plugin has changed (--cache-clear: all anew)",
        metavar="DIR",
    )
    option("--codrun-device", "cpu, cuda, cuda:1, mps; auto takes the best there is", metavar="NAME")
    option(
        "--codrun-offline",
        "no network: only packages, local files and stored answers",
        action="store_true",
        default=False,
    )
    option(
        "--codrun-strict",
        "an expectation that is not run, since its cells are left out, fails; else it is skipped",
        action="store_true",
        default=False,
    )
    option(
        "--codrun-allow-host",
        "let recipes send texts, and a key of their provider, to this host; may be repeated",
        metavar="HOST[:PORT]",
        action="append",
    )
    option(
        "--codrun-allow-folder",
        "let recipes read files of this folder too; may be repeated",
        metavar="DIR",
        action="append",
    )
    option(
        "--codrun-allow-local-plugins",
        "let recipes run the Python files that they name under `plugins:`",
        action="store_true",
        default=False,
    )
    parser.addini(
        "codrun_recipes", "folders or files of recipes that are tests wherever pytest meets them", "paths", default=[]
    )
    parser.addini("codrun_profile", "as --codrun-profile", "string", default="")
    parser.addini("codrun_set", "as --codrun-set, a line each; those of the command line come after", "linelist")
    parser.addini("codrun_offline", "as --codrun-offline", "bool", default=False)
    parser.addini("codrun_strict", "as --codrun-strict", "bool", default=False)
    parser.addini("codrun_allow_hosts", "as --codrun-allow-host, a line each", "linelist")
    parser.addini("codrun_allow_folders", "as --codrun-allow-folder, relative to the ini file", "paths", default=[])
    parser.addini("codrun_allow_local_plugins", "as --codrun-allow-local-plugins", "bool", default=False)


@dataclass(frozen=True)
class Options:
    """What the options say of every recipe."""

    profile: str | None
    overrides: Sequence[str]
    k: Sequence[int] | None
    seeds: Sequence[int] | None
    methods: Sequence[str] | None
    arms: Sequence[str] | None
    jobs: int | None
    """None: one student for each core."""
    out: Path | None
    device: str
    offline: bool
    strict: bool
    hosts: Sequence[str]
    folders: Sequence[Path]
    local_plugins: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """The command line's on top of the ini file's."""
        start = config.invocation_params.dir
        out = config.getoption("codrun_out")
        return cls(
            profile=config.getoption("codrun_profile") or config.getini("codrun_profile") or None,
            overrides=(*config.getini("codrun_set"), *(config.getoption("codrun_set") or ())),
            k=config.getoption("codrun_k"),
            seeds=config.getoption("codrun_seeds"),
            methods=config.getoption("codrun_methods"),
            arms=config.getoption("codrun_arms"),
            jobs=config.getoption("codrun_jobs") or _share_of_the_cores(config),
            out=None if out is None else start / Path(out).expanduser(),
            device=config.getoption("codrun_device") or "auto",
            offline=config.getoption("codrun_offline") or config.getini("codrun_offline"),
            strict=config.getoption("codrun_strict") or config.getini("codrun_strict"),
            hosts=(*config.getini("codrun_allow_hosts"), *(config.getoption("codrun_allow_host") or ())),
            folders=(
                *config.getini("codrun_allow_folders"),
                *(start / Path(folder).expanduser() for folder in config.getoption("codrun_allow_folder") or ()),
            ),
            local_plugins=config.getoption("codrun_allow_local_plugins") or config.getini("codrun_allow_local_plugins"),
        )

    def asked(self, recipe: Path) -> Asked:
        """A recipe, and what is put on top of it."""
        from cod_runner.calling import Asked

        return Asked(recipe, self.profile, self.overrides, self.k, self.seeds, self.methods, self.arms)

    @property
    def permissions(self) -> Permissions:
        """What the user lets recipes do; a recipe says none of it. Raises :class:`CodrunError` for a wrong host."""
        from cod_runner.permissions import read_permissions

        return read_permissions(self.hosts, self.folders, local_plugins=self.local_plugins)


def _share_of_the_cores(config: pytest.Config) -> int | None:
    """For a worker of pytest-xdist: as many students at once as keep all workers together at one for each core."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers < 2:
        return None

    from cod_runner.machine import cores

    return max(1, cores() // int(workers))

"""What the user lets recipes do beyond what any recipe may: hosts that may be sent texts and keys, folders of files.

A recipe may come from a stranger, so it says none of this itself: flags of the command line do, or the settings file
in the user's configuration folder, which no recipe can write.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import file_digest, write_whole


@dataclass(frozen=True)
class Permissions:
    """What was allowed, by flags and by the settings file together."""

    hosts: frozenset[str] = frozenset()
    """``host`` or ``host:port``, lower case."""
    folders: tuple[Path, ...] = ()
    """Absolute; what is below them is allowed too."""
    flags: tuple[str, ...] = ()
    """What of it the command line allowed, as it writes it; not what the settings file allows."""
    local_plugins: bool = False
    """Whether Python files that recipes name are run."""
    callables: frozenset[str] = frozenset()
    """Each ``module:callable`` that the recipe may have called, with options that it says."""

    def allow_address(self, address: str) -> bool:
        """Whether texts and keys may go to the host of ``address``, an ``http://`` or ``https://`` one."""
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".").lower()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return host in self.hosts or _with_port(host, port) in self.hosts

    def allow_file(self, path: Path, folder: Path) -> bool:
        """Whether a recipe in ``folder`` may name ``path``: a file below its own folder, or below an allowed one.

        Symbolic links are followed first, so none leads out.
        """
        real = path.resolve()
        return any(real.is_relative_to(each.resolve()) for each in (folder, *self.folders))


NO_PERMISSIONS = Permissions()
"""Of a user who has said nothing."""
RESOLVED = "recipes"
"""The store's folder of the resolved recipes that codrun wrote, each an empty file under its digest."""


def remember_resolved(recipe: Path, store: Path) -> None:
    """Note that codrun wrote this resolved recipe of a run, so that it runs again with the files that it names."""
    known = store / RESOLVED / file_digest(recipe)
    if not known.exists():
        write_whole(known, "")


def is_resolved(recipe: Path, store: Path) -> bool:
    """Whether codrun wrote exactly this recipe, here or elsewhere on this machine."""
    try:
        return recipe.is_file() and (store / RESOLVED / file_digest(recipe)).is_file()
    except OSError:
        return False


def as_when_it_ran(recipe: Path, store: Path, permissions: Permissions) -> Permissions:
    """The permissions of a recipe; the resolved copy that codrun wrote of one keeps its files, which were allowed when
    it ran."""
    if is_resolved(recipe, store):
        return replace(permissions, folders=(Path(recipe.absolute().anchor),))
    return permissions


class _Settings(BaseModel):
    """The settings file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    allow_hosts: list[str] = []
    allow_folders: list[Path] = []


def settings_file() -> Path:
    """Where the user's settings are, whether or not the file exists."""
    return Path(platformdirs.user_config_dir("codrun")) / "settings.yaml"


def settings_shown() -> str:
    """The settings file as sentences name it."""
    path = settings_file()
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def read_permissions(
    hosts: Iterable[str] = (),
    folders: Iterable[Path] = (),
    *,
    local_plugins: bool = False,
    callables: Iterable[str] = (),
) -> Permissions:
    """The flags' hosts and folders, and those of the settings file; raises :class:`CodrunError` for a wrong one.

    ``local_plugins`` and ``callables`` are said for each call anew: no file can say them.
    """
    hosts, folders, callables = list(hosts), list(folders), list(callables)
    for each in folders:
        if not each.is_dir():
            raise RecipeError(f"--allow-folder: there is no folder {each}")
    path = settings_file()
    settings = _read(path)
    flags = [*(("--allow-host", host) for host in hosts), *(("--allow-folder", str(folder)) for folder in folders)]
    flags += [("--allow-callable", each) for each in callables]
    listed = {_host(each, "--allow-host", RecipeError) for each in hosts}
    listed |= {_host(each, f"{path}: allow_hosts", CodrunError) for each in settings.allow_hosts}
    try:
        below = [path.parent / each.expanduser() for each in settings.allow_folders]
    except RuntimeError as error:  # there is no such user after `~`
        raise CodrunError(f"{path}: allow_folders: {error}; write the folder out") from error
    allowed = (*(each.absolute() for each in folders), *below)
    words = (*(word for flag in flags for word in flag), *(["--allow-local-plugins"] if local_plugins else []))
    return Permissions(frozenset(listed), allowed, words, local_plugins, frozenset(callables))


def _read(path: Path) -> _Settings:
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _Settings.model_validate({} if written is None else written)
    except FileNotFoundError:
        return _Settings()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CodrunError(
            f"the settings file {path} is wrong at `{where}` ({first['msg']}); it may hold `allow_hosts`, a list of "
            "hosts, and `allow_folders`, a list of folders"
        ) from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CodrunError(f"the settings file {path} cannot be read ({reason}); mend it") from error


def _host(value: str, said: str, wrong: type[CodrunError]) -> str:
    """``host`` or ``host:port`` as compared: lower case, IPv6 in brackets only before a port. Raises ``wrong``."""
    try:
        parts = urlsplit(f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or value != parts.netloc or parts.username is not None or "*" in value:
        bare = _bare_ipv6(value)
        if bare is None:
            raise wrong(f"{said}: `{value}` is not a host; write `host` or `host:port`, such as 127.0.0.1:8000")
        return bare
    host = host.rstrip(".").lower()
    return host if port is None else _with_port(host, port)


def _bare_ipv6(value: str) -> str | None:
    try:
        return str(ipaddress.IPv6Address(value))
    except ValueError:
        return None


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

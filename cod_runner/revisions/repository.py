"""The git repository that recipes lie in: its commits, the state of its working tree, worktrees of its revisions."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import CodrunError, RecipeError
from cod_runner.files import file_digest

SHOWN = 12
"""Characters of a commit's name that are shown, and name folders."""
_OF_ONE_REPOSITORY = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_PREFIX",
)  # fmt: skip
"""Variables that git sets for hooks, and that would lead every git below it back to one repository."""


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree."""

    top: Path
    """The folder of the working tree, links resolved."""

    @classmethod
    def around(cls, path: Path) -> Repository:
        """The repository that a path lies in, whether or not the path exists; raises :class:`RecipeError`."""
        real = path.resolve()
        folder = next(each for each in (real, *real.parents) if each.is_dir())
        found = _git(folder, "rev-parse", "--show-toplevel")
        if found.returncode != 0:
            raise RecipeError(f"{path} is not in the working tree of a git repository ({_said(found)})")
        return cls(Path(os.fsdecode(found.stdout.removesuffix(b"\n"))).resolve())

    def place_of(self, path: Path) -> Path:
        """The path relative to :attr:`top`; raises :class:`RecipeError` for one outside."""
        real = path.resolve()
        if not real.is_relative_to(self.top):
            raise RecipeError(f"{path} is not in the repository {self.top}, as the other recipes are; compare it apart")
        return real.relative_to(self.top)

    def commit_of(self, revision: str) -> str:
        """The full name of a revision's commit; raises :class:`RecipeError` for one that there is not."""
        unknown = f"`{revision}` is not a revision of {self.top}"
        # git has no revision that begins so, and would take one for an option
        if not revision.strip() or revision.startswith("-") or not revision.isprintable():
            raise RecipeError(f"{unknown}; name a branch, a tag or a commit")
        found = _git(self.top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if found.returncode != 0:
            raise RecipeError(
                f"{unknown}; name a branch, a tag or a commit, and fetch it first if it is another repository's (a "
                "clone that is shallow, as continuous integration makes them, has few: fetch its history)"
            )
        return found.stdout.decode().strip()

    def changes(self, ignored: Collection[Path]) -> str:
        """A hash of all that the working tree holds beside its commit; "" where it holds nothing.

        Files that git ignores are no part of it, nor are those below the folders ``ignored``.
        """
        diff = self._ask("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
        hashed = hashlib.sha256(diff)
        names = self._ask("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
        others = [self.top / os.fsdecode(name) for name in sorted(names) if name]
        others = [path for path in others if not any(path.is_relative_to(each) for each in ignored)]
        for path in others:
            hashed.update(b"\0" + os.fsencode(path.relative_to(self.top)) + b"\0")
            with suppress(OSError):  # gone, or not readable: codrun will say so where it needs it
                hashed.update(file_digest(path).encode() if path.is_file() else b"")
        return hashed.hexdigest() if diff or others else ""

    @contextmanager
    def worktree(self, commit: str, path: Path) -> Iterator[None]:
        """Check a commit out into ``path``, a new folder, while the block runs. No hook of the repository runs."""
        self._ask("worktree", "prune")  # what a killed codrun left of others
        try:
            quiet = ("-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false")
            self._ask(*quiet, "worktree", "add", "--detach", "--quiet", str(path), commit)
            yield
        finally:
            _git(self.top, "worktree", "remove", "--force", str(path))

    def _ask(self, *words: str) -> bytes:
        done = _git(self.top, *words)
        if done.returncode != 0:
            command = next(word for word in words if not word.startswith("-") and "=" not in word)
            raise CodrunError(f"git {command} failed in {self.top}: {_said(done)}")
        return done.stdout


def without_repository(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead git to one certain repository."""
    return {name: value for name, value in environment.items() if name not in _OF_ONE_REPOSITORY}


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    # a session of its own: Ctrl-C, which the whole foreground group receives, must not stop the removal of a worktree
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**without_repository(os.environ), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise RecipeError("git is not installed, and revisions are compared with it; install git") from error
    except OSError as error:
        raise CodrunError(f"git cannot be run: {error.strerror}") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else f"exit code {done.returncode}"

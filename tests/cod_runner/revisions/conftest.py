"""A repository that develops a plugin and has a recipe that uses it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_repository import RECIPE, write_plugin

from cod_runner.revisions.repository import without_repository


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git in the repository."""

    def run(*words: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        environment = without_repository(os.environ)
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path / "repo", env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repo(tmp_path: Path, git: Callable[..., str]) -> Path:
    """A repository with one commit, on the branch ``main``."""
    folder = tmp_path / "repo"
    write_plugin(folder, "sample_old", 0.9)
    (folder / "recipes").mkdir()
    (folder / "recipes" / "watched.yaml").write_text(RECIPE)
    (folder / ".gitignore").write_text("__pycache__/\n")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    return folder

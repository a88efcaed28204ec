"""What git is asked, and what is said where it has no answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.errors import RecipeError
from cod_runner.revisions.recipes import recipes_in
from cod_runner.revisions.repository import Repository

Git = Callable[..., str]


def test_a_revision_is_a_commit(repo: Path, git: Git) -> None:
    repository = Repository.around(repo / "recipes" / "gone.yaml")
    assert repository.top == repo.resolve()
    assert repository.commit_of("main") == git("rev-parse", "HEAD") == repository.commit_of("main@{0}")
    assert repository.place_of(repo / "recipes") == Path("recipes")


@pytest.mark.parametrize("revision", ["nope", "-x", "--all", "", " ", "main\n", "main:recipes", "a..b"])
def test_what_is_no_revision_is_refused(repo: Path, revision: str) -> None:
    with pytest.raises(RecipeError, match=r"is not a revision of .*; name a branch, a tag or a commit"):
        Repository.around(repo).commit_of(revision)


@pytest.mark.parametrize("revision", ["-x", "--git-dir=/elsewhere", "", "main\x1b[31m"])
def test_what_git_could_take_for_an_option_never_reaches_it(
    repo: Path, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.around(repo)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("git was asked"))
    with pytest.raises(RecipeError, match=r"name a branch, a tag or a commit$"):
        repository.commit_of(revision)


def test_a_path_outside_every_repository_is_refused(tmp_path: Path, repo: Path) -> None:
    with pytest.raises(RecipeError, match="is not in the working tree of a git repository"):
        Repository.around(tmp_path / "x.yaml")
    with pytest.raises(RecipeError, match="is not in the repository"):
        Repository.around(repo).place_of(tmp_path / "x.yaml")


def test_a_machine_without_git_is_told(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RecipeError, match="git is not installed"):
        Repository.around(repo)


def test_a_variable_that_a_hook_sets_leads_nowhere_else(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    assert Repository.around(repo).top == repo.resolve()


def test_the_state_of_the_working_tree(repo: Path) -> None:
    repository = Repository.around(repo)
    assert repository.changes([]) == ""
    recipe = repo / "recipes" / "watched.yaml"
    recipe.write_text(recipe.read_text() + "# more\n")
    changed = repository.changes([])
    (repo / "new.py").write_text("1")
    with_new = repository.changes([])
    (repo / "new.py").write_text("2")
    assert len({"", changed, with_new, repository.changes([])}) == 4
    (repo / "runs").mkdir()
    (repo / "runs" / "run.json").write_text("{}")
    (repo / "new.py").unlink()
    assert repository.changes([repo / "runs"]) == changed, "what runs leave is no change"


def test_a_worktree_is_there_as_long_as_it_is_needed_and_no_hook_runs(repo: Path, git: Git, tmp_path: Path) -> None:
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (repo / "recipes" / "watched.yaml").write_text("changed")
    tree = tmp_path / "tree"
    repository = Repository.around(repo)
    with pytest.raises(KeyboardInterrupt), repository.worktree(repository.commit_of("main"), tree):
        assert (tree / "recipes" / "watched.yaml").read_text().startswith("\nrecipe: 1")
        (tree / "left").write_text("what a run leaves")
        raise KeyboardInterrupt
    assert not tree.exists()
    assert len(git("worktree", "list").splitlines()) == 1
    assert not (tmp_path / "hooked").exists()


def test_git_that_is_told_to_stop_still_removes_a_worktree(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches every process of the terminal's group; git must not be one of them."""
    started: list[bool] = []
    run = subprocess.run

    def noted(*arguments: object, **settings: object) -> object:
        started.append(bool(settings.get("start_new_session")))
        return run(*arguments, **settings)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", noted)
    Repository.around(repo).commit_of("main")
    assert started == [True, True]


def test_recipes_of_a_folder(tmp_path: Path) -> None:
    for name, text in {
        "a.yaml": "recipe: 1\n", "b/c.yml": "extends: ../a.yaml\n", "flow.yaml": "{ recipe: 1}\n",
        "_part.yaml": "recipe: 1",
        "workflow.yml": "on: push\n", "deep.yaml": "x:\n  recipe: 1\n", ".hidden/d.yaml": "recipe: 1\n",
        "run/recipe.yaml": "recipe: 1\n", "run/run.json": "{}", "recipe.yaml": "recipe: 1\n", "e.txt": "recipe: 1\n",
        "text.yaml": "recipes: 1\n",
    }.items():  # fmt: skip
        path = tmp_path / "ci" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "ci" / "bytes.yaml").write_bytes(b"\xff\xferecipe: 1\n")
    found = [os.fspath(path) for path in recipes_in(tmp_path, Path("ci"))]
    assert found == ["ci/a.yaml", "ci/b/c.yml", "ci/flow.yaml", "ci/recipe.yaml"]
    assert recipes_in(tmp_path, Path("ci/workflow.yml")) == [Path("ci/workflow.yml")], "one that is named is taken"
    assert recipes_in(tmp_path, Path("nowhere")) == []

"""The two sides of a comparison of revisions: where each lies, what it will cost, and its runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cod_runner.errors import RecipeError
from cod_runner.files import sweep, temporary_folder
from cod_runner.progress import Progress
from cod_runner.revisions.flags import Flags
from cod_runner.revisions.recipes import recipes_in
from cod_runner.revisions.repository import SHOWN, Repository, without_repository
from cod_runner.revisions.runs import Side, planned_run
from cod_runner.revisions.source import developed_in, environment_of, installed_apart
from cod_runner.store import Store

RUNS = Path("runs")
REVISIONS = RUNS / ".revisions"
"""Where the runs of revisions stay, below a folder for each commit."""


@dataclass(frozen=True)
class RunPair:
    """One recipe's two runs."""

    title: str
    """The recipe, relative to the repository."""
    first: Path
    """The run's folder."""
    second: Path


@dataclass(frozen=True)
class RevisionRuns:
    """All recipes, run at both revisions."""

    names: tuple[str, str]
    runs: tuple[RunPair, ...]
    notes: tuple[str, ...]
    """What must be said with the comparison."""


def run_revisions(paths: Sequence[Path], revisions: Sequence[str], flags: Flags, progress: Progress) -> RevisionRuns:
    """Run recipes (or all those in folders) at one revision and in the working tree, or at two revisions.

    Each run is a process of its own, with the code of its revision where that is developed in the repository, and the
    same store. Its folder lies in ``runs/.revisions/<commit>/``, so that a second call repeats nothing; that of a
    working tree with changes also carries a hash of them. Every plan is shown before anything runs.

    Raises :class:`RecipeError` where there is no repository, revision or recipe, :class:`CodrunError` where a run
    fails.
    """
    if len(revisions) > 2:
        raise RecipeError(f"--rev is given {len(revisions)} times; once (against the working tree) or twice")
    repository = Repository.around(paths[0])
    places = [repository.place_of(path) for path in paths]
    commits = [repository.commit_of(revision) for revision in revisions]
    with _trees(repository, commits) as trees:
        sides = [
            _side_of_commit(repository, revision, commit, *tree)
            for revision, commit, tree in zip(revisions, commits, trees, strict=True)
        ]
        if len(sides) == 1:
            sides.append(_side_of_working_tree(repository))
        first, second = sides
        recipes, notes = _in_both(first, second, places)
        notes += _notes_on_the_sides(repository, first, second)
        planned = [planned_run(side, recipe, flags) for side in dict.fromkeys(sides) for recipe in recipes]
        for each in planned:
            progress.say(str(each))
        for each in planned:
            notes += each.run(progress)
    pairs = tuple(
        RunPair(recipe.as_posix(), first.run_of(recipe, flags), second.run_of(recipe, flags)) for recipe in recipes
    )
    return RevisionRuns((first.name, second.name), pairs, tuple(dict.fromkeys(notes)))


def _notes_on_the_sides(repository: Repository, first: Side, second: Side) -> Iterator[str]:
    """What each side is, and whose code it ran."""
    named = [f"{side.name} is {side.state}" for side in (first, second) if side.name != side.state]
    if named:
        yield f"{', '.join(named)}."
    if apart := installed_apart(repository.top, first.developed):
        yield (
            f"`{apart}` is developed here, but a copy of it is installed, so both revisions ran with that copy's code; "
            "install it with `pip install -e .` to compare the code too."
        )
    if first.developed:
        names = ", ".join(f"`{each.name}`" for each in first.developed)
        yield (
            f"Each side ran its own code of {names}; both share the store, so that teachers and their answers are made "
            "again only where a component's `version` or options changed."
        )
    if first.folder == second.folder:
        yield "Both sides are one commit."


@contextmanager
def _trees(repository: Repository, commits: Sequence[str]) -> Iterator[list[tuple[Path, Path]]]:
    """(worktree, folder for its metadata) of each commit, as long as the block runs."""
    place = Path(tempfile.gettempdir()).resolve()
    sweep(place)
    with temporary_folder(place) as folder, ExitStack() as worktrees:
        made = []
        for number, commit in enumerate(commits):
            inside = folder / "revisions" / str(number)
            inside.mkdir(parents=True)
            worktrees.enter_context(repository.worktree(commit, inside / "tree"))
            made.append((inside / "tree", inside / "metadata"))
        yield made


def _side_of_commit(repository: Repository, revision: str, commit: str, tree: Path, shadow: Path) -> Side:
    developed = developed_in(repository.top)
    environment = environment_of(tree, repository.top, developed, shadow, _environment())
    return Side(
        name=revision if not commit.startswith(revision) else commit[:SHOWN],
        state=commit[:SHOWN],
        tree=tree,
        top=repository.top,
        folder=(REVISIONS / commit[:SHOWN]).absolute(),
        environment=environment,
        developed=developed,
    )


def _side_of_working_tree(repository: Repository) -> Side:
    commit = repository.commit_of("HEAD")[:SHOWN]
    changed = repository.changes([RUNS.resolve(), Store().root.resolve()])
    return Side(
        name="working tree",
        state=f"{commit} with changes" if changed else commit,
        tree=repository.top,
        top=repository.top,
        folder=(REVISIONS / (f"{commit}-{changed[:SHOWN]}" if changed else commit)).absolute(),
        environment=_environment(),
        developed=developed_in(repository.top),
    )


def _environment() -> dict[str, str]:
    """That of this process, for one in another folder."""
    environment = without_repository(os.environ)
    if environment.get("CODRUN_HOME"):
        environment["CODRUN_HOME"] = str(Path(environment["CODRUN_HOME"]).absolute())
    return environment


def _in_both(first: Side, second: Side, places: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The recipes that both sides have, and what is said of the others."""
    recipes: dict[Path, None] = {}
    notes = []
    for place in places:
        ours, theirs = recipes_in(first.tree, place), recipes_in(second.tree, place)
        common = [recipe for recipe in ours if recipe in theirs]
        if not common:
            lacking = [side.name for side, found in ((first, ours), (second, theirs)) if not found]
            where = f"{lacking[0]} has" if len(lacking) == 1 else f"{first.name} and {second.name} have"
            what = "none in common" if not lacking else "no recipe there"
            raise RecipeError(f"{place.as_posix()}: {where} {what}, so there is nothing to compare")
        recipes.update(dict.fromkeys(common))
        for recipe in ours:
            if recipe not in theirs:
                notes.append(f"{recipe.as_posix()} is gone in {second.name}, and was not compared.")
        for recipe in theirs:
            if recipe not in ours:
                notes.append(f"{recipe.as_posix()} is new in {second.name}, and was not compared.")
    return list(recipes), notes

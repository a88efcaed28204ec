"""`codrun store`: what is worth keeping between runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cod_runner.cli.options import JsonOption
from cod_runner.cli.question import agreed
from cod_runner.plain_text import json_text, one_line, visible

if TYPE_CHECKING:
    from cod_runner.store import Store, StoreEntry, Use

store = typer.Typer(no_args_is_help=True, help="What is stored between runs: teachers, signals, pairs, model answers.")


LISTED = 20
"""Of one entry's files; more than so many are counted by folder."""
DAYS = 30.0
KEPT = "nothing was deleted"


@store.command("list")
def store_list(as_json: JsonOption = False) -> None:
    """List what is stored between runs: its size, when a run used it last, and the recipe that it was made for."""
    from cod_runner.store import Store

    stored = Store()
    entries = stored.entries()
    if as_json:
        typer.echo(json_text({"store": str(stored.root), "entries": [_as_json(stored, each) for each in entries]}))
        return
    typer.echo(visible(str(stored.root)))
    for entry in entries:
        typer.echo(f"  {_told(stored, entry)}")
    others = stored.others() if stored.root.exists() else []
    if others:
        named = ", ".join(map(visible, others[:LISTED])) + (", ..." if len(others) > LISTED else "")
        typer.echo(f"not codrun's, never pruned: {named}")


@store.command("prune")
def store_prune(
    name: Annotated[str | None, typer.Argument(help="an entry as `codrun store list` names it")] = None,
    unused: Annotated[
        bool,
        typer.Option(
            "--unused",
            help="whatever no run used for some days and any run can make again: fine-tuned teachers and checkpoints "
            "of them, converted models, the answers of a teacher, what losses fitted, embeddings, what was set aside "
            "as damaged, what a kill left half-written; never paid answers (`llm.sqlite`), nor `pairs` and `recipes`, "
            "which go by name alone",
        ),
    ] = False,
    days: Annotated[float, typer.Option("--days", min=0, help="with --unused: how many days")] = DAYS,
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
) -> None:
    """Delete one entry of the store, or with `--unused` what no run needed for a while; what goes is listed first.

    Paid model answers go only as `llm.sqlite`. While a run uses the store, nothing is deleted.
    """
    from cod_runner.store import Store

    if (name is None) == (not unused):
        raise typer.BadParameter("name an entry as `codrun store list` shows it, or give --unused, and not both")
    stored = Store()
    if name is not None:
        _prune_one(stored, name, yes)
    else:
        _prune_unused(stored, days, yes)


def _prune_one(stored: Store, name: str, yes: bool) -> None:
    from cod_runner.disk import told_size

    typer.echo(f"from {visible(str(stored.root))}:")
    for line in _listed(stored.entry(name), stored):
        typer.echo(f"  {visible(line)}")
    if yes or agreed(f"delete {visible(name)}?"):
        typer.echo(f"freed {told_size(stored.prune(name))}")
    else:
        typer.echo(KEPT)


def _prune_unused(stored: Store, days: float, yes: bool) -> None:
    from cod_runner.disk import told_size

    entries = stored.unused(days)
    if not entries:
        typer.echo(f"{visible(str(stored.root))} holds nothing that no run used for {days:g} days")
        return
    typer.echo(f"not used for {days:g} days, in {visible(str(stored.root))}:")
    for entry in entries:
        typer.echo(f"  {_told(stored, entry)}")
    if yes or agreed(f"delete these, {told_size(sum(entry.bytes for entry in entries))} in all?"):
        typer.echo(f"freed {told_size(stored.prune(*(entry.name for entry in entries)))}")
    else:
        typer.echo(KEPT)


def _told(stored: Store, entry: StoreEntry) -> str:
    from cod_runner.disk import told_size

    use = _use(stored, entry)
    words = [f"used {_day(use.used)}" if use is not None else f"written {_day(entry.changed)}"]
    if "/" in entry.name and entry.name.startswith(("teachers/", "models/")):
        made_for = None if use is None else use.made_for
        words.append(f"for {made_for.recipe}" if made_for is not None else "for an unknown recipe")
    texts, teachers = _answers(stored, entry)
    if teachers:
        words.append(f"{texts:,} answers of {teachers:,} teacher{'' if teachers == 1 else 's'}")
    return one_line(f"{told_size(entry.bytes):>10}  {entry.name}  {', '.join(words)}")


def _as_json(stored: Store, entry: StoreEntry) -> dict[str, Any]:
    use = _use(stored, entry)
    made_for = None if use is None else use.made_for
    texts, teachers = _answers(stored, entry)
    return {
        "name": entry.name,
        "bytes": entry.bytes,
        "written": entry.changed.isoformat(timespec="seconds"),
        "used": None if use is None else use.used.isoformat(timespec="seconds"),
        "recipe": None if made_for is None else made_for.recipe,
        "run": None if made_for is None else made_for.run,
        **({"texts": texts, "teachers": teachers} if teachers else {}),
    }


def _use(stored: Store, entry: StoreEntry) -> Use | None:
    """What is known of its use; a checkpoint's, and a damaged teacher's, is that of its teacher."""
    return stored.uses.of(entry.name.partition(".")[0] if entry.name.startswith("teachers/") else entry.name)


def _answers(stored: Store, entry: StoreEntry) -> tuple[int, int]:
    """(texts, teachers) whose answers an entry holds."""
    from cod_runner.store import AnswersEntry

    if entry.name == "signals":
        found = stored.answers()
        return sum(answers.texts for answers in found), len(found)
    return (entry.answers.texts, 1) if isinstance(entry, AnswersEntry) else (0, 0)


def _day(when: datetime) -> str:
    return f"{when.astimezone():%Y-%m-%d}"


def _listed(entry: StoreEntry, stored: Store) -> Iterator[str]:
    """Every file of an entry; where there are many, those of one folder of the store in one line."""
    from cod_runner.store import AnswersEntry

    files: Sequence[str] = [path.relative_to(stored.root).as_posix() for path in entry.files]
    if isinstance(entry, AnswersEntry):
        yield f"{entry.answers.texts:,} answers of one teacher in the database of the signals"
    if len(files) <= LISTED:
        yield from files
        return
    for place, number in Counter("/".join(name.split("/")[:2]) for name in files).items():
        yield place if place in files else f"{place}/ ({number:,} files)"

"""`codrun push`: a student goes to the Hugging Face hub, once it is clear what goes where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cod_runner.cli.options import OfflineOption
from cod_runner.errors import RecipeError
from cod_runner.plain_text import one_line


def push(
    student: Annotated[
        Path, typer.Argument(metavar="STUDENT", help="a student's folder, or an exported one", show_default=False)
    ],
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="OWNER/NAME on the Hugging Face hub", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="send it; without this nothing is sent, and nobody asked")] = False,
    public: Annotated[bool, typer.Option("--public", help="for everybody to read; else the repository is private")] = (
        False
    ),
    offline: OfflineOption = False,
) -> None:
    """Show what of a student would go to the hub; with --yes, send it, its model card with it."""
    from cod_runner.deployment import push as hub
    from cod_runner.deployment.upload import upload_of

    hub.check_repository(repository)
    upload = upload_of(student)
    if yes and offline:
        raise RecipeError("--offline sends nothing, and --yes says to send; leave one of them out")
    who = "for everybody to read" if public else "private"
    _say(f"from {student} to {repository} at {hub.hub_address()}, {who}:")
    for file in upload.files:
        _say(f"  {_size(file.size):>9}  {file.name}")
    _say(f"  {_size(upload.size):>9}  in {len(upload.files)} files")
    for left_out in upload.left_out:
        _say(f"not sent: {left_out}")
    if not yes:
        _say("a token is set; whose it is, is asked with --yes alone" if hub.has_token() else hub.NO_TOKEN)
        _say("nothing was sent; --yes sends it")
        return
    _say(f"sent: {hub.push(upload, repository, public=public, say=_say)}")


def _say(sentence: str) -> None:
    typer.echo(one_line(sentence))


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"

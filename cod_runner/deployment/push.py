"""Sends a student to the Hugging Face hub: what was shown, to a repository that is as private as was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cod_runner.deployment.upload import CARD, Upload
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.hugging_face import hub_errors

NO_TOKEN = "no token for the hub is set; set HF_TOKEN, or sign in with `hf auth login`"
MEANINGS = {
    401: "the hub does not accept the token; set HF_TOKEN to a valid one, or sign in with `hf auth login`",
    403: "the token may not write there; take one with write access, or a repository of your own",
    404: "the hub has no such account, or the token may not see it",
    409: "somebody changed the repository at the same time; repeat the command",
    413: "the hub takes no files as large as these",
    429: "the hub asks to wait; repeat the command later",
}
"""By the status of the hub's answer: what is the matter, and its cure."""


def hub_address() -> str:
    """Where the hub is, for this environment."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def has_token() -> bool:
    """Whether a token for the hub is set; looked up on this machine, sent nowhere."""
    from huggingface_hub import get_token

    return get_token() is not None


def check_repository(name: str) -> None:
    """Raise :class:`RecipeError` for what cannot be a repository's name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise RecipeError(
            f"`{name}` cannot be a repository of the hub; write OWNER/NAME, of letters, digits, `-`, `_` and `.`"
        ) from error


def push(upload: Upload, repository: str, *, public: bool, say: Callable[[str], None]) -> str:
    """Make the repository, if it is not there, and send every file in one commit; returns the student's address.

    Nothing is sent to a public repository unless ``public``. Raises :class:`CodrunError`, one sentence, never with the
    token in it.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise CodrunError("HF_HUB_OFFLINE is set, so nothing is sent; unset it to push")
    token = get_token()
    if token is None:
        raise CodrunError(NO_TOKEN)
    api = HfApi(token=token)
    with _told(token, repository):
        account = str(api.whoami()["name"])
        whole = repository if "/" in repository else f"{account}/{repository}"
        say(f"account: {account}")
        api.create_repo(whole, private=not public, exist_ok=True)
        _refuse_more_public(api, whole, public)
        added = [
            CommitOperationAdd(
                path_in_repo=file.name,
                path_or_fileobj=file.content if isinstance(file.content, bytes) else str(file.content),
            )
            for file in upload.files
        ]
        api.create_commit(whole, added, commit_message=f"{upload.record.recipe or 'codrun'}: {upload.record.cell}")
    return f"{hub_address()}/{whole}"


def _refuse_more_public(api: Any, repository: str, public: bool) -> None:
    """One that was there before keeps its visibility."""
    if not public and not api.repo_info(repository).private:
        raise CodrunError(
            f"{repository} is there already and everybody can read it, so nothing was sent; `--public` says that this "
            "is meant, or name another repository"
        )


@contextmanager
def _told(token: str, repository: str) -> Iterator[None]:
    try:
        yield
    except hub_errors() as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in MEANINGS:
            raise CodrunError(f"{repository} was not pushed: {MEANINGS[status]}") from None
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = (lines[0] if lines else type(error).__name__).replace(token, "(the token)")
        raise CodrunError(
            f"{repository} was not pushed: the hub {'could not be reached' if status is None else 'failed'} ({why}); "
            "repeat the command"
        ) from None
    except ValueError as error:  # it found fault with the card's YAML block
        why = " ".join(str(error).split()).replace(token, "(the token)")
        raise CodrunError(f"{repository} was not pushed: the hub does not take {CARD} as it is: {why}") from None

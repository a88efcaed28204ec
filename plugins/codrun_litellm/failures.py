"""What a failed call means, judged by its status rather than its class, with keys removed from every message."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cod_runner.api import ProviderError

TRANSIENT = (408, 409, 425, 429)
"""Client errors that may not recur on a later try."""
LONGEST_DETAIL = 240
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
SHORTEST_SECRET = 8
"""Anything shorter is a flag rather than a key; replacing it would remove common words from texts."""
PLACEHOLDER_KEY = "not-needed"
"""Sent to a user's own server that needs no key, because the underlying client requires one."""
SECRET_SHAPES = (
    re.compile(r"\b(?:sk|pk|rk|gsk|xai|key|pplx|nvapi|hf)[-_][A-Za-z0-9_\-*.]{6,}"),
    re.compile(r"(?i)\bbearer\s+[^\s\"',}]+"),
    re.compile(r"(?i)([?&](?:api[-_]?key|key|token)=)[^&\s\"']+"),
)
UNSENT = {"ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError", "gaierror"}
LOST = {"APIConnectionError", "RemoteProtocolError", "ReadError", "ServerDisconnectedError", "ConnectionResetError"}
UNREADABLE = "Invalid response object"
"""How litellm begins its report of a body that it cannot read as a chat completion."""
WRAPPING = re.compile(r"\A(?:(?:[\w.]+(?:Error|Exception|Timeout): )|(?:\w+(?:Exception|Error) - ))+")
"""The names of classes that litellm puts before a provider's own words."""


@dataclass(frozen=True)
class CallFailure:
    """One failed call."""

    status: int | None
    """The provider's HTTP status; None if there was no HTTP answer."""
    detail: str
    """One line in the provider's words, without secrets."""
    permanent: bool = False
    """A retry would fail too."""
    retry_after: float | None = None
    """Seconds the provider asks us to wait."""
    may_be_billed: bool = False
    """The provider may have done the work, and may bill it, although no answer came."""
    timed_out: bool = False
    """The provider was reached and did not answer in time."""
    unreachable: bool = False
    """No connection was made, so nothing was sent."""
    unreadable: bool = False
    """An answer came that is not a chat completion; asking again would be paid for again."""
    filtered: bool = False
    """The provider refuses to work on this text: a refusal, not a failure."""


class FailedCallError(ProviderError):
    """A call failed for good. ``failure`` says how, for whoever can ask in another way."""

    def __init__(self, sentence: str, failure: CallFailure) -> None:
        super().__init__(sentence)
        self.failure = failure


def failure_of(error: BaseException, api_key: str | None) -> CallFailure:
    """What an exception of litellm, or of a library underneath it, means."""
    status = getattr(error, "status_code", None)
    status = status if isinstance(status, int) else None
    detail = WRAPPING.sub("", _one_line(scrubbed(str(error), api_key)))
    names = {type(each).__name__ for each in _chain(error)}
    if "Missing credentials" in detail or "api_key client option must be set" in detail:
        status = 401  # litellm reports a key that is missing locally as the provider's error 500
    if status == 400 and ("ContentPolicyViolationError" in names or "content_filter" in detail):
        return CallFailure(status, detail, filtered=True)
    permanent = status is not None and 400 <= status < 500 and status not in TRANSIENT
    if status == 429 and ("insufficient_quota" in detail or "exceeded your current quota" in detail):
        permanent = True  # an empty account is not a rate limit
    timed_out = status in (408, 504) or any("Timeout" in name for name in names)
    lost = not timed_out and bool(names & LOST)
    unreachable = bool(names & UNSENT)
    if UNREADABLE in detail:
        return CallFailure(None, detail.partition(" Traceback")[0], permanent=True, may_be_billed=True, unreadable=True)
    return CallFailure(
        # litellm reports a connection that failed as the provider's error 500
        status=None if lost or unreachable else status,
        detail=detail,
        permanent=permanent,
        retry_after=_retry_after(error),
        may_be_billed=(timed_out or lost) and not unreachable,
        timed_out=timed_out and not unreachable,
        unreachable=unreachable,
    )


def scrubbed(text: str, api_key: str | None = None) -> str:
    """An error's ``text`` without the values of secret-looking environment variables, without the key in use, and
    without anything that looks like a key."""
    secrets = {value for name, value in os.environ.items() if SECRET_NAME.search(name)} - {PLACEHOLDER_KEY}
    for secret in sorted(secrets, key=len, reverse=True):
        text = without_key(text, secret)
    text = SECRET_SHAPES[0].sub("[key]", without_key(text, api_key))
    text = SECRET_SHAPES[1].sub("bearer [key]", text)
    return SECRET_SHAPES[2].sub(lambda found: f"{found[1]}[key]", text)


def without_key(text: str, api_key: str | None) -> str:
    """``text`` without this one key."""
    if api_key is None or api_key == PLACEHOLDER_KEY or len(api_key) < SHORTEST_SECRET:
        return text
    return text.replace(api_key, "[key]")


def sentence(failure: CallFailure, model: str, base: str | None, key_variable: str, key_is_set: bool) -> str:
    """What the user reads when a failure ends the run: model, address, cause, cure."""
    where = f"`{model}`" + (f" at {base}" if base else "")
    saved = "every answer so far is saved, run the same command to continue"
    match failure.status:
        case 401 | 403 if not key_is_set:
            cause, cure = "needs a key", f"set the environment variable {key_variable}"
        case 401:
            cause, cure = "refused the key", f"check the environment variable {key_variable}"
        case 403:
            cause, cure = "does not allow the call", f"check what the key in {key_variable} may use"
        case 404:
            cause, cure = "was not found", "check `model` and `api_base`"
        case 402:
            cause, cure = "asks for payment", "check the account"
        case 429 if failure.permanent:
            cause, cure = "has no quota left on this account", "check the account"
        case 429:
            cause, cure = "is still limiting the rate after every retry", "lower `concurrency` or wait"
        case 408:
            cause, cure = "timed out on every retry", "raise `timeout` or lower `concurrency`"
        case status if status is not None and status < 500:
            cause, cure = "rejected the request", "check `model` and its parameters"
        case _ if failure.unreadable:
            cause, cure = "answers with something that is not a chat completion", "check `model` and `api_base`"
        case _ if failure.unreachable:
            cause, cure = "cannot be reached", "check `api_base`, the network, and that the server runs"
        case _:
            cause, cure = "failed on every retry", "check the provider's state"
    number = f" ({failure.status})" if failure.status else ""
    return f"{where} {cause}{number}: {cure}; {saved}; the provider's words: {failure.detail or 'none'}"


def in_short(failure: CallFailure) -> str:
    """A failure in two or three words, for a line of progress."""
    if failure.timed_out:
        return "time-out"
    if failure.status == 429:
        return "429 rate limit"
    if failure.unreachable:
        return "no connection"
    return str(failure.status) if failure.status else "connection lost"


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_DETAIL else line[:LONGEST_DETAIL].rpartition(" ")[0] + " ..."


def _retry_after(error: BaseException) -> float | None:
    """Seconds, from a header in seconds or as a date (RFC 9110, 10.2.3), or in milliseconds as Azure sends it."""
    headers: dict[str, str] = {}
    for source in (getattr(getattr(error, "response", None), "headers", None), _litellm_headers(error)):
        if isinstance(source, Mapping):
            headers.update({str(name).lower(): str(value) for name, value in source.items()})
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _litellm_headers(error: BaseException) -> object:
    return getattr(error, "litellm_response_headers", None)

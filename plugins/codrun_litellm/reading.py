"""What a provider's response says, read without trust: what was paid for is recorded, whatever its shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from cod_runner.api import LLMAnswer, LLMRequest
from codrun_litellm.failures import without_key
from codrun_litellm.pricing import BYTES_PER_TOKEN_AT_LEAST, Price, tokens_at_most

MOST_TOKENS = 100_000_000
"""No call has more; a provider that reports more is not believed."""
CHARACTERS_PER_TOKEN_AT_MOST = 64
"""Of an answer; what is longer than `max_tokens` such tokens is cut off there."""
DEFAULT_MAX_TOKENS = 512
"""Of a request that says nothing of its answer's length."""


def is_completion(request: LLMRequest) -> bool:
    """Whether a request is a text to be continued rather than a conversation."""
    return len(request.messages) == 1 and request.messages[0][0] == "prompt"


def longest_answer(request: LLMRequest) -> int:
    """The most tokens that a request allows its answer."""
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(request.parameters.get(name), int):
            return int(request.parameters[name])
    return DEFAULT_MAX_TOKENS


def read_response(request: LLMRequest, response: Any, price: Price | None, secret: str | None) -> LLMAnswer:
    """The answer in a response of litellm, or in the mapping that the provider sent.

    A server that echoes the request's headers must not put the key into the ledger: ``secret`` is removed from every
    text. Raises :class:`LookupError` where there is no choice at all.
    """
    choice = _field(response, "choices")[0]
    usage = _field(response, "usage")
    counted = _counted(usage, "completion_tokens")
    logprobs = _field(choice, "logprobs")
    scores = scores_in(logprobs)
    prompt_scores: list[tuple[str | None, float | None]] = []
    if is_completion(request):
        text = str(_field(choice, "text") or "")
        if request.parameters.get("echo"):
            prompt = request.messages[0][1]
            echoed = min(_tokens_of_the_prompt(logprobs, prompt, counted), len(scores))
            prompt_scores = list(zip(_tokens(logprobs)[:echoed], _chosen(logprobs)[:echoed], strict=True))
            scores = scores[echoed:]
            text = text.removeprefix(prompt)
    else:
        message = _field(choice, "message")
        text = str(_field(message, "content") or _field(message, "refusal") or "")
    finish = str(_field(choice, "finish_reason") or "")
    longest = longest_answer(request) * CHARACTERS_PER_TOKEN_AT_MOST
    if len(text) > longest:  # a server that ignores `max_tokens`
        text, finish = text[:longest], "length"
    tokens_in = _counted(usage, "prompt_tokens") or tokens_at_most(request.messages)
    tokens_out = counted or len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN_AT_LEAST
    return LLMAnswer(
        without_key(text, secret),
        finish,
        tokens_in,
        tokens_out,
        price.of(tokens_in, tokens_out) if price else None,
        tuple(tuple((without_key(token, secret), score) for token, score in each) for each in scores),
        tuple((without_key(token or "", secret), score) for token, score in prompt_scores),
    ).within_bounds


def scores_in(logprobs: Any) -> list[tuple[tuple[str, float], ...]]:
    """For each token the likeliest ones with their log-probabilities, the chosen one first.

    Reads the form of chats (`content`), which some servers use for completions too, and that of completions (`tokens`),
    which some use in chats. A number may be written as text. An entry without a token or a number is left out.
    """
    return [
        _distinct([(token, score), *top])
        for token, score, top in zip(_tokens(logprobs), _chosen(logprobs), _alternatives(logprobs), strict=True)
    ]


def _tokens(logprobs: Any) -> list[str | None]:
    """The token at each place, None where none is named."""
    named = [_field(entry, "token") for entry in _entries(logprobs)] or _listed(_field(logprobs, "tokens"))
    return [token if isinstance(token, str) else None for token in named]


def _chosen(logprobs: Any) -> list[float | None]:
    """The log-probability of the token at each place."""
    entries = _entries(logprobs)
    if entries:
        return [_number(_field(entry, "logprob")) for entry in entries]
    places = len(_listed(_field(logprobs, "tokens")))
    return [_number(value) for value in _padded(_field(logprobs, "token_logprobs"), places)]


def _alternatives(logprobs: Any) -> list[list[tuple[Any, float | None]]]:
    """What else might have stood at each place."""
    entries = _entries(logprobs)
    if entries:
        return [_pairs(_field(entry, "top_logprobs")) for entry in entries]
    places = len(_listed(_field(logprobs, "tokens")))
    return [_pairs(top) for top in _padded(_field(logprobs, "top_logprobs"), places)]


def _entries(logprobs: Any) -> list[Any]:
    return _listed(_field(logprobs, "content"))


def _pairs(top: Any) -> list[tuple[Any, float | None]]:
    if isinstance(top, Mapping):
        return [(token, _number(score)) for token, score in top.items()]
    return [(_field(entry, "token"), _number(_field(entry, "logprob"))) for entry in _listed(top)]


def _distinct(pairs: Sequence[tuple[Any, float | None]]) -> tuple[tuple[str, float], ...]:
    """The pairs that are one; the chosen token is not repeated among its alternatives, others are kept as given."""
    readable = [(token, score) for token, score in pairs if isinstance(token, str) and score is not None]
    return tuple(pair for place, pair in enumerate(readable) if not place or pair != readable[0])


def _tokens_of_the_prompt(logprobs: Any, prompt: str, completion_tokens: int) -> int:
    """How many of an echoed answer's tokens are the prompt's: by the provider's count, else by where tokens begin."""
    tokens = _tokens(logprobs)
    if 0 < completion_tokens <= len(tokens):
        return len(tokens) - completion_tokens
    begins = [offset for offset in _listed(_field(logprobs, "text_offset")) if isinstance(offset, int)]
    if len(begins) != len(tokens):
        begins = [0, *accumulate(len(token or "") for token in tokens)][: len(tokens)]
    return sum(begin < len(prompt) for begin in begins)


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _padded(value: Any, places: int) -> list[Any]:
    given = _listed(value)[:places]
    return given + [None] * (places - len(given))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _counted(usage: Any, name: str) -> int:
    """A number of tokens as the provider counts them; 0 where it says none, or something that cannot be one."""
    count = _field(usage, name)
    if not isinstance(count, int | float) or not 0 < count <= MOST_TOKENS:
        return 0
    return int(count)

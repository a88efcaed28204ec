"""Gets answers from the ledger if it has them, otherwise from the model, and pays for each only once.

Retries, cache and cost are ours; litellm's are off. The first failure that a retry would not cure ends the dispatch:
nothing new is sent, calls in flight are waited for and recorded, and the failure is raised as one sentence.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
import warnings
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cod_runner.api import CodrunError, Ledger, LLMAnswer, LLMRequest, ProviderError, Reservation, Spending
from codrun_litellm.failures import PLACEHOLDER_KEY, CallFailure, failure_of, sentence, without_key
from codrun_litellm.options import LitellmOptions
from codrun_litellm.pricing import BYTES_PER_TOKEN_AT_LEAST, price_of, tokens_at_most
from codrun_litellm.providers import key_variable

LOG = logging.getLogger("codrun.litellm")
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds of back-off after the first failure, doubled after each; jitter subtracts up to half."""
LONGEST_RETRY_AFTER = 600.0
BREAKER_FAILURES, BREAKER_REQUESTS, BREAKER_SECONDS = 12, 3, 5.0
"""The circuit breaks after this many failed calls in a row, over this many requests and seconds."""
MOST_TOKENS = 100_000_000
"""No call has more; a provider that reports more is not believed."""
CHARACTERS_PER_TOKEN_AT_MOST = 64
"""Of an answer; what is longer than `max_tokens` such tokens is cut off there."""
POLL, LONGEST_POLL = 0.02, 0.5


class Client:
    """One model at one address."""

    def __init__(self, options: LitellmOptions, ledger: Ledger, spending: Spending, offline: bool) -> None:
        self._options = options
        self._ledger = ledger
        self._spending = spending
        self._offline = offline
        self._price = price_of(options.model, options.api_base)
        spending.require_a_bound(options.model, self._price is not None)

    def ask(self, requests: Sequence[LLMRequest]) -> dict[str, LLMAnswer]:
        """Answers by the request's key.

        Raises :class:`ProviderError` unless every request is answered; answers received so far are in the ledger.
        """
        unique = {request.key: request for request in requests}
        answers = self._ledger.answers(list(unique))
        self._spending.reused(len(answers))
        missing = [request for key, request in unique.items() if key not in answers]
        if not missing:
            return answers
        if self._offline:
            raise ProviderError(
                f"{len(missing)} of {len(unique)} answers of `{self._options.model}` are not in the ledger, and "
                "--offline forbids asking for them; run once without --offline, or import a ledger that has them"
            )
        dispatch = _Dispatch(self._options, self._ledger, self._spending, self._price)
        _run(dispatch.ask_all(missing))
        if dispatch.ended is not None:
            raise dispatch.ended
        return {**answers, **dispatch.answers}


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run``, in a separate thread if this one already runs a loop."""
    if not _a_loop_runs_here():
        asyncio.run(coroutine)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


def _a_loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Dispatch:
    """One round of calls in one event loop."""

    def __init__(self, options: LitellmOptions, ledger: Ledger, spending: Spending, price: Any) -> None:
        self._options, self._ledger, self._spending, self._price = options, ledger, spending, price
        self.answers: dict[str, LLMAnswer] = {}
        self.ended: CodrunError | None = None
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(options.concurrency)
        self._jitter = random.Random()
        self._failures = 0
        self._failed_requests: set[str] = set()
        self._last_success = time.monotonic()
        self._key: str | None = None
        self._key_variable = options.api_key_env or ""

    async def ask_all(self, requests: Sequence[LLMRequest]) -> None:
        """Fill ``answers``; ``ended`` is the error that ended the dispatch early, if one did."""
        self._litellm = _litellm()
        self._taken = self._litellm.get_supported_openai_params(model=self._options.model) or ()
        self._find_the_key()
        if self.ended is None:
            self._last_success = time.monotonic()
            try:
                await asyncio.gather(*(self._answer(request) for request in requests))
            finally:
                self._ledger.sync()
            await _close(self._litellm)

    async def _answer(self, request: LLMRequest) -> None:
        poll, tries = POLL, 0
        while not self._stop.is_set():
            failure: CallFailure | None = None
            async with self._slots:
                if self._stop.is_set():
                    return
                asked = await self._try_once(request)
                if asked is True:
                    return
                if isinstance(asked, CallFailure):
                    failure = asked
            if failure is None:  # another run is making the same call, or calls in flight hold the rest of the budget
                await self._pause(poll)
                poll = min(LONGEST_POLL, poll * 1.5)
                continue
            tries += 1
            if failure.permanent or tries > self._options.retries or self._circuit_is_broken():
                self._end(ProviderError(self._sentence(failure)))
                return
            await self._pause(self._back_off(tries, failure))

    async def _try_once(self, request: LLMRequest) -> bool | CallFailure:
        """True: answered, or the dispatch has ended. False: try later. A failure: the call was made and failed."""
        tokens_in = tokens_at_most(request.messages)
        usd_in = self._price.of(tokens_in, 0) if self._price else None
        tokens = tokens_in + self._options.max_tokens
        usd = self._price.of(tokens_in, self._options.max_tokens) if self._price else None
        try:
            reservation = self._spending.reserve(tokens, usd)
            if reservation is None:
                return False
        except ProviderError as spent:
            self._end(spent)
            return True
        settled = False
        try:
            claimed = self._ledger.claim(request.key, tokens, usd)
            if isinstance(claimed, LLMAnswer):
                self.answers[request.key] = claimed
                self._spending.reused()
                return True
            if not claimed:
                return False
            answer = await self._call(request)
            if isinstance(answer, LLMAnswer):
                self._ledger.record(request, answer)
                self._spending.settle(reservation, answer.tokens_in + answer.tokens_out, answer.usd)
                settled = True
                self.answers[request.key] = answer
                self._failures, self._last_success = 0, time.monotonic()
                self._failed_requests.clear()
                return True
            if answer.may_be_billed:
                settled = self._count_unanswered(request, reservation, tokens_in, usd_in)
            self._ledger.give_up(request.key)
            self._failures += answer.status != 429
            self._failed_requests.add(request.key)
            return answer
        except asyncio.CancelledError:
            # Ctrl-C during the call: it may be billed
            settled = self._count_unanswered(request, reservation, tokens_in, usd_in)
            self._ledger.give_up(request.key)
            raise
        except CodrunError as error:  # the ledger cannot be written: an answer would be lost
            self._end(error)
            return True
        finally:
            if not settled:
                self._spending.release(reservation)

    def _count_unanswered(
        self, request: LLMRequest, reservation: Reservation, tokens_in: int, usd_in: float | None
    ) -> bool:
        self._ledger.unanswered(request.key, tokens_in, usd_in)
        self._spending.settle(reservation, tokens_in, usd_in)
        return True

    async def _call(self, request: LLMRequest) -> LLMAnswer | CallFailure:
        options = self._options
        call: dict[str, Any] = {
            "model": options.model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "timeout": options.timeout,
            "num_retries": 0,
            "max_retries": 0,
            **self._parameters(request),
        }
        if options.api_base:
            call["api_base"] = options.api_base
        if options.api_version:
            call["api_version"] = options.api_version
        if self._key:
            call["api_key"] = self._key
        try:
            # a provider's client that ignores its own time-out must not hang the run
            response = await asyncio.wait_for(self._litellm.acompletion(**call), options.timeout + 5)
            return self._read(request, response)
        except Exception as error:  # noqa: BLE001 - litellm raises anything from IndexError to its own 20 classes
            failure = failure_of(error, self._key)
        if failure.filtered:
            return LLMAnswer("", "content_filter", 0, 0, 0.0 if self._price else None)
        LOG.info("call failed: %s", failure.detail)
        return failure

    def _read(self, request: LLMRequest, response: Any) -> LLMAnswer:
        choice = response.choices[0]
        text = str(choice.message.content or getattr(choice.message, "refusal", None) or "")
        finish = str(choice.finish_reason or "")
        longest = self._options.max_tokens * CHARACTERS_PER_TOKEN_AT_MOST
        if len(text) > longest:  # a server that ignores `max_tokens`
            text, finish = text[:longest], "length"
        usage = getattr(response, "usage", None)
        tokens_in = _counted(usage, "prompt_tokens") or tokens_at_most(request.messages)
        tokens_out = _counted(usage, "completion_tokens") or len(text.encode("utf-8", "replace")) // (
            BYTES_PER_TOKEN_AT_LEAST
        )
        usd = self._price.of(tokens_in, tokens_out) if self._price else None
        # a server that echoes the request's headers must not put the key into the ledger
        text = without_key(text, self._key or os.environ.get(self._key_variable))
        return LLMAnswer(text, finish, tokens_in, tokens_out, usd)

    def _parameters(self, request: LLMRequest) -> dict[str, Any]:
        """The request's parameters, without seed or response format if the provider does not accept them."""
        parameters = {name: value for name, value in request.parameters.items() if value is not None}
        for name in ("seed", "response_format"):
            if name not in self._taken:
                parameters.pop(name, None)
        parameters.pop("api_version", None)
        return parameters

    def _find_the_key(self) -> None:
        """Find the key, for sending and for scrubbing; without a required key, end the dispatch before any call."""
        model, base = self._options.model, self._options.api_base
        if self._options.api_key_env:
            self._key = os.environ.get(self._options.api_key_env) or None
            if self._key is None:
                self._end(ProviderError(self._missing(self._options.api_key_env)))
            return
        provider = model.partition("/")[0] if "/" in model else "openai"
        self._key_variable = key_variable(model)
        if base is not None:
            # said here, because litellm would choose another provider's key by what the address contains
            self._key = os.environ.get(self._key_variable) or None
            if self._key is None and (provider == "openai" or provider not in map(str, self._litellm.provider_list)):
                self._key = PLACEHOLDER_KEY
                return
        wanted = self._litellm.validate_environment(model).get("missing_keys", [])
        absent = [name for name in wanted if name.endswith("_API_KEY")]
        if absent and "AZURE_AD_TOKEN" not in os.environ and self._key is None:
            self._key_variable = absent[0]
            self._end(ProviderError(self._missing(absent[0])))

    def _missing(self, variable: str) -> str:
        return sentence(
            CallFailure(401, f"none, the call was not sent, {variable} is not set"),
            self._options.model, self._options.api_base, variable, key_is_set=False,
        )  # fmt: skip

    def _sentence(self, failure: CallFailure) -> str:
        is_set = bool(os.environ.get(self._key_variable))
        return sentence(failure, self._options.model, self._options.api_base, self._key_variable, is_set)

    def _circuit_is_broken(self) -> bool:
        return (
            self._failures >= BREAKER_FAILURES
            and len(self._failed_requests) >= BREAKER_REQUESTS
            and time.monotonic() - self._last_success >= BREAKER_SECONDS
        )

    def _back_off(self, tries: int, failure: CallFailure) -> float:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * self._jitter.uniform(0.5, 1.0)
        if failure.retry_after is not None:
            # never earlier than asked, and not all at the same instant
            wait = min(LONGEST_RETRY_AFTER, failure.retry_after) + self._jitter.uniform(0.0, 0.25)
        return wait

    async def _pause(self, seconds: float) -> None:
        """Sleep, but return early if the dispatch ends."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _end(self, error: CodrunError) -> None:
        if self.ended is None:
            self.ended = error
        self._stop.set()


def _counted(usage: object, name: str) -> int:
    """A number of tokens as the provider counts them; 0 where it says none, or something that cannot be one.

    What was paid for must be recorded, whatever its usage says.
    """
    count = getattr(usage, name, None)
    if not isinstance(count, int | float) or not 0 < count <= MOST_TOKENS:
        return 0
    return int(count)


def _litellm() -> Any:
    """litellm, imported here, without its network look-up, banner, telemetry, retries and logging."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # else it reads a file `.env` around its own folder or the current one, which may be a stranger's and redirect calls
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.num_retries = None
    litellm.cache = None
    # of a provider's odd answer, with its content; what cannot be read is reported by a sentence of ours
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    clients = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "aiohttp")
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", *clients):
        # they log requests, addresses and headers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


async def _close(litellm: Any) -> None:
    """Close the connections that belong to this event loop before it ends."""
    close = getattr(litellm, "close_litellm_async_clients", None)
    if close is not None:
        await close()

"""One round of calls: reserved, claimed, sent, recorded, and sent again where that can help.

The first failure that a retry would not cure ends the round: nothing new is sent, calls in flight are waited for and
recorded, and the failure is raised as one sentence.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from cod_runner.api import CodrunError, Ledger, LLMAnswer, LLMRequest, ProviderError, Reservation, Spending
from codrun_litellm.call import Calls, Served
from codrun_litellm.failures import CallFailure
from codrun_litellm.pricing import Price, tokens_at_most
from codrun_litellm.reading import longest_answer

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds of back-off after the first failure, doubled after each; jitter subtracts up to half."""
LONGEST_RETRY_AFTER = 600.0
BREAKER_FAILURES, BREAKER_REQUESTS, BREAKER_SECONDS = 12, 3, 5.0
"""The circuit breaks after this many failed calls in a row, over this many requests and seconds."""
POLL, LONGEST_POLL = 0.02, 0.5


class Dispatch:
    """One round of calls in one event loop."""

    def __init__(self, served: Served, ledger: Ledger, spending: Spending, price: Price | None) -> None:
        self._served, self._ledger, self._spending, self._price = served, ledger, spending, price
        self.answers: dict[str, LLMAnswer] = {}
        self.ended: CodrunError | None = None
        self._calls = Calls(served, price)
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(served.concurrency)
        self._jitter = random.Random()
        self._failures = 0
        self._failed_requests: set[str] = set()
        self._last_success = time.monotonic()

    async def ask_all(self, requests: Sequence[LLMRequest]) -> None:
        """Fill ``answers``; ``ended`` is the error that ended the round early, if one did."""
        try:
            self._calls.prepare(requests)
        except ProviderError as error:
            self.ended = error
            return
        self._last_success = time.monotonic()
        try:
            await asyncio.gather(*(self._answer(request) for request in requests))
        finally:
            self._ledger.sync()
        await self._calls.close()

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
            if failure.permanent or tries > self._served.retries or self._circuit_is_broken():
                self._end(ProviderError(self._calls.sentence(failure)))
                return
            await self._pause(self._back_off(tries, failure))

    async def _try_once(self, request: LLMRequest) -> bool | CallFailure:
        """True: answered, or the round has ended. False: try later. A failure: the call was made and failed."""
        tokens_in = tokens_at_most(request.messages)
        most = longest_answer(request)
        usd_in = self._price.of(tokens_in, 0) if self._price else None
        tokens, usd = tokens_in + most, self._price.of(tokens_in, most) if self._price else None
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
            answer = await self._calls.call(request, self._served.timeout)
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
        """Sleep, but return early if the round ends."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _end(self, error: CodrunError) -> None:
        if self.ended is None:
            self.ended = error
        self._stop.set()

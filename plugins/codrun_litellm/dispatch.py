"""One round of calls: reserved, claimed, sent, recorded, and sent again where that can help.

The first failure that a retry would not cure ends the round: nothing new is sent, calls in flight are waited for and
recorded, and the failure is raised as one sentence.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from enum import Enum, auto

from cod_runner.api import CodrunError, Ledger, LLMAnswer, LLMRequest, ProviderError, Reservation, Spending
from codrun_litellm.call import Calls
from codrun_litellm.failures import CallFailure, FailedCallError, in_short
from codrun_litellm.level import Level, Slot
from codrun_litellm.pricing import tokens_at_most
from codrun_litellm.progress import Progress
from codrun_litellm.reading import longest_answer

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds of back-off after the first failure, doubled after each; jitter subtracts up to half."""
LONGEST_RETRY_AFTER = 600.0
BREAKER_FAILURES, BREAKER_REQUESTS, BREAKER_SECONDS = 12, 3, 5.0
"""The circuit breaks after this many failed calls in a row, over this many requests and seconds."""
POLL, LONGEST_POLL = 0.02, 0.5


class Outcome(Enum):
    """What became of a try that did not fail."""

    SETTLED = auto()
    """The request is answered, or the round has ended."""
    NOT_NOW = auto()
    """Another run is making the same call, or calls in flight hold the rest of the budget."""


class Dispatch:
    """One round of calls in one event loop."""

    def __init__(self, calls: Calls, ledger: Ledger, spending: Spending, level: Level, progress: Progress) -> None:
        self._calls, self._connection, self._price = calls, calls.connection, calls.price
        self._ledger, self._spending = ledger, spending
        self._level, self._progress = level, progress
        self.answers: dict[str, LLMAnswer] = {}
        self.ended: CodrunError | None = None
        self._timed_out, self._at_once = 0, 0
        self._stop = asyncio.Event()
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
        shown = asyncio.create_task(self._progress.show())
        try:
            await asyncio.gather(*(self._answer(request) for request in requests))
        finally:
            shown.cancel()
            self._ledger.sync()
        await self._calls.close()

    async def _answer(self, request: LLMRequest) -> None:
        poll, tries, crowded = POLL, 0, 0
        patient = self._connection.is_local
        while not self._stop.is_set():
            async with self._level.slot(alone=patient and crowded > self._connection.retries) as slot:
                if self._stop.is_set():
                    return
                tried = await self._try_once(request, slot)
                if tried is Outcome.SETTLED:
                    return
                if patient and isinstance(tried, CallFailure) and tried.timed_out and not slot.in_company:
                    # it is at work on earlier calls, for which nobody waits any more; another would only queue up
                    await self._pause(self._back_off(self._failures, tried))
            if isinstance(tried, Outcome):
                await self._pause(poll)
                poll = min(LONGEST_POLL, poll * 1.5)
                continue
            crowd_timed_out = tried.timed_out and slot.in_company
            if crowd_timed_out and patient:
                # it is asked for too much at once, which this call is not to blame for: in the end it is sent alone
                crowded += 1
            else:
                tries += 1
                if tried.permanent or tries > self._connection.retries or self._circuit_is_broken():
                    self._end(FailedCallError(self._calls.sentence(tried), tried))
                    return
            await self._pause(self._back_off(tries + crowded, tried))
            if crowd_timed_out:
                self._progress.say_how_slow(self._at_once, self._timed_out)

    async def _try_once(self, request: LLMRequest, slot: Slot) -> Outcome | CallFailure:
        """Make the call once, if it may be made now; a failure is of a call that was made."""
        tokens_in = tokens_at_most(request.messages)
        most = longest_answer(request)
        usd_in = self._price.of(tokens_in, 0) if self._price else None
        tokens, usd = tokens_in + most, self._price.of(tokens_in, most) if self._price else None
        try:
            reservation = self._spending.reserve(tokens, usd)
            if reservation is None:
                return Outcome.NOT_NOW
        except ProviderError as spent:
            self._end(spent)
            return Outcome.SETTLED
        settled = False
        try:
            claimed = self._ledger.claim(request.key, tokens, usd)
            if isinstance(claimed, LLMAnswer):
                self._have(request, claimed)
                self._spending.reused()
                return Outcome.SETTLED
            if not claimed:
                return Outcome.NOT_NOW
            answer = await self._sent(request, slot)
            if isinstance(answer, LLMAnswer):
                self._ledger.record(request, answer)
                self._spending.settle(reservation, answer.tokens_in + answer.tokens_out, answer.usd)
                settled = True
                self._have(request, answer)
                return Outcome.SETTLED
            if answer.may_be_billed:
                self._count_unanswered(request, reservation, tokens_in, usd_in)
                settled = True
            self._ledger.give_up(request.key)
            return answer
        except asyncio.CancelledError:
            # Ctrl-C during the call: it may be billed
            self._count_unanswered(request, reservation, tokens_in, usd_in)
            settled = True
            self._ledger.give_up(request.key)
            raise
        except CodrunError as error:  # the ledger cannot be written: an answer would be lost
            self._end(error)
            return Outcome.SETTLED
        finally:
            if not settled:
                self._spending.release(reservation)

    async def _sent(self, request: LLMRequest, slot: Slot) -> LLMAnswer | CallFailure:
        """Send one call, and learn from it how many the provider takes at once."""
        self._progress.in_flight += 1
        try:
            answer = await self._calls.call(request)
        finally:
            self._progress.in_flight -= 1
        if isinstance(answer, LLMAnswer):
            self._level.answered()
            self._progress.failing = ""
            self._failures, self._last_success = 0, time.monotonic()
            self._failed_requests.clear()
            return answer
        self._progress.failing = in_short(answer)
        self._progress.retried += not answer.permanent
        if answer.timed_out and slot.in_company:
            self._at_once, self._timed_out = self._at_once or self._level.in_flight, self._timed_out + 1
        if answer.timed_out or answer.status == 429:
            self._level.refused(slot, answer.timed_out)
        if answer.status != 429 and not (answer.timed_out and slot.in_company and self._connection.is_local):
            self._failures += 1
        self._failed_requests.add(request.key)
        return answer

    def _have(self, request: LLMRequest, answer: LLMAnswer) -> None:
        self.answers[request.key] = answer
        self._progress.answered += 1

    def _count_unanswered(
        self, request: LLMRequest, reservation: Reservation, tokens_in: int, usd_in: float | None
    ) -> None:
        """A call that may be billed although no answer came."""
        self._ledger.unanswered(request.key, tokens_in, usd_in)
        self._spending.settle(reservation, tokens_in, usd_in)

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

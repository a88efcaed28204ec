"""How many calls are in flight at once: as many as the options allow, and fewer where the provider cannot keep up.

Additive increase, multiplicative decrease, as in Chiu and Jain, "Analysis of the increase and decrease algorithms for
congestion avoidance in computer networks", Computer Networks and ISDN Systems 17 (1989), and lowered once for each
burst, as TCP's window is (RFC 6582, section 3.2). It differs in three points: it begins at the top, because most
providers keep up; a time-out lowers it to what was answered meanwhile where that is less than half; and it returns to
a level that timed out more slowly than to others, because every such attempt may be paid for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CAUTION = 8
"""How many times more answers it takes to return to a level at which calls timed out."""


@dataclass(eq=False)
class Slot:
    """The right to have one call in flight."""

    burst: int
    """How often the level had been lowered when the call was sent."""
    answered: int
    """How many calls had been answered then."""
    in_company: bool
    """Whether another call was in flight at any time during this one."""


@dataclass(eq=False)
class _Waiting:
    alone: bool
    admitted: asyncio.Future[Slot] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Level:
    """How many calls of one round may be in flight."""

    def __init__(self, most: int, now: int | None = None, too_many: int | None = None) -> None:
        self.most = most
        self.now = most if now is None else now
        self._too_many = too_many
        self._held: set[Slot] = set()
        self._waiting: deque[_Waiting] = deque()
        self._alone = False
        self._burst, self._answered, self._in_a_row = 0, 0, 0

    def again(self) -> Level:
        """One for another round, which begins where this one stands."""
        return Level(self.most, self.now, self._too_many)

    @property
    def in_flight(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def slot(self, alone: bool = False) -> AsyncIterator[Slot]:
        """Waits until a call may be sent, first come, first served; ``alone``: until no other is in flight."""
        waiting = _Waiting(alone)
        self._waiting.append(waiting)
        self._admit()
        try:
            slot = await waiting.admitted
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            if waiting.admitted.done() and not waiting.admitted.cancelled():
                self._leave(waiting.admitted.result())
            raise
        try:
            yield slot
        finally:
            self._leave(slot)

    def answered(self) -> None:
        """A call was answered. One more may be in flight after as many answers in a row as there may be now."""
        self._answered += 1
        self._in_a_row += 1
        again = self._too_many is not None and self.now + 1 >= self._too_many
        if self.now < self.most and self._in_a_row >= self.now * (CAUTION if again else 1):
            self.now += 1
            self._in_a_row = 0

    def refused(self, slot: Slot, timed_out: bool) -> bool:
        """A call timed out, or met a limit of the rate; returns whether fewer may be in flight now.

        Calls that were sent before the level was lowered say nothing of the new one.
        """
        self._in_a_row = 0
        if slot.burst != self._burst or self.now == 1:
            return False
        lower = self.now // 2
        if timed_out:
            self._too_many = self.now if self._too_many is None else min(self.now, self._too_many)
            lower = min(lower, max(1, self._answered - slot.answered))
        self.now = lower
        self._burst += 1
        return True

    def _leave(self, slot: Slot) -> None:
        self._held.discard(slot)
        if not self._held:
            self._alone = False
        self._admit()

    def _admit(self) -> None:
        while self._waiting and not self._alone and len(self._held) < self.now:
            if self._waiting[0].alone and self._held:
                return
            waiting = self._waiting.popleft()
            if waiting.admitted.cancelled():
                continue
            slot = Slot(self._burst, self._answered, bool(self._held))
            for other in self._held:
                other.in_company = True
            self._held.add(slot)
            self._alone = waiting.alone
            waiting.admitted.set_result(slot)

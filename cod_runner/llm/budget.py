"""What a run may spend on model calls and what it has spent: one meter, shared by every generator of the run."""

from __future__ import annotations

import threading
from dataclasses import astuple, dataclass
from typing import Any

from cod_runner.errors import ProviderError, SettingError, standing_at


@dataclass(frozen=True)
class Reservation:
    """The most that one call in flight can cost. Return it with ``settle`` or ``release``."""

    tokens: int
    usd: float | None


@dataclass(frozen=True)
class Spent:
    """What model calls took."""

    calls: int = 0
    tokens: int = 0
    """In and out."""
    usd: float = 0.0
    """Of the calls whose price is known."""
    unpriced_calls: int = 0
    reused: int = 0
    """Answers that were paid for earlier."""

    @property
    def price(self) -> float | None:
        """US dollars; None where the price of a call is unknown."""
        return None if self.unpriced_calls else round(self.usd, 6)

    def __add__(self, more: Spent) -> Spent:
        return Spent(*(one + other for one, other in zip(astuple(self), astuple(more), strict=True)))

    def __sub__(self, before: Spent) -> Spent:
        return Spent(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    def __str__(self) -> str:
        """``96 model calls, 12,300 tokens, $0.1200``, the parts that there are; "" for nothing."""
        parts = []
        if self.calls:
            parts += [f"{self.calls:,} model call{'' if self.calls == 1 else 's'}", f"{self.tokens:,} tokens"]
            parts.append("price unknown" if self.price is None else f"${self.price:,.{2 if self.price >= 1 else 4}f}")
        if self.reused:
            parts.append(f"{self.reused:,} answer{'' if self.reused == 1 else 's'} from the ledger")
        return ", ".join(parts)


class Spending:
    """Budget and meter of one run. Safe to use from several threads and event loops.

    A call is reserved at its maximum cost before it is sent, and settled at its actual cost, so calls in flight can
    never exceed a bound together. ``run`` names the run and is the same after a resume: a generator that has its own
    record of paid calls looks up what the run spent before and reports it with :meth:`resume`. Answers paid for
    earlier cost nothing. ``named`` is the recipe's key that sets the bounds, for messages.
    """

    def __init__(
        self,
        calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        run: str = "",
        named: str = "counterfactuals.budget",
    ) -> None:
        self.run = run
        self._named = named
        self._limit_calls, self._limit_tokens, self._limit_usd = calls, tokens, usd
        self._lock = threading.Lock()
        self._calls = 0
        self._tokens = 0
        self._usd = 0.0
        self._unpriced_calls = 0
        self._made = Spent()
        self._in_flight: list[Reservation] = []
        self._resumed: set[str] = set()

    def require_a_bound(self, model: str, priced: bool) -> None:
        """Raise :class:`SettingError` if only USD is bounded and the price of ``model`` is unknown."""
        if self._limit_usd is not None and not priced and self._limit_calls is None and self._limit_tokens is None:
            *above, key = self._named.split(".")
            with standing_at(*above):
                raise SettingError(
                    f"{self._named} bounds USD alone, but the price of `{model}` is unknown; "
                    "bound `calls` or `tokens` too",
                    key,
                    "usd",
                )

    def resume(self, source: str, calls: int, tokens: int, usd: float, unpriced_calls: int = 0) -> None:
        """Count what this run spent before it was resumed, once per ``source`` (a ledger's path, for instance)."""
        with self._lock:
            if source in self._resumed:
                return
            self._resumed.add(source)
            self._calls += calls
            self._tokens += tokens
            self._usd += usd
            self._unpriced_calls += unpriced_calls

    def reserve(self, tokens: int, usd: float | None) -> Reservation | None:
        """Reserve one call of at most ``tokens`` (in and out) and ``usd`` (None: price unknown).

        None means "not now": calls in flight hold the rest of the budget, so ask again when one has ended. Raises
        :class:`ProviderError` when the budget cannot pay for the call even then.
        """
        wanted = Reservation(tokens, usd)
        with self._lock:
            self._refuse_if_spent(wanted)
            if self._over_with(wanted):
                return None
            self._in_flight.append(wanted)
            return wanted

    def settle(self, reservation: Reservation, tokens: int, usd: float | None) -> None:
        """The call was answered and cost this much."""
        with self._lock:
            self._remove(reservation)
            self._calls += 1
            self._tokens += tokens
            self._usd += usd or 0.0
            self._unpriced_calls += usd is None
            self._made += Spent(1, tokens, usd or 0.0, int(usd is None))

    def release(self, reservation: Reservation) -> None:
        """The call failed and cost nothing."""
        with self._lock:
            self._remove(reservation)

    def reused(self, answers: int = 1) -> None:
        """Count answers that were paid for earlier."""
        with self._lock:
            self._made += Spent(reused=answers)

    @property
    def made(self) -> Spent:
        """What was spent in this process, without what :meth:`resume` reports."""
        with self._lock:
            return self._made

    @property
    def total(self) -> Spent:
        """What the run spent so far, earlier processes included; ``reused`` is of this one."""
        with self._lock:
            return Spent(self._calls, self._tokens, self._usd, self._unpriced_calls, self._made.reused)

    def summary(self) -> dict[str, Any]:
        """For ``run.json``: ``calls``, ``tokens``, ``usd`` (``"unknown"`` if a call had no price), ``reused``."""
        spent = self.total
        price = "unknown" if spent.price is None else spent.price
        return {"calls": spent.calls, "tokens": spent.tokens, "usd": price, "reused": spent.reused}

    def _remove(self, reservation: Reservation) -> None:
        # by identity: two reservations of the same size compare equal
        self._in_flight = [held for held in self._in_flight if held is not reservation]

    def _over_with(self, wanted: Reservation) -> bool:
        held = [*self._in_flight, wanted]
        return (
            (self._limit_calls is not None and self._calls + len(held) > self._limit_calls)
            or (self._limit_tokens is not None and self._tokens + sum(one.tokens for one in held) > self._limit_tokens)
            or (self._limit_usd is not None and self._usd + sum(one.usd or 0.0 for one in held) > self._limit_usd)
        )

    def _refuse_if_spent(self, wanted: Reservation) -> None:
        if self._limit_calls is not None and self._calls + 1 > self._limit_calls:
            bound, needs = f"calls: {self._limit_calls}", "one more call"
        elif self._limit_tokens is not None and self._tokens + wanted.tokens > self._limit_tokens:
            bound, needs = f"tokens: {self._limit_tokens}", f"a call of up to {wanted.tokens} tokens"
        elif self._limit_usd is not None and self._usd + (wanted.usd or 0.0) > self._limit_usd:
            bound, needs = f"usd: {self._limit_usd:g}", f"a call of up to ${wanted.usd or 0.0:.4f}"
        else:
            return
        cost = "an unknown price" if self._unpriced_calls else f"${self._usd:.4f}"
        raise ProviderError(
            f"the budget `{bound}` has no room for {needs}: this run has spent {self._calls} calls, "
            f"{self._tokens} tokens, {cost}; every answer is saved, so raise {self._named} and run again"
        )

from __future__ import annotations

import threading

import pytest

from cod_runner.api import ProviderError, Reservation, Spending


def reserve(spending: Spending, tokens: int = 1, usd: float | None = 0.0) -> Reservation:
    reservation = spending.reserve(tokens, usd)
    assert reservation is not None
    return reservation


def test_calls_in_flight_hold_the_rest_of_the_budget_until_they_end() -> None:
    spending = Spending(calls=2)
    first, second = reserve(spending), reserve(spending)
    assert spending.reserve(1, 0.0) is None, "not now, but later"
    spending.release(first)
    third = reserve(spending)
    spending.settle(second, 5, 0.1)
    spending.settle(third, 5, 0.1)
    with pytest.raises(ProviderError, match=r"`calls: 2` has no room .* spent 2 calls, 10 tokens, \$0\.2000"):
        spending.reserve(1, 0.0)


def test_equal_reservations_are_told_apart() -> None:
    spending = Spending(calls=2)
    first, _ = reserve(spending), reserve(spending)
    spending.release(first)
    spending.release(first)
    reserve(spending)
    assert spending.reserve(1, 0.0) is None


@pytest.mark.parametrize(("bounds", "bound"), [({"tokens": 100}, "tokens: 100"), ({"usd": 1.0}, "usd: 1")])
def test_tokens_and_usd_are_reserved_at_their_maximum_and_settled_at_actual_cost(bounds: dict, bound: str) -> None:
    spending = Spending(**bounds)
    held = reserve(spending, 60, 0.6)
    assert spending.reserve(60, 0.6) is None
    spending.settle(held, 10, 0.1)
    reserve(spending, 60, 0.6)
    with pytest.raises(ProviderError, match=f"`{bound}` has no room"):
        spending.reserve(95, 0.95)


def test_a_budget_of_zero_allows_nothing() -> None:
    for zero in ({"calls": 0}, {"tokens": 0}, {"usd": 0.0}):
        with pytest.raises(ProviderError):
            Spending(**zero).reserve(1, 0.01)


def test_earlier_spending_counts_once_per_ledger() -> None:
    spending = Spending(calls=10, run="r")
    for _ in range(2):
        spending.resume("a", 3, 30, 0.5)
    spending.resume("b", 1, 10, 0.0, unpriced_calls=1)
    spending.reused(4)
    assert spending.summary() == {"calls": 4, "tokens": 40, "usd": "unknown", "reused": 4}


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    spending = Spending()
    spending.settle(reserve(spending), 1, 0.25)
    assert spending.summary()["usd"] == 0.25
    spending.settle(reserve(spending), 1, None)
    assert spending.summary()["usd"] == "unknown"


def test_threads_together_stay_within_the_bound() -> None:
    spending = Spending(calls=50)
    allowed: list[int] = []

    def work() -> None:
        for _ in range(100):
            try:
                reservation = spending.reserve(1, 0.0)
            except ProviderError:
                return
            if reservation is not None:
                allowed.append(1)
                spending.settle(reservation, 1, 0.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == spending.summary()["calls"] == 50

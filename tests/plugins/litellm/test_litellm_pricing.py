from __future__ import annotations

import subprocess
import sys

import pytest

from cod_runner.api import CodrunError, Spending
from codrun_litellm.options import LitellmOptions
from codrun_litellm.pricing import price_of

MODEL = "gpt-4o-2024-11-20"


def test_prices_come_from_litellms_table() -> None:
    price = price_of(MODEL)
    assert price is not None
    assert price.of(1_000_000, 0) == pytest.approx(2.5)
    assert price.of(0, 1_000_000) == pytest.approx(10.0)
    assert price_of(f"openai/{MODEL}") == price
    assert price_of("no/such-model") is None
    assert price_of(f"groq/{MODEL}") is None, "another provider's price for a model of that name is not this one's"


def test_a_users_own_server_has_no_known_price_regardless_of_the_model_name() -> None:
    assert price_of(f"openai/{MODEL}", "http://127.0.0.1:8000/v1") is None
    assert price_of(f"openai/{MODEL}", "https://api.openai.com/v1") is not None


def test_an_estimate_counts_samples_rounds_and_demonstrations() -> None:
    told = LitellmOptions(model=MODEL, candidates=[1, 4]).estimate(100, 120)
    assert (told.calls_low, told.calls_high) == (100, 500)
    assert told.usd_low is not None and told.usd_high is not None
    assert 0.01 < told.usd_low < told.usd_high < 2
    assert 100 * 100 < told.tokens_low < 100 * 1000
    with_pairs = LitellmOptions(model=MODEL, candidates=[1], demonstrations=4).estimate(100, 120)
    assert (with_pairs.calls_low, with_pairs.calls_high) == (108, 108)
    assert with_pairs.tokens_low > told.tokens_low


def test_an_unknown_price_is_not_zero() -> None:
    told = LitellmOptions(model="openai/local", api_base="http://127.0.0.1:1/v1").estimate(100, 120)
    assert told.usd_low is None and told.usd_high is None
    assert told.calls_low == 100


def test_a_usd_budget_needs_another_bound_where_the_price_is_unknown() -> None:
    with pytest.raises(CodrunError, match="price of `openai/local` is unknown; bound `calls` or `tokens` too"):
        Spending(usd=5.0).require_a_bound("openai/local", priced=False)
    Spending(usd=5.0, calls=10).require_a_bound("openai/local", priced=False)
    Spending(usd=5.0).require_a_bound(MODEL, priced=True)


def test_estimating_imports_no_litellm() -> None:
    script = (
        "import sys; from cod_runner.registry import Registry\n"
        f"told = Registry.discover().options('generator', 'litellm', {{'model': '{MODEL}'}}).estimate(10, 100)\n"
        "assert told.calls_low == 10, told\n"
        "print([name for name in ('litellm', 'torch', 'transformers', 'openai', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr

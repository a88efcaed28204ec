"""What calls cost, from the table of prices inside litellm's package, read without importing litellm."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cod_runner.api import CallEstimate, Request
from codrun_litellm.plugin import LitellmOptions
from codrun_litellm.prompts import DRAWN_A_DEMONSTRATION, messages

PRICES = "model_prices_and_context_window_backup.json"
BYTES_A_TOKEN = 4
"""English text in current tokenizers, for estimates."""
BYTES_A_TOKEN_AT_LEAST = 3
"""The same on the safe side, for reservations."""
ANSWER_OVERHEAD_TOKENS = 12
"""Braces, key and quotes of a JSON answer."""


@dataclass(frozen=True)
class Price:
    """USD a token."""

    input: float
    output: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """USD of one call."""
        return self.input * tokens_in + self.output * tokens_out


@cache
def price_of(model: str, api_base: str | None = None) -> Price | None:
    """The price of a model, or None where it is unknown, as on an OpenAI-compatible server of your own."""
    provider, slash, bare = model.partition("/")
    if provider == "openai" and slash and api_base is not None and "api.openai.com" not in api_base:
        return None
    table = _table()
    entry = table.get(model)
    if entry is None and slash:
        entry = table.get(bare)
        if entry is not None and entry.get("litellm_provider") != provider:
            entry = None
    if entry is None or "input_cost_per_token" not in entry or "output_cost_per_token" not in entry:
        return None
    return Price(float(entry["input_cost_per_token"]), float(entry["output_cost_per_token"]))


def provider_of(model: str) -> str:
    """The provider in a model's name, or the one that the table has for a bare name; "" where it is in neither."""
    provider, slash, _ = model.partition("/")
    return provider if slash else str(_table().get(model, {}).get("litellm_provider", ""))


@cache
def _table() -> dict[str, dict[str, Any]]:
    package = importlib.util.find_spec("litellm")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / PRICES
        if file.is_file():
            table: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
            return table
    return {}


def tokens_at_most(conversation: Sequence[tuple[str, str]]) -> int:
    """Tokens of a prompt, on the safe side for text of any language that tokenizers know."""
    return sum(len(content.encode()) // BYTES_A_TOKEN_AT_LEAST + 10 for _, content in conversation)


def estimate(options: LitellmOptions, examples: int, mean_characters: float) -> CallEstimate:
    """For ``codrun plan``: at least one call a text (each flips at once), at most every sample of every round."""
    text = "x" * max(1, round(mean_characters))
    shown = ((text, text[1:], 0, 1),) * options.demonstrations
    labels, describe, highlighted = ("class one", "class two"), "x" * 80, ("word",) * options.highlight
    prompt = messages(Request("plan", f"{text}.", 0, 1), options, labels, describe, highlighted, shown)
    tokens_in = sum(len(content.encode()) // BYTES_A_TOKEN + 4 for _, content in prompt)
    tokens_out = min(options.max_tokens, len(text) // BYTES_A_TOKEN + ANSWER_OVERHEAD_TOKENS)
    first, every = options.candidates[0], sum(options.candidates)
    extra = DRAWN_A_DEMONSTRATION * options.demonstrations * first
    # a later round carries the failed candidates
    feedback = 4 * (len(text) // BYTES_A_TOKEN + 25) if len(options.candidates) > 1 else 0
    calls_low, calls_high = examples * first + extra, examples * every + extra
    in_low, in_high = calls_low * tokens_in, calls_low * tokens_in + (calls_high - calls_low) * (tokens_in + feedback)
    price = price_of(options.model, options.api_base)
    return CallEstimate(
        model=options.model,
        calls_low=calls_low,
        calls_high=calls_high,
        tokens_low=in_low + calls_low * tokens_out,
        tokens_high=in_high + calls_high * tokens_out,
        usd_low=price.of(in_low, calls_low * tokens_out) if price else None,
        usd_high=price.of(in_high, calls_high * tokens_out) if price else None,
    )

"""What calls cost, from the price table inside litellm's package, read without importing litellm."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PRICES = "model_prices_and_context_window_backup.json"
BYTES_PER_TOKEN = 4
"""English text in current tokenizers, for estimates."""
BYTES_PER_TOKEN_AT_LEAST = 3
"""The same for reservations, which must not be too low."""


@dataclass(frozen=True)
class Price:
    """USD per token."""

    input: float
    output: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """USD of one call."""
        return self.input * tokens_in + self.output * tokens_out


@cache
def price_of(model: str, api_base: str | None = None) -> Price | None:
    """The price of a model; None if it is unknown, as on an OpenAI-compatible server of the user's own."""
    provider, slash, bare = model.partition("/")
    if provider == "openai" and slash and api_base is not None and urlsplit(api_base).hostname != "api.openai.com":
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
    """The provider in a model's name, or the table's provider for a bare name; "" if unknown."""
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
    """An upper bound on the tokens of a prompt, for text in any language that tokenizers cover."""
    return sum(len(content.encode()) // BYTES_PER_TOKEN_AT_LEAST + 10 for _, content in conversation)

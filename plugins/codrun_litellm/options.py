"""Options of the generator `litellm`, and what codrun must know about it before any call."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from cod_runner.api import CallEstimate, Options, Request
from codrun_litellm.pricing import BYTES_PER_TOKEN, price_of
from codrun_litellm.prompts import DRAWN_PER_DEMONSTRATION, TASKS, messages, template_name

CREDENTIAL = re.compile(r"api_?key|authorization|token$|secret|password|headers", re.IGNORECASE)
PROMPTS = tuple(sorted(TASKS))
"""Prompts that need no file."""
ANSWER_OVERHEAD_TOKENS = 12
"""Braces, key and quotes of a JSON answer."""
OWN_PARAMETERS = {"model", "messages", "temperature", "max_tokens", "seed", "timeout", "api_base", "n", "stream"}


class LitellmOptions(Options):
    """Options of the generator `litellm`."""

    model: str = Field(
        min_length=1, description="as litellm names it: `gpt-4o-2024-11-20`, `openai/NAME`, `ollama/NAME`"
    )
    api_base: str | None = Field(None, description="address of your own server, such as http://127.0.0.1:8000/v1")
    api_version: str | None = Field(None, description="for Azure")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key; absent: the provider's own, such as OPENAI_API_KEY"
    )
    temperature: float | None = Field(0.0, ge=0, le=2, description="of the first round's first sample; null: not sent")
    warm_temperature: float | None = Field(0.8, ge=0, le=2, description="of every other sample; null: not sent")
    max_tokens: int = Field(512, ge=1, description="longest answer, in tokens")
    seed: int | None = Field(0, ge=0, description="sent as seed + index of the sample if the provider accepts it")
    candidates: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        default=[1, 4], min_length=1, description="samples per round; texts without a flip go to the next round"
    )
    prompt: str = Field("generic", description=f"{', '.join(PROMPTS)}, or file:PATH with your own instructions")
    demonstrations: int = Field(0, ge=0, le=32, description="how many verified pairs of the run to show as examples")
    highlight: int = Field(0, ge=0, le=50, description="how many words with the most teacher attribution to name")
    json_mode: bool = Field(False, description="ask the provider to enforce JSON, if it can")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="further request parameters, such as top_p or reasoning_effort"
    )
    concurrency: int = Field(16, ge=1, le=1024, description="calls in flight at once")
    timeout: float = Field(60.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(5, ge=0, le=20, description="further tries after 429, 5xx, a time-out or a lost connection")

    @field_validator("api_base")
    @classmethod
    def _address_without_secrets(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address that starts with http:// or https://")
        if parts.username or parts.password or parts.query:
            raise ValueError("must have no user, password or query; put the key into an environment variable")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_not_value(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            # the value is not repeated: it may be the key itself
            raise ValueError("must be the name of an environment variable, not the key itself")
        return value

    @field_validator("parameters")
    @classmethod
    def _nothing_secret(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in value:
            if name in OWN_PARAMETERS:
                raise ValueError(f"`{name}` cannot be set here; it is a separate option or fixed")
            if CREDENTIAL.search(name):
                raise ValueError(f"`{name}` looks like a credential; keys are read only from the environment")
        return value

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str, info: ValidationInfo) -> str:
        if value in PROMPTS:
            return value
        if not value.startswith("file:"):
            near = difflib.get_close_matches(value, PROMPTS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(PROMPTS)}, or file:PATH"
            raise ValueError(f"no prompt is named `{value}`; {hint}")
        path = Path(value.removeprefix("file:")).expanduser()
        folder = (info.context or {}).get("folder")
        if not path.is_absolute() and folder is not None:
            path = Path(folder, path)
        if path.is_absolute() and not path.is_file():
            raise ValueError(f"there is no prompt file {path}")
        return f"file:{path}"

    def identity(self) -> dict[str, Any]:
        """The options that affect the answers: not concurrency, time-out, retries or the key's variable."""
        decides = self.model_dump(
            mode="json", exclude={"api_key_env", "concurrency", "timeout", "retries", "prompt", "candidates"}
        )
        return {**decides, "candidates": list(self.candidates), "prompt": template_name(self.prompt)}

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate:
        """At least the samples of the first round for every text, at most those of all rounds."""
        text = "x" * max(1, round(mean_characters))
        shown = ((text, text[1:], 0, 1),) * self.demonstrations
        labels, describe, highlighted = ("class one", "class two"), "x" * 80, ("word",) * self.highlight
        prompt = messages(Request("plan", f"{text}.", 0, 1), self.prompt, labels, describe, highlighted, shown)
        tokens_in = sum(len(content.encode()) // BYTES_PER_TOKEN + 4 for _, content in prompt)
        tokens_out = min(self.max_tokens, len(text) // BYTES_PER_TOKEN + ANSWER_OVERHEAD_TOKENS)
        first, every = self.candidates[0], sum(self.candidates)
        extra = DRAWN_PER_DEMONSTRATION * self.demonstrations * first
        # later rounds send the failed candidates too
        feedback = 4 * (len(text) // BYTES_PER_TOKEN + 25) if len(self.candidates) > 1 else 0
        low, high = examples * first + extra, examples * every + extra
        in_low, in_high = low * tokens_in, low * tokens_in + (high - low) * (tokens_in + feedback)
        price = price_of(self.model, self.api_base)
        return CallEstimate(
            model=self.model,
            calls_low=low,
            calls_high=high,
            tokens_low=in_low + low * tokens_out,
            tokens_high=in_high + high * tokens_out,
            usd_low=price.of(in_low, low * tokens_out) if price else None,
            usd_high=price.of(in_high, high * tokens_out) if price else None,
        )

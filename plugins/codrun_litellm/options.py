"""Options of the generator `litellm`, and what codrun must know about it before any call."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from cod_runner.api import CallEstimate, Destination, Options, Request, recipe_file
from codrun_litellm.alike import ALIKE
from codrun_litellm.pricing import BYTES_PER_TOKEN, price_of
from codrun_litellm.prompts import DRAWN_PER_DEMONSTRATION, TASKS, messages, template_name
from codrun_litellm.providers import ADDRESS, is_key_of, is_loopback, is_own, key_variable, own_address

CREDENTIAL = re.compile(r"api_?key|authorization|token$|secret|password|headers", re.IGNORECASE)
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*")
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY")
PROMPTS = tuple(sorted((*TASKS, *ALIKE)))
"""Prompts that need no file."""
ANSWER_OVERHEAD_TOKENS = 12
"""Braces, key and quotes of a JSON answer."""
OWN_PARAMETERS = {"model", "messages", "temperature", "max_tokens", "seed", "timeout", "api_base", "n", "stream"}
PARAMETERS = {
    "chat_template_kwargs", "enable_thinking", "frequency_penalty", "logit_bias", "min_p", "mirostat", "mirostat_eta",
    "mirostat_tau", "num_ctx", "presence_penalty", "reasoning_effort", "repeat_penalty", "repetition_penalty",
    "safety_settings", "service_tier", "stop", "thinking", "top_k", "top_p", "typical_p", "user", "verbosity",
}  # fmt: skip
"""What `parameters` may hold: what shapes an answer, and nothing that says where a call goes, what is sent with it,
how often it is sent or how long its answer may be."""
BODY = "extra_body"
"""Holds such parameters too, for servers that take them only there."""


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
    prompt: str = Field(
        "generic",
        description=f"for counterfactuals {', '.join(sorted(TASKS))}, or file:PATH with your own instructions; "
        f"for texts that are like the original, no class named, {' and '.join(sorted(ALIKE))}",
    )
    demonstrations: int = Field(0, ge=0, le=32, description="how many verified pairs of the run to show as examples")
    highlight: int = Field(0, ge=0, le=50, description="how many words with the most teacher attribution to name")
    json_mode: bool = Field(False, description="ask the provider to enforce JSON, if it can")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="further request parameters, such as top_p or reasoning_effort"
    )
    concurrency: int = Field(16, ge=1, le=1024, description="calls in flight at once")
    timeout: float = Field(60.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(5, ge=0, le=20, description="further tries after 429, 5xx, a time-out or a lost connection")

    @field_validator("model")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not MODEL.fullmatch(value) or "://" in value or ".." in value:
            raise ValueError("must be a model's name, such as `openai/NAME`; an address goes into `api_base`")
        return value

    @field_validator("api_base")
    @classmethod
    def _address_without_secrets(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError("is not an address; write https://HOST/PATH") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address that starts with https://, or http:// on this machine")
        if parts.username or parts.password or parts.query:
            raise ValueError("must have no user, password or query; put the key into an environment variable")
        if not ADDRESS.fullmatch(value) or port == 0:
            raise ValueError("is not a plain address; write https://HOST/PATH with letters, digits, `.`, `-`, `_`, `~`")
        if parts.scheme == "http" and not is_loopback(value):
            raise ValueError(
                "sends texts and keys unencrypted; only this machine (127.0.0.1, localhost) may be reached by http, "
                "any other host by https"
            )
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_not_value(cls, value: str | None) -> str | None:
        if value is not None and not KEY_VARIABLE.fullmatch(value):
            # the value is not repeated: it may be the key itself
            raise ValueError(
                "must be the name of an environment variable that ends in `_API_KEY`, not the key itself; no other "
                "variable is read for a recipe"
            )
        return value

    @field_validator("parameters")
    @classmethod
    def _only_what_shapes_an_answer(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in _names(value):
            if name in OWN_PARAMETERS:
                raise ValueError(f"`{name}` cannot be set here; it is a separate option or fixed")
            if CREDENTIAL.search(name):
                raise ValueError(f"`{name}` looks like a credential; keys are read only from the environment")
            if name not in PARAMETERS:
                near = difflib.get_close_matches(name[:100], PARAMETERS, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(PARAMETERS))}"
                raise ValueError(f"`{name[:100]}` is not a parameter that a recipe may send; {hint}")
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
        located = recipe_file(value.removeprefix("file:"), info, prefix="file:")
        path = Path(located.removeprefix("file:"))
        if path.is_absolute() and not path.is_file():
            raise ValueError(f"there is no prompt file {path}")
        return located

    @field_validator("demonstrations", "highlight")
    @classmethod
    def _of_counterfactuals(cls, value: int, info: ValidationInfo) -> int:
        prompt = info.data.get("prompt")
        if value and prompt in ALIKE:
            raise ValueError(f"goes with prompts for counterfactuals, and `{prompt}` asks for none; leave it out")
        return value

    def identity(self) -> dict[str, Any]:
        """The options that affect the answers: not concurrency, time-out, retries or the key's variable."""
        decides = self.model_dump(
            mode="json", exclude={"api_key_env", "concurrency", "timeout", "retries", "prompt", "candidates"}
        )
        return {**decides, "candidates": list(self.candidates), "prompt": template_name(self.prompt)}

    def destinations(self) -> Sequence[Destination]:
        """The one address that every text goes to, with the model's key where there is one."""
        variable = self.api_key_env or key_variable(self.model)
        own = self.api_base is None or is_own(self.model, self.api_base)
        sent = variable if variable and (own or os.environ.get(variable)) else None
        return [
            Destination(
                component=self.model,
                address=self.api_base or own_address(self.model),
                sends="the texts",
                key_variable=sent,
                own=own and (self.api_key_env is None or is_key_of(self.model, self.api_key_env)),
                setting=("api_base",) if not own else ("api_key_env",),
            )
        ]

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


def _names(parameters: dict[str, JsonValue]) -> Iterator[str]:
    """The parameters' names, those in the body among them."""
    for name, value in parameters.items():
        if name == BODY and isinstance(value, dict):
            yield from value
        else:
            yield name

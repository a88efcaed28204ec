"""Declares the generator `litellm`: counterfactuals from any language model that litellm reaches."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from cod_runner.api import Component, Options, hookimpl

PROMPTS = ("generic", "grammaticality", "sentiment", "topic")
CREDENTIAL = re.compile(r"api_?key|authorization|token$|secret|password|headers", re.IGNORECASE)
OWN_PARAMETERS = {"model", "messages", "temperature", "max_tokens", "seed", "timeout", "api_base", "n", "stream"}


class LitellmOptions(Options):
    """Options of the generator `litellm`."""

    model: str = Field(
        min_length=1, description="as litellm names it: `gpt-4o-2024-11-20`, `openai/NAME`, `ollama/NAME`"
    )
    api_base: str | None = Field(
        None, description="address of the server, for one of your own: http://127.0.0.1:8000/v1"
    )
    api_version: str | None = Field(None, description="for Azure")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key; absent: the provider's own, OPENAI_API_KEY say"
    )
    temperature: float | None = Field(0.0, ge=0, le=2, description="of the first round's first sample; null: not sent")
    warm_temperature: float | None = Field(0.8, ge=0, le=2, description="of every other sample; null: not sent")
    max_tokens: int = Field(512, ge=1, description="longest answer, in tokens")
    seed: int | None = Field(0, ge=0, description="sent as seed + index of the sample where the provider takes one")
    candidates: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        default=[1, 4], min_length=1, description="samples asked for in each round; a round follows where one failed"
    )
    prompt: str = Field("generic", description=f"{', '.join(PROMPTS)}, or file:PATH with instructions of your own")
    demonstrations: int = Field(0, ge=0, le=32, description="verified pairs of the same run shown as examples")
    highlight: int = Field(0, ge=0, le=50, description="words with the most teacher attribution that the prompt names")
    json_mode: bool = Field(False, description="ask the provider to enforce JSON, where it can")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="further request parameters, top_p or reasoning_effort say"
    )
    concurrency: int = Field(16, ge=1, le=1024, description="calls in flight at once")
    timeout: float = Field(60.0, gt=0, description="seconds to wait for one answer")
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
            raise ValueError("must hold no user, password or query; put the key into an environment variable")
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
                raise ValueError(f"`{name}` cannot be set here; it is an option of its own or fixed")
            if CREDENTIAL.search(name):
                raise ValueError(f"`{name}` looks like a credential; keys come from the environment alone")
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


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="litellm",
        options=LitellmOptions,
        build="codrun_litellm.generator:LitellmGenerator",
        identity="codrun_litellm.prompts:identity",
        estimate="codrun_litellm.pricing:estimate",
        summary="any language model: hosted, Azure, Ollama, vLLM, llama.cpp; each answer is paid for once",
    )

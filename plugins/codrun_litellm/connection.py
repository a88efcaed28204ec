"""What the generator and the teacher `litellm` share: which model is called, where, with which key and how patiently.

Nothing here depends on what the model is asked for, and nothing of it is heavy to import.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from cod_runner.api import Destination, LLMRequest, Options, Origin
from codrun_litellm.providers import ADDRESS, is_key_of, is_loopback, is_own, key_variable, own_address

CREDENTIAL = re.compile(r"api_?key|authorization|token$|secret|password|headers", re.IGNORECASE)
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*")
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY")
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

HOSTED_TIMEOUT, LOCAL_TIMEOUT = 60.0, 600.0
"""Seconds. A call on this machine may wait in its server's queue for long."""


class Connection(Options):
    """Options of everything that calls a language model through litellm."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"api_key_env", "concurrency", "timeout", "retries"})
    """Options that cannot change an answer, for ``identity`` to leave out."""

    model: str = Field(
        min_length=1, description="as litellm names it: `gpt-4o-2024-11-20`, `openai/NAME`, `ollama/NAME`"
    )
    api_base: str | None = Field(None, description="address of your own server, such as http://127.0.0.1:8000/v1")
    api_version: str | None = Field(None, description="for Azure")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key; absent: the provider's own, such as OPENAI_API_KEY"
    )
    max_tokens: int = Field(512, ge=1, description="longest answer, in tokens")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="further request parameters, such as top_p or reasoning_effort"
    )
    concurrency: int = Field(
        16, ge=1, le=1024, description="the most calls in flight at once; fewer while time-outs or rate limits say so"
    )
    timeout: float | None = Field(
        None, gt=0, description="seconds to wait for an answer; absent: 60, or 600 for a server on this machine"
    )
    retries: int = Field(5, ge=0, le=20, description="further tries after 429, 5xx, a time-out or a lost connection")

    @property
    def is_local(self) -> bool:
        """Whether the model is served on this machine: slow, perhaps one call at a time, and nobody's money."""
        return is_loopback(self.api_base or own_address(self.model))

    @property
    def seconds_to_wait(self) -> float:
        """For one answer, once the call has been sent."""
        return self.timeout or (LOCAL_TIMEOUT if self.is_local else HOSTED_TIMEOUT)

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

    def request(
        self, messages: Sequence[tuple[str, str]], own: Mapping[str, Any], sample: int, template: str
    ) -> LLMRequest:
        """One request to this model, with those of the ``own`` parameters that are not None."""
        parameters = {**own, "api_version": self.api_version}
        return LLMRequest(
            provider=self.model.partition("/")[0] if "/" in self.model else "",
            model=self.model,
            base=self.api_base or "",
            messages=tuple(messages),
            parameters={name: value for name, value in parameters.items() if value is not None},
            sample=sample,
            template=template,
        )

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

    def origins(self) -> Sequence[Origin]:
        """The model, whose provider may have terms on what its answers are used for."""
        return [Origin("language model", self.model)]


def _names(parameters: dict[str, JsonValue]) -> Iterator[str]:
    """The parameters' names, those in the body among them."""
    for name, value in parameters.items():
        if name == BODY and isinstance(value, dict):
            yield from value
        else:
            yield name

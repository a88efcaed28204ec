"""One call of a model through litellm: its key, its parameters, its endpoint, and what came of it.

Retries, cache and cost are ours; litellm's are off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cod_runner.api import LLMAnswer, LLMRequest, ProviderError
from codrun_litellm.connection import Connection
from codrun_litellm.failures import PLACEHOLDER_KEY, CallFailure, failure_of, sentence
from codrun_litellm.pricing import Price, provider_of
from codrun_litellm.providers import key_variable
from codrun_litellm.reading import is_completion, read_response

LOG = logging.getLogger("codrun.litellm")
IF_SUPPORTED = ("seed", "response_format", "logprobs", "top_logprobs")
"""Left out of a call to a provider that does not take them, rather than refused by it."""
COMPLETIONS = "text-completion-openai"
"""litellm's name for OpenAI's completion endpoint, which most servers of one's own have too."""


class Calls:
    """How one model at one address is called. Made for one event loop."""

    def __init__(self, connection: Connection, price: Price | None) -> None:
        self.connection, self.price = connection, price
        self._completions: Any = None
        self._taken: dict[str, frozenset[str]] = {}
        self._key: str | None = None
        self._key_variable = connection.api_key_env or ""

    def prepare(self, requests: Sequence[LLMRequest]) -> None:
        """Import litellm and find the key, for sending and for scrubbing.

        Raises :class:`ProviderError` where a required key is absent, or where the provider has no endpoint for one of
        ``requests``: nothing has been sent then.
        """
        self._litellm = imported_litellm()
        if any(map(is_completion, requests)):
            self._require_completions()
        self._find_the_key()

    async def call(self, request: LLMRequest) -> LLMAnswer | CallFailure:
        """Send one request and wait for its answer."""
        heard: list[Any] = []
        seconds = self.connection.seconds_to_wait
        send, call = self._prepared(request, heard)
        try:
            # a provider's client that ignores its own time-out must not hang the run
            response = await asyncio.wait_for(send(**call), seconds + 5)
            return read_response(request, response, self.price, self._secret)
        except Exception as error:  # noqa: BLE001 - litellm raises anything from IndexError to its own 20 classes
            failure = failure_of(error, self._key)
        for said in heard:  # litellm could not read its log-probabilities, but what it says is paid for
            return read_response(request, said, self.price, self._secret)
        if failure.filtered:
            return LLMAnswer("", "content_filter", 0, 0, 0.0 if self.price else None)
        LOG.info("call failed: %s", failure.detail)
        return failure

    async def close(self) -> None:
        """Close the connections that belong to this event loop before it ends."""
        if self._completions is not None:
            await self._completions.close()
        close = getattr(self._litellm, "close_litellm_async_clients", None)
        if close is not None:
            await close()

    def sentence(self, failure: CallFailure) -> str:
        """What the user reads when a failure ends the run."""
        is_set = bool(os.environ.get(self._key_variable))
        return sentence(failure, self.connection.model, self.connection.api_base, self._key_variable, is_set)

    @property
    def _secret(self) -> str | None:
        return self._key or os.environ.get(self._key_variable)

    def _prepared(self, request: LLMRequest, heard: list[Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """litellm's function for the request, and what it is called with."""
        connection, completion = self.connection, is_completion(request)
        model = _completion_model(connection.model) if completion else connection.model
        seconds = connection.seconds_to_wait
        call: dict[str, Any] = {"model": model, "timeout": seconds, "num_retries": 0, "max_retries": 0}
        if completion:
            call["prompt"] = request.messages[0][1]
            call["client"] = self._completions_client(model)
        else:
            call["messages"] = [{"role": role, "content": content} for role, content in request.messages]
        call.update(self._parameters(request, model))
        if completion or request.parameters.get("logprobs"):
            call["logger_fn"] = _listener(heard)
        if connection.api_base:
            call["api_base"] = connection.api_base
        if connection.api_version:
            call["api_version"] = connection.api_version
        if self._key:
            call["api_key"] = self._key
        return (self._litellm.atext_completion if completion else self._litellm.acompletion), call

    def _parameters(self, request: LLMRequest, model: str) -> dict[str, Any]:
        """The request's parameters, without those that the provider may lack and does."""
        parameters = {name: value for name, value in request.parameters.items() if value is not None}
        if model not in self._taken:
            self._taken[model] = frozenset(self._litellm.get_supported_openai_params(model=model) or ())
        for name in IF_SUPPORTED:
            if name not in self._taken[model]:
                parameters.pop(name, None)
        if is_completion(request):
            parameters.pop("response_format", None)
        parameters.pop("api_version", None)
        return parameters

    def _completions_client(self, model: str) -> Any:
        """One client for every completion of the round: litellm itself would open a connection for each, and close
        none of them."""
        if self._completions is None:
            import openai

            _, _, key, base = self._litellm.get_llm_provider(model=model, api_base=self.connection.api_base)
            self._completions = openai.AsyncOpenAI(
                api_key=self._key or key or os.environ.get(self._key_variable) or PLACEHOLDER_KEY,
                base_url=base or os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE"),
                timeout=self.connection.seconds_to_wait,
                max_retries=0,
            )
        return self._completions

    def _require_completions(self) -> None:
        model = self.connection.model
        provider = provider_of(model) or "openai"
        if provider in ("openai", COMPLETIONS):
            return
        known = provider in self._litellm.openai_text_completion_compatible_providers
        if not known or not self._litellm.get_llm_provider(model=model, api_base=self.connection.api_base)[3]:
            raise ProviderError(
                f"`{model}` cannot be asked to continue a text: the provider `{provider}` has no completion endpoint "
                "that litellm knows; ask it as a chat, or name a server of your own as `openai/NAME` with its "
                "`api_base`"
            )

    def _find_the_key(self) -> None:
        model, base = self.connection.model, self.connection.api_base
        if self.connection.api_key_env:
            self._key = os.environ.get(self.connection.api_key_env) or None
            if self._key is None:
                raise self._missing(self.connection.api_key_env)
            return
        provider = model.partition("/")[0] if "/" in model else "openai"
        self._key_variable = key_variable(model)
        if base is not None:
            # said here, because litellm would choose another provider's key by what the address contains
            self._key = os.environ.get(self._key_variable) or None
            if self._key is None and (provider == "openai" or provider not in map(str, self._litellm.provider_list)):
                self._key = PLACEHOLDER_KEY
                return
        wanted = self._litellm.validate_environment(model).get("missing_keys", [])
        absent = [name for name in wanted if name.endswith("_API_KEY")]
        if absent and "AZURE_AD_TOKEN" not in os.environ and self._key is None:
            self._key_variable = absent[0]
            raise self._missing(absent[0])

    def _missing(self, variable: str) -> ProviderError:
        failure = CallFailure(401, f"none, the call was not sent, {variable} is not set")
        return ProviderError(
            sentence(failure, self.connection.model, self.connection.api_base, variable, key_is_set=False)
        )


def _completion_model(model: str) -> str:
    """The name under which litellm sends a text to the completion endpoint."""
    bare = model.removeprefix("openai/")
    return f"{COMPLETIONS}/{bare}" if provider_of(model) in ("", "openai", COMPLETIONS) and "/" not in bare else model


def _listener(heard: list[Any]) -> Callable[[Mapping[str, Any]], None]:
    """Takes down an answer as litellm got it, for where litellm itself cannot read it."""

    def listen(details: Mapping[str, Any]) -> None:
        if details.get("log_event_type") != "post_api_call":
            return
        said: Any = details.get("original_response")
        try:
            body = json.loads(said) if isinstance(said, str) else said.model_dump()
        except (ValueError, RecursionError, AttributeError, TypeError):
            return  # not a body: litellm passes an object that is still to be awaited, too
        if isinstance(body, dict) and isinstance(body.get("choices"), list) and body["choices"]:
            heard.append(body)

    return listen


def imported_litellm() -> Any:
    """litellm, imported here, without its network look-up, banner, telemetry, retries and logging."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # else it reads a file `.env` around its own folder or the current one, which may be a stranger's and redirect calls
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.num_retries = None
    litellm.cache = None
    # of a provider's odd answer, with its content; what cannot be read is reported by a sentence of ours
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    clients = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "aiohttp")
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", *clients):
        # they log requests, addresses and headers
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm

"""Checks that the model can be called at all, before a teacher is trained or anything is paid for."""

from __future__ import annotations

import os
import socket
import urllib.request
from urllib.parse import urlsplit

from cod_runner.api import ProviderError
from codrun_litellm.failures import CallFailure, sentence
from codrun_litellm.options import LitellmOptions
from codrun_litellm.pricing import provider_of

KEY_VARIABLES = {
    "anthropic": "ANTHROPIC_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "xai": "XAI_API_KEY",
}
"""Providers that always need a key, and the variable that holds it; for others the first call shows it."""
SECONDS_TO_CONNECT = 5.0


def check_readiness(options: LitellmOptions) -> None:
    """Raise :class:`ProviderError` if a key is missing or nothing listens at ``api_base``."""
    variable = options.api_key_env
    if variable is None and options.api_base is None:
        variable = KEY_VARIABLES.get(provider_of(options.model))
    if variable is not None and not os.environ.get(variable):
        failure = CallFailure(401, f"none, the call was not sent, {variable} is not set")
        raise ProviderError(sentence(failure, options.model, options.api_base, variable, key_is_set=False))
    if options.api_base is not None and not urllib.request.getproxies():
        refused = _refused(options.api_base)
        if refused is not None:
            failure = CallFailure(None, refused, unreachable=True)
            raise ProviderError(sentence(failure, options.model, options.api_base, "", key_is_set=True))


def _refused(address: str) -> str | None:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((str(parts.hostname), port), SECONDS_TO_CONNECT).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None

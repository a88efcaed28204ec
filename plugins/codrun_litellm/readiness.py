"""Checks that the model can be called at all, before a teacher is trained or anything is paid for."""

from __future__ import annotations

import os
import socket
import urllib.request

from cod_runner.api import ProviderError
from codrun_litellm.connection import Connection
from codrun_litellm.failures import CallFailure, sentence
from codrun_litellm.pricing import provider_of
from codrun_litellm.providers import PROVIDERS, origin

SECONDS_TO_CONNECT = 5.0


def check_readiness(options: Connection) -> None:
    """Raise :class:`ProviderError` if a key is missing or nothing listens at ``api_base``."""
    variable = options.api_key_env
    if variable is None and options.api_base is None:
        known = PROVIDERS.get(provider_of(options.model))
        variable = known.key_variable if known else None
    if variable and not os.environ.get(variable):
        failure = CallFailure(401, f"none, the call was not sent, {variable} is not set")
        raise ProviderError(sentence(failure, options.model, options.api_base, variable, key_is_set=False))
    if options.api_base is not None and not urllib.request.getproxies():
        refused = _refused(options.api_base)
        if refused is not None:
            failure = CallFailure(None, refused, unreachable=True)
            raise ProviderError(sentence(failure, options.model, options.api_base, "", key_is_set=True))


def _refused(address: str) -> str | None:
    _, host, port = origin(address)
    try:
        socket.create_connection((host, port), SECONDS_TO_CONNECT).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None

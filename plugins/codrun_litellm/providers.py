"""Where calls of a model go and which key goes with them, known without importing litellm.

A test calls every provider of the table through litellm and sees that its requests go where the table says.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from codrun_litellm.pricing import provider_of


@dataclass(frozen=True)
class Provider:
    """One provider's own address, and the variable that holds its key ("": it needs none)."""

    address: str
    key_variable: str


PROVIDERS = {
    "anthropic": Provider("https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "cerebras": Provider("https://api.cerebras.ai", "CEREBRAS_API_KEY"),
    "cohere": Provider("https://api.cohere.com", "COHERE_API_KEY"),
    "cohere_chat": Provider("https://api.cohere.com", "COHERE_API_KEY"),
    "deepinfra": Provider("https://api.deepinfra.com", "DEEPINFRA_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Provider("https://api.fireworks.ai", "FIREWORKS_API_KEY"),
    "gemini": Provider("https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    "groq": Provider("https://api.groq.com", "GROQ_API_KEY"),
    "mistral": Provider("https://api.mistral.ai", "MISTRAL_API_KEY"),
    "moonshot": Provider("https://api.moonshot.ai", "MOONSHOT_API_KEY"),
    "nvidia_nim": Provider("https://integrate.api.nvidia.com", "NVIDIA_NIM_API_KEY"),
    "ollama": Provider("http://localhost:11434", ""),
    "ollama_chat": Provider("http://localhost:11434", ""),
    "openai": Provider("https://api.openai.com", "OPENAI_API_KEY"),
    "openrouter": Provider("https://openrouter.ai", "OPENROUTER_API_KEY"),
    "perplexity": Provider("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "sambanova": Provider("https://api.sambanova.ai", "SAMBANOVA_API_KEY"),
    "text-completion-openai": Provider("https://api.openai.com", "OPENAI_API_KEY"),
    "together_ai": Provider("https://api.together.ai", "TOGETHERAI_API_KEY"),
    "xai": Provider("https://api.x.ai", "XAI_API_KEY"),
}
"""The common ones; litellm knows the addresses of many more."""

ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/-]*)?")
"""What an ``api_base`` may be. Anything that two libraries could read as two hosts is refused."""


def key_variable(model: str) -> str:
    """The environment variable that litellm takes the model's key from; "" for a provider that needs no key."""
    provider = provider_of(model) or "openai"
    known = PROVIDERS.get(provider)
    return known.key_variable if known else f"{provider.upper()}_API_KEY"


def own_address(model: str) -> str:
    """Where a call that names no address goes, in words where only litellm knows.

    An address in the provider's own environment variable counts as its own: the user has set it.
    """
    provider = provider_of(model)
    for name in (f"{provider.upper()}_BASE_URL", f"{provider.upper()}_API_BASE"):
        if provider and os.environ.get(name):
            return os.environ[name]
    known = PROVIDERS.get(provider)
    return known.address if known else f"the address that litellm has for `{model}`"


def is_own(model: str, address: str) -> bool:
    """Whether ``address`` is on the host of the model's provider, reached as the provider says."""
    known = PROVIDERS.get(provider_of(model))
    if known is None:
        return False
    return origin(address) == origin(known.address)


def is_key_of(model: str, variable: str) -> bool:
    """Whether a variable's name says that it holds a key of the model's provider."""
    if variable == key_variable(model):
        return True
    stems = {provider_of(model) or "openai", key_variable(model).removesuffix("_API_KEY")}
    return any(stem and variable.replace("_", "").upper().startswith(stem.replace("_", "").upper()) for stem in stems)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(address)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)

"""Differences between versions of Hugging Face's libraries, and their messages that codrun replaces by its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside, transformers reports no missing keys and shows no bars. Imports transformers only when it is called."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def hub_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the hub refuses or does not answer. Imports it only when it is called.

    The HTTP library underneath differs from version to version. The hub's own error derives from that library's base
    class of all errors, a refused connection included, and from :class:`OSError`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__

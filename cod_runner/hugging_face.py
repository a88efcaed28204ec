"""What differs between versions of Hugging Face's libraries, and what they say that codrun says in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers reports no missing keys and shows no bars inside; imported here, so that naming this costs none."""
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


def hub_faults() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the hub refuses or does not answer; imported here, so that naming it is free.

    Which HTTP library it speaks through differs from version to version. Its own error derives from that library's
    base of all errors, a refused connection included, and from :class:`OSError`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__

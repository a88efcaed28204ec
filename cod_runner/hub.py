"""What a model hub that does not answer looks like to Python."""

from __future__ import annotations


def hub_faults() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises where the hub refuses or does not answer; imported here, so that naming it is free.

    Which HTTP library it speaks through differs from version to version. Its own error derives from that library's
    base of all errors, a refused connection included, and from :class:`OSError`.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__

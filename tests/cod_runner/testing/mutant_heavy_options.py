"""Options of a wrong component whose module is heavy."""

from __future__ import annotations

import huggingface_hub  # noqa: F401 - it is what is wrong

from cod_runner.api import Options


class Heavy(Options):
    """None."""

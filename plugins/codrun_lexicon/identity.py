"""What decides the proposals of ``lexicon``, for the keys of cells and outcomes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cod_runner.api import DataError
from codrun_lexicon.options import LexiconOptions


def of_lexicon(options: LexiconOptions) -> dict[str, Any]:
    """The options, the word list by its content."""
    identity = options.model_dump(mode="json")
    if options.words is not None:
        try:
            identity["words"] = hashlib.sha256(Path(options.words).read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"the word list {options.words} cannot be read: {error.strerror}") from error
    return identity

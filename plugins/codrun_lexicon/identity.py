"""What decides the proposals of ``lexicon``, for the keys of cells and outcomes."""

from __future__ import annotations

import hashlib
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from cod_runner.api import DataError
from codrun_lexicon.options import LexiconOptions


def of_lexicon(options: LexiconOptions) -> dict[str, Any]:
    """The options, and every word list by its content or version."""
    identity = options.model_dump(mode="json")
    packaged = resources.files("codrun_lexicon").joinpath("opposites.txt").read_bytes()
    identity["opposites"] = hashlib.sha256(packaged).hexdigest()
    try:
        identity["vader"] = metadata.version("vaderSentiment")
    except metadata.PackageNotFoundError:
        identity["vader"] = None  # the generator says so when it is built
    if options.words is not None:
        try:
            identity["words"] = hashlib.sha256(Path(options.words).read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"the word list {options.words} cannot be read: {error.strerror}") from error
    return identity

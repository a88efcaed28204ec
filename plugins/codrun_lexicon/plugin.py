"""Declares the generator `lexicon`."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, hookimpl
from codrun_lexicon.options import LexiconOptions


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="generator",
        name="lexicon",
        options=LexiconOptions,
        build="codrun_lexicon.generator:Lexicon",
        summary="opposites, negations and swapped words, guided by the teacher; needs no other model and no network",
        version=3,
    )

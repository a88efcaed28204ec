"""Separate random streams: adding one use of randomness never shifts another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, from the run's seed and the purpose's name."""
    named = "\0".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big") >> 1


@contextmanager
def random_stream(seed: int, *purpose: str | int) -> Iterator[None]:
    """Inside, torch's global generators draw from the stream of ``purpose``; outside they go on as before."""
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, *purpose))
        yield

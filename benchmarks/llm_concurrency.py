"""How close the generator `litellm` comes to the ideal of a slow server: 96 calls of 300 ms, 32 at once.

    python benchmarks/llm_concurrency.py [--calls 96] [--concurrency 32] [--milliseconds 300] [--limit 1.6]

The ideal is calls / concurrency x milliseconds. What happens once (importing litellm, the first connection) is timed
separately, as the fixed start. Ends with exit code 1 where measured / ideal is above the limit.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from cod_runner.api import BuildContext, Request, Spending
from cod_runner.testing.llm_server import LLMServer, Reply
from codrun_litellm.generator import LitellmGenerator
from codrun_litellm.options import LitellmOptions


class NoTeacher:
    """Never asked: the generator reads nothing of the teacher here."""


def serve(delay: float, told: Connection) -> None:
    """Answer every call after ``delay`` seconds until the other end closes."""
    with LLMServer(lambda call: Reply('{"counterfactual": "a bad film"}', delay=delay)) as server:
        told.send(server.api_base)
        told.recv()


@contextmanager
def served(delay: float) -> Iterator[str]:
    """The server in a separate process, as a real one is."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(delay, theirs), daemon=True)
    process.start()
    yield ours.recv()
    ours.send("stop")
    process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=96)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--milliseconds", type=int, default=300)
    parser.add_argument("--limit", type=float, default=1.6)
    asked = parser.parse_args()
    os.environ.pop("OPENAI_API_KEY", None)

    def requests(count: int, name: str) -> list[Request]:
        return [Request(f"{name}{i}", f"a good film, {name} {i}", 1, 0) for i in range(count)]

    with tempfile.TemporaryDirectory() as store, served(asked.milliseconds / 1000) as api_base:
        options = LitellmOptions(model="openai/local", api_base=api_base, concurrency=asked.concurrency)
        context = BuildContext(labels=("negative", "positive"), store=Path(store), spending=Spending())
        generator = LitellmGenerator(options, context)
        started = time.perf_counter()
        generator.propose(requests(1, "start"), NoTeacher())  # type: ignore[arg-type]
        fixed = time.perf_counter() - started - asked.milliseconds / 1000
        started, worked = time.perf_counter(), time.process_time()
        generator.propose(requests(asked.calls, "text"), NoTeacher())  # type: ignore[arg-type]
        measured, worked = time.perf_counter() - started, time.process_time() - worked
        started = time.perf_counter()
        generator.propose(requests(asked.calls, "text"), NoTeacher())  # type: ignore[arg-type]
        from_ledger = time.perf_counter() - started
    ideal = math.ceil(asked.calls / asked.concurrency) * asked.milliseconds / 1000
    print(f"{asked.calls} calls of {asked.milliseconds} ms, {asked.concurrency} at once")
    print(f"ideal {ideal:.2f} s, measured {measured:.2f} s, ratio {measured / ideal:.2f}")
    print(f"processor time {worked / asked.calls * 1000:.1f} ms per call, most of it litellm's")
    print(f"fixed start {fixed:.2f} s, the same answers from the ledger {from_ledger:.3f} s")
    return 0 if measured / ideal <= asked.limit else 1


if __name__ == "__main__":
    sys.exit(main())

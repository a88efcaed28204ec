"""What several processes do for a teacher: fine-tuning and signals, in one process and in several, and how far apart.

    python benchmarks/large_teacher.py [--processes 2] [--rows 64] [--steps 8] [--texts 256] [--layers 6] [--rounds 3]

A DeBERTa-v2 of random weights without dropout, in float32 on the CPU or on a GPU for each process. Prints, for both
works, the smallest time of each of the rounds, from the first word of a process to its last (what each takes to load
torch and the model is told apart), and the ratio; the largest difference of a weight after the fine-tuning, beside the
largest change of one; and of a logit, which on CPUs must be 0: else it ends with exit code 1. On a machine whose cores
one process keeps busy already there is nothing to gain.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cod_runner.api import BuildContext, Example, FinetuneSettings
from cod_runner.engine.asking import each_answer
from cod_runner.engine.data_parallel import Alone, joined
from cod_runner.engine.device import choose_device, threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.testing.tiny_models import tiny_deberta
from cod_runner.worker_group import Place, Tell, places_for, worker_group
from codrun_transformers.build import build_teacher
from codrun_transformers.options import TeacherOptions

LABELS = ("negative", "positive")
WORDS = "a warm and funny film that never loses its way is better than one badly acted dull far too long".split()


@dataclass
class Found:
    """What one process measured, and what it had in the end."""

    tuning: list[float] = field(default_factory=list)
    """Seconds of each round, and so is ``asking``."""
    asking: list[float] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    """The teacher's weights by name, as arrays, and after the fine-tuning ``weights``."""
    weights: dict[str, Any] = field(default_factory=dict)
    logits: dict[Any, Any] = field(default_factory=dict)
    """By the text."""

    def seconds(self, work: str) -> list[float]:
        return self.tuning if work == "tuning" else self.asking


@dataclass(frozen=True)
class Work:
    """What each process does, rounds times: fine-tune, and answer with the teacher as it was."""

    asked: argparse.Namespace
    model: Path
    meeting: Path

    def __call__(self, place: Place, tell: Tell) -> Found:
        device, found = choose_device("auto"), Found()
        with joined(place.number, place.of, self.meeting, device) as share, threads(place.cores):
            for _ in range(self.asked.rounds):
                torch.distributed.barrier()
                found.tuning.append(self._tuned(device, share if place.of > 1 else Alone(), found))
                torch.distributed.barrier()
                found.asking.append(self._answered(device, place, found))
        return found

    def _teacher(self) -> Any:
        options = TeacherOptions(model=str(self.model), dropout=0.0, max_length=64)
        return build_teacher(options, BuildContext(labels=LABELS))

    def _tuned(self, device: str, share: Any, found: Found) -> float:
        teacher = self._teacher()
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        settings = FinetuneSettings(
            rows=self.asked.rows, steps=self.asked.steps, batch_size=16, eps=1e-4, precision="fp32"
        )
        started = time.perf_counter()
        finetune_teacher(teacher, examples(self.asked.rows), settings, device=device, share=share)
        took = time.perf_counter() - started
        found.weights = {name: value.cpu().numpy() for name, value in teacher.state_dict().items()}
        found.before = {name: value.numpy() for name, value in before.items()}
        return took

    def _answered(self, device: str, place: Place, found: Found) -> float:
        teacher = self._teacher().to(device)
        texts = sorted((row.input for row in examples(self.asked.texts)), key=lambda text: len(str(text)))
        mine = texts[place.number :: place.of]
        started = time.perf_counter()
        said = [each for batch in each_answer(teacher, mine, (0, 1), device) for each in batch]
        took = time.perf_counter() - started
        found.logits = {mine[each.position]: each.row.logits.numpy() for each in said}
        return took


def examples(count: int) -> list[Example]:
    """Texts of 5 to 60 words, each another."""
    texts = [
        " ".join(WORDS[(row * 7 + word * (1 + row % 5)) % len(WORDS)] for word in range(5 + row % 56))
        for row in range(count)
    ]
    return [Example(id=str(row), input=f"{text} {row}", label=row % 2) for row, text in enumerate(texts)]


def measured(asked: argparse.Namespace, model: Path, processes: int) -> tuple[dict[str, float], list[Found]]:
    """Seconds by work, of the slowest process in its best round, and of the whole; and what each process found."""
    on_gpus = torch.cuda.is_available()
    gpus = [str(number) for number in range(processes)] if on_gpus else None
    started = time.perf_counter()
    with worker_group(
        Work(asked, model, model / f"meeting-{processes}"), places_for(processes, gpus), "that work", ""
    ) as group:
        found = {told.number: told.content for told in group.told()}
    whole = time.perf_counter() - started
    seconds = {
        work: min(max(one.seconds(work)[each] for one in found.values()) for each in range(asked.rounds))
        for work in ("tuning", "asking")
    }
    seconds["starting"] = whole - sum(found[0].tuning) - sum(found[0].asking)
    return seconds, [found[number] for number in sorted(found)]


def largest(one: dict[Any, Any], other: dict[Any, Any]) -> float:
    """The largest difference of any number."""
    return max(float(abs(one[name] - other[name]).max()) for name in one)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"processes": 2, "rows": 64, "steps": 8, "texts": 256, "layers": 6, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = [str(row.input) for row in examples(max(asked.rows, asked.texts))]
        sizes = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
        model = tiny_deberta(
            Path(folder) / "model", texts, LABELS, num_hidden_layers=asked.layers, max_position_embeddings=96, **sizes
        )
        alone, (one,) = measured(asked, model, 1)
        together, several = measured(asked, model, asked.processes)
    print(f"{'':12}{'1 process':>12}{f'{asked.processes} processes':>14}{'ratio':>8}")
    for work in ("tuning", "asking", "starting"):
        print(f"{work:12}{alone[work]:>10.2f} s{together[work]:>12.2f} s{together[work] / alone[work]:>8.2f}")
    change, apart = largest(one.weights, one.before), largest(one.weights, several[0].weights)
    logits = {text: value for found in several for text, value in found.logits.items()}
    assert logits.keys() == one.logits.keys()
    print(f"weights: changed by at most {change:.2e}, apart by at most {apart:.2e}")
    print(f"logits of {len(logits)} texts: apart by at most {largest(one.logits, logits):.2e}")
    return 0 if torch.cuda.is_available() or largest(one.logits, logits) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

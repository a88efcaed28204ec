"""A training that is interrupted continues at its last checkpoint, and ends as if nothing had happened.

A checkpoint is one safetensors file: the trained weights, the optimiser's moments and step counts, the states of the
random generators, and, as the bytes of a JSON text, the numbers of :class:`_Numbers`. A checksum covers all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from torch import Tensor, nn

from cod_runner.api import Classifier, VocabularyCut
from cod_runner.checked_tensors import load_checked, save_checked
from cod_runner.engine.interruption import interruption_held
from cod_runner.engine.training_log import TrainingLog
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole

SECONDS_BETWEEN_CHECKPOINTS = 30.0
SHARE_OF_WRITING = 0.05
"""Of the time, at most, after the first checkpoint: one that takes long to write is written less often."""
NUMBERS = "numbers"
Group = TypeVar("Group")


class _Numbers(BaseModel):
    """What a checkpoint says besides its tensors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    identity: str
    step: int
    """Steps that are done."""
    total: int
    factors: list[float]
    curve: list[list[float]]
    """By step, each term's value."""
    scaler: dict[str, float | int]


@dataclass
class TrainingState:
    """All that changes during a training."""

    student: Classifier
    trained: Sequence[nn.Parameter]
    """Whatever the optimiser moves; inside the vocabulary cut, with the small table."""
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    log: TrainingLog
    cut: VocabularyCut | None
    device: str
    factors: list[float] = field(default_factory=list)
    """What the cut was told of the decay: its table is as before the training, and takes them when it is left."""

    def decayed(self, factor: float) -> None:
        """Tell the cut that a step multiplied its parameter's group by ``factor``."""
        if self.cut is not None:
            self.cut.decayed(factor)
            self.factors.append(factor)

    def tensors(self) -> dict[str, Tensor]:
        """By name, as they are now; those of the optimiser are there from the first step on."""
        found: dict[str, Tensor] = {f"weight.{index}": each for index, each in enumerate(self.trained)}
        found |= {f"buffer.{name}": each.clone() for name, each in self.student.named_buffers()}
        for index, state in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        found["log"] = self.log.pending()
        found["random.cpu"] = torch.get_rng_state()
        if torch.device(self.device).type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        elif torch.device(self.device).type == "mps":
            found["random.mps"] = torch.mps.get_rng_state()
        return {name: each.detach() for name, each in found.items()}

    def refuse_of_another(self, tensors: dict[str, Tensor], numbers: _Numbers) -> None:
        """Raise :class:`ValueError` for the state of another model or optimiser, before anything changes."""
        own = self.tensors()
        own.pop("log")
        theirs = {name: each for name, each in tensors.items() if not name.startswith("optimiser.") and name != "log"}
        if {name: (each.shape, each.dtype) for name, each in own.items()} != {
            name: (each.shape, each.dtype) for name, each in theirs.items()
        }:
            raise ValueError("it is that of another model")
        for name in tensors.keys() - theirs.keys() - {"log"}:
            _, number, kind = name.split(".", 2)
            wanted = torch.Size([]) if kind == "step" else self.trained[int(number)].shape
            if tensors[name].shape != wanted or tensors[name].dtype != torch.float32:
                raise ValueError("it is that of another optimiser")
        pending = tensors["log"]
        if len(numbers.curve) + len(pending) != numbers.step or pending.shape[1:] != (len(self.log.names),):
            raise ValueError("its losses are not those of its steps")

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], numbers: _Numbers) -> None:
        """Make everything as it was; the student is as it was before its first step."""
        for index, parameter in enumerate(self.trained):
            parameter.copy_(tensors[f"weight.{index}"])
        for name, buffer in self.student.named_buffers():
            buffer.copy_(tensors[f"buffer.{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, number, kind = name.split(".", 2)
                moments.setdefault(int(number), {})[kind] = value.clone()
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        if numbers.scaler:
            self.scaler.load_state_dict(dict(numbers.scaler))
        for factor in numbers.factors:
            self.decayed(factor)
        self.log.restore(numbers.curve, tensors["log"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"].clone(), self.device)
        if "random.mps" in tensors:
            torch.mps.set_rng_state(tensors["random.mps"].clone())
        torch.set_rng_state(tensors["random.cpu"].clone())


@dataclass
class Resumption:
    """Writes a training's checkpoints, now and then and when it is interrupted, and continues at the last one."""

    file: Path
    identity: str
    """Names everything that decides the training; the checkpoint of another one is not used."""
    say: Callable[[str], None] = lambda sentence: None
    warn: Callable[[str], None] = lambda sentence: None
    writes: bool = True
    """False in all but one of several processes of one training: they continue where that one does."""

    def steps(self, groups: Iterable[Group], state: TrainingState, total: int) -> Generator[Group]:
        """Each of ``groups`` that is still to be trained on; taking the next one says that the last one's step is done.

        Restores ``state`` first. Close the generator: until then Ctrl-C waits for the end of a step.
        """
        done = written = self._restored(state, total)
        due = time.monotonic() + SECONDS_BETWEEN_CHECKPOINTS
        with interruption_held() as interrupted:
            for group in islice(groups, done, None):
                yield group
                done += 1
                if interrupted:
                    if written < done and self._write(state, done, total):
                        self.say(
                            f"fine-tuning stops after step {done:,} of {total:,}, and the next run continues there"
                        )
                    interrupted.let_through()
                if time.monotonic() >= due and done < total:
                    started = time.monotonic()
                    written = done if self._write(state, done, total) else written
                    took = time.monotonic() - started
                    due = time.monotonic() + max(SECONDS_BETWEEN_CHECKPOINTS, took / SHARE_OF_WRITING)

    def _restored(self, state: TrainingState, total: int) -> int:
        """The steps that are done; 0 where there is no checkpoint, or none that can be used, which is said."""
        if not self.file.exists():
            return 0
        try:
            tensors = load_checked(self.file)
            numbers = _Numbers.model_validate_json(bytes(tensors.pop(NUMBERS).tolist()))
            if numbers.identity != self.identity or numbers.total != total or not 0 < numbers.step <= total:
                raise ValueError("it is that of another training")
            state.refuse_of_another(tensors, numbers)
        except (OSError, SafetensorError, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
            why = "it is damaged" if isinstance(error, KeyError | IndexError | TypeError) else _first_line(error)
            self.warn(f"the checkpoint {self.file.name} cannot be used ({why}): fine-tuning starts anew")
            return 0
        state.restore(tensors, numbers)
        self.say(f"continues fine-tuning after step {numbers.step:,} of {total:,}")
        return numbers.step

    def _write(self, state: TrainingState, step: int, total: int) -> bool:
        """Replace the checkpoint; a disk that takes none is said, and the training goes on."""
        if not self.writes:
            return False
        numbers = _Numbers(
            identity=self.identity,
            step=step,
            total=total,
            factors=state.factors,
            curve=[list(losses.values()) for _, losses in state.log.curve],
            scaler=state.scaler.state_dict(),
        )
        tensors = {name: each.cpu().contiguous() for name, each in state.tensors().items()}
        tensors[NUMBERS] = torch.frombuffer(bytearray(numbers.model_dump_json().encode()), dtype=torch.uint8)
        try:
            with file_written_whole(self.file) as temporary:
                save_checked(tensors, temporary)
        except (CodrunError, SafetensorError, ValueError, RuntimeError) as error:  # a model may share memory in itself
            self.warn(f"no checkpoint, and fine-tuning goes on: {_first_line(error)}")
            return False
        return True


def _first_line(error: Any) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

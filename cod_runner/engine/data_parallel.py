"""Several processes that train one model, each on a part of every batch; and one process, which trains on all of it.

Each holds the whole model. A step sees the examples that it would see in one process: their gradients are added up
over the processes by torch's DistributedDataParallel, as Hugging Face accelerate sets it up, and divided by the
examples of the whole step. Sums are in another order, so weights differ from one process's in the last bits; without
dropout in nothing else. With dropout each process draws its own, anew in each step, so that a checkpoint need not hold
the state of every process's generator.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from cod_runner.api import Classifier
from cod_runner.engine.seeds import derived_seed
from cod_runner.errors import CodrunError

if TYPE_CHECKING:
    from accelerate import Accelerator

TIME_TO_WAIT = timedelta(minutes=30)
"""For another process that is alive and does not come: it writes a large checkpoint, say. One that died is found at
once by whoever started it."""


class Share(Protocol):
    """A process's part of a training."""

    def forward_of(self, student: Classifier) -> Any:
        """What is called in the place of ``student``; asked once, when its parameters are those that will train."""
        ...

    def begin(self, step: int, seed: int) -> None:
        """A step begins, of this number from 0."""
        ...

    def part_of(self, rows: Sequence[int], *, last: bool) -> Any:
        """A context in which this process works on its part of a batch, which it gives: row numbers, at least one.
        ``last`` is the batch whose gradients complete a step."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Take the gradients of this process's part of a batch's loss."""
        ...

    def summed(self, values: Tensor) -> Tensor:
        """``[terms]``, without gradient: this process's sums to those of the whole batch."""
        ...


class Alone:
    """One process, which trains on everything."""

    def forward_of(self, student: Classifier) -> Any:
        return student

    def begin(self, step: int, seed: int) -> None:
        """Nothing to agree on."""

    def part_of(self, rows: Sequence[int], *, last: bool) -> Any:
        return nullcontext(rows)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def summed(self, values: Tensor) -> Tensor:
        return values


class DataParallel:
    """One of several processes; see :func:`joined`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._number, self._of = accelerator.process_index, accelerator.num_processes
        self._model: Any = None
        self._works = True
        """Whether this process has rows of the batch at hand."""
        self._agreed = False

    def forward_of(self, student: Classifier) -> Any:
        """The student as DistributedDataParallel has it: gradients are averaged over the processes as they come."""
        self._model = self._accelerator.prepare_model(student)
        return self._model

    def begin(self, step: int, seed: int) -> None:
        """Raises :class:`CodrunError` where the processes are not at the same step."""
        if not self._agreed:
            here = torch.tensor([step], device=self._accelerator.device)
            steps = self._accelerator.gather(here).tolist()
            if len(set(steps)) > 1:
                raise CodrunError(
                    f"the processes that fine-tune the teacher continue at different steps ({sorted(set(steps))}): a "
                    "checkpoint was changed meanwhile; run the same command again"
                )
            self._agreed = True
        torch.manual_seed(derived_seed(seed, "dropout", self._number, step))

    @contextmanager
    def part_of(self, rows: Sequence[int], *, last: bool) -> Iterator[Sequence[int]]:
        """Every n-th row. A process that gets none takes one for nothing, since all must take part in the sum."""
        mine = rows[self._number :: self._of]
        self._works = bool(mine)
        with nullcontext() if last else self._accelerator.no_sync(self._model):
            yield mine or rows[:1]

    def backward(self, loss: Tensor) -> None:
        """The processes' gradients are averaged, and meant to be added up."""
        (loss * (self._of if self._works else 0)).backward()

    def summed(self, values: Tensor) -> Tensor:
        summed: Tensor = self._accelerator.reduce(values * self._works, "sum")
        return summed


@contextmanager
def joined(number: int, of: int, meeting: Path, device: str) -> Iterator[DataParallel]:
    """Process ``number`` of so many on this machine, once the others have joined too. They find each other through the
    file ``meeting``, which none of them has made before, and talk over the loopback interface alone."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    on_cpu = torch.device(device).type == "cpu"
    _leave_nothing_to_the_environment(number, of, on_cpu)
    store = torch.distributed.FileStore(str(meeting), of)
    torch.distributed.init_process_group(
        "gloo" if on_cpu else "nccl", store=store, rank=number, world_size=of, timeout=TIME_TO_WAIT
    )
    # With `find_unused_parameters` a model may have a layer that nothing reads, and the buckets of gradients stay as
    # they were set up, so that a training that was interrupted adds in the same order.
    settings = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        yield DataParallel(Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=[settings]))
    torch.distributed.destroy_process_group()  # not after an error: it would wait for the others


def _leave_nothing_to_the_environment(number: int, of: int, on_cpu: bool) -> None:
    """What accelerate and the back ends read of it, whatever a user's shell or cluster has set."""
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_", "MASTER_"))]:
        del os.environ[name]
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    os.environ.update(
        RANK=str(number),
        WORLD_SIZE=str(of),
        LOCAL_RANK=str(number) if on_cpu else "0",  # each sees its own GPU alone
        LOCAL_WORLD_SIZE=str(of),
        GLOO_SOCKET_IFNAME=loopback,
        NCCL_SOCKET_IFNAME=loopback,
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # else accelerate chooses a number, and says so

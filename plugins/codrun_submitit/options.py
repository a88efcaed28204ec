"""What a recipe may say of its Slurm jobs. Nothing that it says is run: a recipe may be a stranger's, so there is no
option for a shell command, an interpreter, or a file."""

from __future__ import annotations

import re
import shutil
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from cod_runner.api import ClusterRequest, MemoryOption, Options

_MINUTES = {"min": 1, "h": 60, "d": 24 * 60}
_TIME = re.compile(r"([1-9][0-9]{0,5})(min|h|d)")
_SIGNS = "_.,:=@%+*|&()[]/-"
_WORD = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9{re.escape(_SIGNS)}]{{0,199}}")
LONGEST_MINUTES = 366 * 24 * 60


def _minutes(value: Any) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        minutes = int(found[1]) * _MINUTES[found[2]]
    elif isinstance(value, int) and not isinstance(value, bool):
        minutes = value
    else:
        raise ValueError(f"write it as in 30min, 2h or 1d, or as a whole number of minutes, not {value!r:.40}")
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise ValueError(f"must be from a minute to a year, not {value!r:.40}")
    return minutes


Time = Annotated[int, BeforeValidator(_minutes), Field(title="time")]
"""A time in minutes."""


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        raise ValueError(f"is a word of letters, digits and the signs {_SIGNS} without spaces, not {value!r:.40}")
    return value


Word = Annotated[str, AfterValidator(_word)]
"""A value of a flag of sbatch's: no spaces, quotes or line ends, so that it stays in the line it is written in."""
SlurmFlag = Literal[
    "constraint", "gres", "nodelist", "exclude", "reservation", "licenses", "comment", "wckey", "nice",
    "mem_per_gpu", "mem_per_cpu", "cpus_per_gpu", "gpu_bind", "threads_per_core", "hint", "tmp", "switches",
]  # fmt: skip
"""The flags of sbatch's that `slurm` takes: about where a job runs, and none that runs, reads or writes anything."""


class SubmititOptions(Options):
    """Cells as Slurm jobs, in an array: one student at a time in each job. The options are those of `sbatch`."""

    cluster: Literal["auto", "slurm", "local"] = Field(
        "auto", description="slurm, or local: processes on this machine; auto is slurm where there is `srun`"
    )
    partition: Word | None = Field(None, description="Slurm's partition, or several with commas between them")
    account: Word | None = Field(None, description="the account that Slurm charges")
    qos: Word | None = Field(None, description="Slurm's quality of service")
    time: Time = Field(
        240, validate_default=True, description="time limit of a job, as in 30min, 2h or 1d, or a number of minutes"
    )
    gpus: int = Field(0, ge=0, le=64, description="GPUs of a job; students then train on the first")
    cpus: int = Field(1, ge=1, le=1024, description="CPU cores of a job; a student trains on one")
    memory: MemoryOption | None = Field(None, description="memory of a job, as in 8GB; absent: Slurm's own default")
    cells_per_job: int = Field(
        1, ge=1, le=100_000, description="cells that a job trains one after the other; more where each takes a minute"
    )
    at_once: int = Field(64, ge=1, le=10_000, description="jobs at once in Slurm, unless `--jobs` says")
    slurm: dict[SlurmFlag, Word | int] = Field(
        default_factory=dict, description="further flags of `sbatch`, as in {constraint: a100, exclude: node7}"
    )

    def is_slurm(self) -> bool:
        """Whether jobs would go to Slurm; not whether it is there, where the recipe insists on it."""
        return self.cluster == "slurm" or (self.cluster == "auto" and shutil.which("srun") is not None)

    def cells_of_a_job(self, cells: int, at_once: int) -> int:
        """How many a job trains one after the other: no fewer jobs than may run at once."""
        return max(1, min(self.cells_per_job, -(-cells // at_once)))

    def cluster_request(self, cells: int) -> ClusterRequest | None:
        """Slurm's jobs, and what of Slurm is asked for them."""
        if not self.is_slurm():
            return None
        chosen: dict[str, str | int | None] = {"partition": self.partition, "account": self.account, "qos": self.qos}
        chosen.update({str(flag): value for flag, value in self.slurm.items()})
        words = ["Slurm", *(f"{name} {value}" for name, value in chosen.items() if value is not None)]
        return ClusterRequest(
            ", ".join(words),
            jobs=-(-cells // self.cells_of_a_job(cells, self.at_once)),
            at_once=self.at_once,
            cpus=self.cpus,
            gpus=self.gpus,
            memory=self.memory,
            minutes=self.time,
        )

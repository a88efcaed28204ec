"""submitit's own executor, with a recipe's options."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.api import CodrunError, SettingError, one_line, starting_workers
from codrun_submitit.job import Cells
from codrun_submitit.options import SubmititOptions

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

MEBIBYTES = 2**20
SECONDS_BEFORE_THE_END = 30
"""When a job is told that its time is over; submitit's own 90 seconds are for saving what is unfinished."""

SAFE = {"PYTHONSAFEPATH": "1"}
"""In its environment a job takes no module from the working folder, where a stranger's files may lie."""


def chosen_cluster(options: SubmititOptions) -> str:
    """``slurm`` or ``local``, found without the library. Raises :class:`SettingError` where this is lacking, and where
    Slurm is asked for and is not here."""
    if importlib.util.find_spec("submitit") is None:
        raise SettingError('the executor `submitit` needs submitit; run `pip install "codrun[submitit]"`')
    if options.cluster == "slurm" and shutil.which("srun") is None:
        raise SettingError(
            "there is no Slurm on this machine (no `srun` on the PATH): start codrun on a login node, or say "
            "`cluster: local`",
            "cluster",
        )
    return "slurm" if options.is_slurm() else "local"


class Cluster:
    """Submits jobs."""

    def __init__(self, options: SubmititOptions, cluster: str, folder: Path, name: str, at_once: int) -> None:
        """Jobs write into ``folder``, are called ``name`` in Slurm, and ``at_once`` of an array run at once."""
        import logging

        from submitit import AutoExecutor

        logging.getLogger("submitit").setLevel(logging.CRITICAL)  # it writes to the terminal
        self.is_local = cluster == "local"
        # no time-out of ours is the job's own second chance: it is counted here
        self._executor: AutoExecutor = AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=0)
        self._executor.update_parameters(**_parameters(options, name, at_once))

    def submit(self, each: Sequence[Cells]) -> list[Job[Any]]:
        """One job for each; in Slurm an array. Raises :class:`CodrunError` where Slurm refuses it."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with starting_workers(SAFE), redirect_stderr(StringIO()):  # submitit prints what it raises
                if len(each) == 1 or self.is_local:
                    return [self._executor.submit(cells) for cells in each]
                return self._executor.submit_array(list(each))
        except (FailedJobError, FailedSubmissionError) as error:
            raise CodrunError(
                f"Slurm refused the job: {one_line(str(error))}; mend the options of the executor `submitit`"
            ) from error


def _parameters(options: SubmititOptions, name: str, at_once: int) -> dict[str, Any]:
    flags: dict[str, str | int | None] = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
    }
    flags.update({str(flag): value for flag, value in options.slurm.items()})
    memory = None if options.memory is None else max(1, options.memory // MEBIBYTES) / 1024  # submitit counts in GiB
    return {
        "name": name,
        "timeout_min": options.time,
        "cpus_per_task": options.cpus,
        "gpus_per_node": options.gpus or None,
        "mem_gb": memory,
        "slurm_array_parallelism": at_once,
        "slurm_signal_delay_s": SECONDS_BEFORE_THE_END,
        "slurm_additional_parameters": {flag: value for flag, value in flags.items() if value is not None},
    }

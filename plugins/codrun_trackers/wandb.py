"""A group of Weights & Biases with a run for each cell and one for the whole, on the disk by default."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from typing import TYPE_CHECKING, Any

from cod_runner.api import BuildContext, SettingError, environment_variables
from codrun_trackers.contents import cell_name, need
from codrun_trackers.following import Following
from codrun_trackers.logged import THE_RUN, Logged
from codrun_trackers.plugin import WANDB_KEY, WandbOptions

if TYPE_CHECKING:
    from wandb import Run


QUIET = {"WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "true"}
"""In the environment: nothing is sent to its makers."""
FILES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")
"""Variables that say where it puts files of its own, which would else lie in the user's home."""


class Wandb(Following):
    """Kept in ``wandb/`` in the run's folder; ``wandb sync`` sends it whenever the user wants."""

    def __init__(self, options: WandbOptions, context: BuildContext) -> None:
        need("wandb", "wandb")
        self._options = options
        self._mode = "offline" if context.offline else options.mode

    def begin(self) -> None:
        if self._mode == "online" and not os.environ.get(WANDB_KEY):
            raise SettingError(f"`mode: online` needs a key of Weights & Biases in {WANDB_KEY}", "mode")
        self._project = self._options.project or str(self.contents.recipe["name"])
        path = self.contents.folder / "trackers" / "wandb.jsonl"
        self._logged = Logged(path, {"project": self._project, "entity": self._options.entity, "mode": self._mode})

    def has(self, row: Mapping[str, Any]) -> bool:
        return self._logged.has(row["key"])

    def log_cell(self, row: Mapping[str, Any]) -> None:
        with self._run(row["key"], cell_name(row), "cell", self.contents.settings(row)) as run:
            for point in self.contents.curve(row):
                run.log({f"loss/{name}": value for name, value in point.losses.items()}, step=point.step)
            run.summary.update(self.contents.metrics(row))

    def log_run(self, summary: Mapping[str, Any]) -> None:
        import wandb

        told = {name: summary.get(name) for name in ("git_commit", "command", "versions", "machine")}
        with self._run(THE_RUN, self.contents.folder.name, "run", {**self.contents.recipe, "codrun": told}) as run:
            run.notes = "\n\n".join(summary["notes"])
            for name, table in (("table", self.contents.table()), ("counterfactuals", self.contents.gallery())):
                run.log({name: wandb.Table(columns=[*table.columns], data=table.rows, allow_mixed_types=True)})
            run.log({"report": wandb.Html(str(self.contents.folder / "report.html"), inject=False)})
        wandb.teardown()

    @contextmanager
    def _run(self, key: str, name: str, kind: str, config: Mapping[str, Any]) -> Iterator[Run]:
        """A W&B run for the block. The one of the whole keeps its id; a cell that is logged again gets a new one."""
        known = self._logged.name(key)
        if known is not None:
            self._remove(known)
        identifier = known if known is not None and key == THE_RUN else uuid.uuid4().hex[:12]
        self._logged.begin(key, identifier)
        with environment_variables({**QUIET, **dict.fromkeys(FILES, str(self.contents.folder / "wandb" / ".files"))}):
            run = self._begun(
                id=identifier,
                name=name,
                job_type=kind,
                config=dict(config),
                resume="allow" if key == THE_RUN else None,
            )
            try:
                yield run
            except BaseException:
                run.finish(exit_code=1)
                raise
            run.finish()
        self._logged.complete(key)

    def _begun(self, **arguments: Any) -> Run:
        """A run of this project and group; ``arguments`` are those of ``wandb.init`` that differ from run to run."""
        import wandb

        folder = self.contents.folder
        (folder / "wandb").mkdir(exist_ok=True)
        with chdir(folder):  # where it looks for `wandb/settings`, which could name another host
            wandb.setup(settings=_quiet(self._options.address))
        return wandb.init(
            project=self._project,
            entity=self._options.entity,
            group=f"{folder.name}-{self._group()}",
            dir=str(folder),
            mode=self._mode,
            reinit="create_new",
            settings=_quiet(self._options.address),
            **arguments,
        )

    def _group(self) -> str:
        """The id of the run of the whole, which tells two runs of one name apart."""
        if self._logged.name(THE_RUN) is None:
            self._logged.begin(THE_RUN, uuid.uuid4().hex[:12])
        return str(self._logged.name(THE_RUN))[:6]

    def _remove(self, identifier: str) -> None:
        """What an earlier call left of it, unless it was sent already."""
        for folder in (self.contents.folder / "wandb").glob(f"offline-run-*-{identifier}"):
            if not list(folder.glob("*.wandb.synced")):
                shutil.rmtree(folder, ignore_errors=True)


def _quiet(address: str) -> Any:
    """Nothing on the terminal, nothing about the machine, no copy of anybody's code."""
    import wandb

    return wandb.Settings(
        base_url=address,
        silent=True,
        quiet=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
    )

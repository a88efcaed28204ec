"""An MLflow run for the run of a recipe, with a run below it for each cell."""

from __future__ import annotations

import csv
import io
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cod_runner.api import BuildContext, CodrunError, SettingError, environment_variables
from codrun_trackers.contents import Table, cell_name, need
from codrun_trackers.following import Following
from codrun_trackers.logged import THE_RUN, Logged
from codrun_trackers.plugin import MLflowOptions

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FILES = ("table.md", "table.csv", "recipe.yaml", "run.json", "report.html", "counterfactuals.jsonl")
"""Of the run's folder that go along, where they are there."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true", "DO_NOT_TRACK": "true"}
"""In the environment: nothing is sent to MLflow's makers, and a folder of files may be its store."""
METRICS_AT_ONCE = 1000
PARAMETERS_AT_ONCE = 100
LONGEST_PARAMETER = 500
LONGEST_NAME = 60
"""Within MLflow's own bounds, and a file's name; what is longer is cut."""


class MLflow(Following):
    """Kept in ``mlruns/`` in the run's folder, or on the server that `uri` names."""

    def __init__(self, options: MLflowOptions, context: BuildContext) -> None:
        need("mlflow", "mlflow")
        self._options = options
        self._offline = context.offline
        self._opened: MlflowClient | None = None

    def begin(self) -> None:
        if self._options.uri is not None and self._offline:
            raise SettingError("`--offline` sends nothing to a tracking server; omit `uri`, or the flag", "uri")
        self._store = self.contents.folder / "mlruns"
        self._uri = self._options.uri or self._store.as_uri()
        self._experiment = self._options.experiment or str(self.contents.recipe["name"])
        path = self.contents.folder / "trackers" / "mlflow.jsonl"
        self._logged = Logged(path, {"uri": self._uri, "experiment": self._experiment})

    def has(self, row: Mapping[str, Any]) -> bool:
        return self._logged.has(row["key"])

    def log_cell(self, row: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        with self._client() as client:
            parent = self._parent(client)
            now = int(time.time() * 1000)
            if (earlier := self._logged.name(row["key"])) is not None:
                _delete(client, earlier)
            child = client.create_run(
                client.get_run(parent).info.experiment_id,
                start_time=now - int(1000 * row.get("seconds", 0)),
                run_name=cell_name(row),
                tags={"mlflow.parentRunId": parent, "codrun.cell": row["key"]},
            ).info.run_id
            self._logged.begin(row["key"], child)
            settings = _named(self.contents.settings(row))
            parameters = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in settings.items()]
            for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
                client.log_batch(child, params=parameters[start : start + PARAMETERS_AT_ONCE])
            metrics = [Metric(name, value, now, 0) for name, value in _named(self.contents.metrics(row)).items()]
            for point in self.contents.curve(row):
                losses = _named(point.losses)
                metrics += [Metric(f"loss/{name}", value, now, point.step) for name, value in losses.items()]
            for start in range(0, len(metrics), METRICS_AT_ONCE):
                client.log_batch(child, metrics=metrics[start : start + METRICS_AT_ONCE])
            client.set_terminated(child, end_time=now)
            self._logged.complete(row["key"])

    def log_run(self, summary: Mapping[str, Any]) -> None:
        with self._client() as client:
            parent = self._parent(client)
            tags = {
                "mlflow.source.git.commit": summary.get("git_commit"),
                "mlflow.source.name": summary.get("command"),
                "mlflow.note.content": "\n\n".join(summary["notes"]),
                "codrun.version": summary["versions"].get("codrun"),
            }
            for name, value in tags.items():
                if value:
                    client.set_tag(parent, name, str(value)[:5000])
            self._refuse_another_place(client.get_run(parent).info.artifact_uri)
            for file in (self.contents.folder / name for name in FILES):
                if file.is_file():
                    client.log_artifact(parent, str(file))
            client.log_text(parent, _as_csv(self.contents.gallery()), "counterfactuals.csv")
            client.set_terminated(parent)
            self._logged.complete(THE_RUN)

    def _parent(self, client: MlflowClient) -> str:
        """The run above all cells: the one of an earlier call, unless it was deleted."""
        if (known := self._logged.name(THE_RUN)) is not None:
            if _is_there(client, known):
                return known
            for below in self._logged.forget():
                _delete(client, below)
        found = client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else client.create_experiment(self._experiment)
        made = client.create_run(experiment, run_name=self.contents.folder.name)
        self._logged.begin(THE_RUN, made.info.run_id)
        return str(made.info.run_id)

    def _refuse_another_place(self, address: str) -> None:
        """A server may say that files go anywhere, and a folder that was moved names its former place."""
        parts = urlsplit(address)
        if self._options.uri is not None and parts.scheme in ("mlflow-artifacts", "http", "https"):
            same = not parts.netloc or parts.netloc == urlsplit(self._uri).netloc
        else:
            place = Path(unquote(parts.path)).resolve()  # a folder of files may say `..`
            here = parts.scheme in ("file", "") and place.is_relative_to(self._store.resolve())
            same = self._options.uri is None and here
        if not same:
            raise CodrunError(
                f"the MLflow run keeps its files in {address}, which is not "
                f"{self._store if self._options.uri is None else 'with the server that `uri` names'}; the curves are "
                "logged, table and counterfactuals are not"
            )

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """MLflow without a word on the terminal, and without its telemetry."""
        with environment_variables(QUIET):
            from mlflow.tracking import MlflowClient

            logging.getLogger("mlflow").setLevel(logging.ERROR)
            if self._opened is None:
                self._opened = MlflowClient(self._uri)
            yield self._opened


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Under names that MLflow takes: letters, digits, `_`, `-`, `.`, colons and spaces, and not too many."""
    return {re.sub(r"[^\w.\- :]", "_", name)[:LONGEST_NAME]: value for name, value in values.items()}


def _is_there(client: MlflowClient, run: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _delete(client: MlflowClient, run: str) -> None:
    """Into MLflow's bin; what is not there stays away."""
    if _is_there(client, run):
        client.delete_run(run)


def _as_csv(table: Table) -> str:
    """As MLflow shows it: as a table."""
    text = io.StringIO()
    csv.writer(text).writerows([table.columns, *table.rows])
    return text.getvalue()

"""Declares jsonl, tensorboard, mlflow and wandb; importing this imports none of these libraries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cod_runner.api import Component, Destination, Options, hookimpl

SENT = "the recipe, the results and the counterfactuals"
STRANGE = "a recipe may not publish what a run makes"
"""Why a tracker's server needs the user's word."""
WANDB_KEY = "WANDB_API_KEY"
MLFLOW_KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")


class JsonLinesOptions(Options):
    """The losses of every step, as JSON lines in the run's folder `training`; always on, without options."""


class TensorBoardOptions(Options):
    """Writes event files into the run's folder `tensorboard`: `tensorboard --logdir RUN/tensorboard` shows them."""


class MLflowOptions(Options):
    """One MLflow run for the run of a recipe, and one below it for each cell, in the run's folder `mlruns`."""

    experiment: str | None = Field(
        None, min_length=1, max_length=200, description="the experiment's name; absent: the recipe's"
    )
    uri: str | None = Field(
        None,
        description="`http://` or `https://` address of a tracking server, which the user must allow (`--allow-host`); "
        "absent: files in the run's folder, and nothing is sent",
    )

    @field_validator("uri")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be the http:// or https:// address of a tracking server")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"must name no user; MLflow reads {' or '.join(MLFLOW_KEYS)} from the environment")
        if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("must be https://, unless the server runs on this machine")
        return value

    def destinations(self) -> Sequence[Destination]:
        """The server, if one is named, with the credentials that MLflow takes from the environment."""
        if self.uri is None:
            return ()
        key = next((name for name in MLFLOW_KEYS if os.environ.get(name)), None)
        return [Destination("mlflow", self.uri, SENT, key, own=False, why=STRANGE, setting=("uri",))]


class WandbOptions(Options):
    """A group of Weights & Biases with one run for each cell, in the run's folder `wandb`."""

    project: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][\w.-]{0,127}$",
        description="the project's name; absent: the recipe's",
    )
    entity: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][\w.-]{0,127}$", description="user or team; absent: the key's own"
    )
    mode: Literal["offline", "online"] = Field(
        "offline",
        description="offline: nothing is sent, and `wandb sync RUN/wandb/offline-run-*` sends it later; online: sent "
        f"at once with the key in `{WANDB_KEY}`, which the user must allow (`--allow-host`)",
    )

    @property
    def address(self) -> str:
        """The server: W&B's own, or the user's."""
        return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"

    def destinations(self) -> Sequence[Destination]:
        """The server, in the mode `online`: a recipe may not send a run's results by itself."""
        if self.mode == "offline":
            return ()
        return [Destination("wandb", self.address, SENT, WANDB_KEY, own=False, why=STRANGE, setting=("mode",))]


@hookimpl
def codrun_components() -> Iterator[Component]:
    yield Component(
        kind="tracker",
        name="jsonl",
        options=JsonLinesOptions,
        build="codrun_trackers.json_lines:JsonLines",
        summary="the losses of every step in training/, one file a cell; observes every run, named or not",
    )
    yield Component(
        kind="tracker",
        name="tensorboard",
        options=TensorBoardOptions,
        build="codrun_trackers.tensorboard:TensorBoard",
        summary='curves, metrics and counterfactuals in tensorboard/ (needs `pip install "codrun[tensorboard]"`)',
    )
    yield Component(
        kind="tracker",
        name="mlflow",
        options=MLflowOptions,
        build="codrun_trackers.mlflow:MLflow",
        summary='a run with a nested run for each cell in mlruns/ (needs `pip install "codrun[mlflow]"`)',
    )
    yield Component(
        kind="tracker",
        name="wandb",
        options=WandbOptions,
        build="codrun_trackers.wandb:Wandb",
        summary='a group with a run for each cell in wandb/, offline by default (needs `pip install "codrun[wandb]"`)',
    )

"""What is refused before anything runs: a missing library, a host that the user did not allow, a wrong option."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from followed_run import run

from cod_runner.errors import RecipeError
from cod_runner.permissions import Permissions


def refusal(called: Path, trackers: str, *overrides: str, **settings: object) -> str:
    """What is said of the only tracker; nothing has run then."""
    with pytest.raises(RecipeError) as caught:
        run(called, trackers, *overrides, **settings)
    run_folder = called / "run"
    assert not [each for each in ("cells.jsonl", "trackers", "mlruns", "wandb") if (run_folder / each).exists()]
    return str(caught.value).removeprefix(f"{called / 'followed.yaml'}:")


@pytest.mark.parametrize(
    ("tracker", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    called: Path, monkeypatch: pytest.MonkeyPatch, tracker: str, package: str
) -> None:
    found = importlib.util.find_spec

    def missing(name: str, where: str | None = None) -> ModuleSpec | None:
        return None if name == package else found(name, where)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    assert refusal(called, f"[{tracker}]") == (
        f"13:12: the tracker `{tracker}` needs the package {package}, which is not installed; run "
        f'`pip install "codrun[{tracker}]"`, or take it out of `trackers`'
    )


def test_a_recipe_may_not_publish_by_itself(called: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    what = "the recipe, the results and the counterfactuals"
    cure = "a recipe may not publish what a run makes; if you trust it, say so outside the recipe: `--allow-host"
    online = "[{use: wandb, mode: online}]"
    assert refusal(called, online).startswith(
        f"13:31: {what} and the key in WANDB_API_KEY would go to https://api.wandb.ai, and {cure} api.wandb.ai`"
    )
    server = "[{use: mlflow, uri: 'http://127.0.0.1:5000'}]"
    assert refusal(called, server).startswith(
        f"13:31: {what} would go to http://127.0.0.1:5000, and {cure} 127.0.0.1:5000`"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "x")
    assert f"{what} and the key in MLFLOW_TRACKING_TOKEN would go" in refusal(called, server)


def test_online_needs_a_key_and_offline_wins(called: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    allowed = Permissions(hosts=frozenset({"api.wandb.ai", "127.0.0.1:5000"}))
    online = "[{use: wandb, mode: online}]"
    assert refusal(called, online, permissions=allowed).endswith("needs a key of Weights & Biases in WANDB_API_KEY")
    server = "[{use: mlflow, uri: 'http://127.0.0.1:5000'}]"
    said = refusal(called, server, permissions=allowed, offline=True)
    assert said.endswith("`--offline` sends nothing to a tracking server; omit `uri`, or the flag")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{use: mlflow, uri: 'sqlite:///x.db'}", "must be the http:// or https:// address of a tracking server"),
        ("{use: mlflow, uri: 'file:///etc'}", "must be the http:// or https:// address of a tracking server"),
        ("{use: mlflow, uri: 'databricks'}", "must be the http:// or https:// address of a tracking server"),
        ("{use: mlflow, uri: 'https://a:b@host'}", "must name no user"),
        ("{use: mlflow, uri: 'https://:b@host'}", "must name no user"),
        ("{use: mlflow, uri: 'https://a@host'}", "must name no user"),
        ("{use: mlflow, uri: 'http://example.org'}", "must be https://, unless the server runs on this machine"),
        ("{use: wandb, project: '../up'}", "project"),
        ("{use: wandb, mode: always}", "mode"),
        ("{use: jsonl, path: x}", "path"),
    ],
)
def test_wrong_options_are_refused_where_they_stand(called: Path, options: str, told: str) -> None:
    said = refusal(called, f"[{options}]")
    assert said.startswith("13:") and told in said


def test_a_tracker_is_named_once(called: Path) -> None:
    said = refusal(called, "[tensorboard, mlflow, {use: tensorboard}]")
    assert said == "13:33: the tracker `tensorboard` is named twice and observes a run once; remove one"

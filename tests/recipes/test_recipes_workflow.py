"""The example of a workflow: it parses, asks for little, and its commands are ones that codrun takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cod_runner.cli.program import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "recipes" / "examples" / "github_workflow.yml").read_text(encoding="utf-8")
WORKFLOW = yaml.load(TEXT, yaml.BaseLoader)  # noqa: S506 - as GitHub reads `on`: a word, not a truth value
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["compare"]["steps"]
COMMANDS = [step["run"] for step in STEPS if "run" in step]


def codrun_calls() -> list[list[str]]:
    """The words after `codrun` in every command, as a shell splits them."""
    calls = []
    for command in COMMANDS:
        for found in re.findall(r"(?:^|\$\(|&&|;)\s*(codrun [^|;)]*?)(?=\s*(?:[|;)]|>>|$))", command, re.MULTILINE):
            calls.append(shlex.split(found)[1:])
    return calls


def test_it_runs_on_pull_requests_and_may_read_alone() -> None:
    assert list(WORKFLOW["on"]) == ["pull_request"]
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    assert "secrets." not in TEXT
    assert STEPS[0]["with"] == {"fetch-depth": "0", "persist-credentials": "false"}


def test_actions_are_pinned_by_major_version_and_no_expression_enters_a_shell() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert [each.partition("@")[0] for each in used] == ["actions/checkout", "actions/setup-python", "actions/cache"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", each) for each in used)
    assert not [command for command in COMMANDS if "${{" in command], "a branch's name is a stranger's text"


def test_the_store_is_cached_by_version_and_recipes() -> None:
    (cache,) = [step["with"] for step in STEPS if "cache" in step.get("uses", "")]
    home = WORKFLOW["jobs"]["compare"]["env"]["CODRUN_HOME"]
    assert home == "${{ github.workspace }}/.codrun"
    assert cache["path"].split() == [".codrun", "runs/.revisions"]
    assert "steps.codrun.outputs.version" in cache["key"]
    assert "hashFiles('recipes/**')" in cache["key"]
    assert all(cache["key"].startswith(prefix) for prefix in cache["restore-keys"].split("\n") if prefix)


def test_codrun_takes_every_command() -> None:
    calls = codrun_calls()
    assert [call[0] for call in calls] == ["--version", "validate", "compare"]
    assert sum(command.count("codrun ") for command in COMMANDS) == len(calls)
    for words in calls[1:]:
        parse(words)
    with pytest.raises(Exception, match="No such option"):
        parse([*calls[2], "--no-such-flag"])
    compare = parse(calls[2])
    assert (compare["revisions"], compare["paths"]) == (["$TARGET"], [Path("recipes/ci")])
    assert compare["as_markdown"] and compare["fail_on_regression"]
    assert any(command.rstrip().endswith('>> "$GITHUB_STEP_SUMMARY"') for command in COMMANDS)


def test_pytest_is_given_recipes_that_are_there() -> None:
    (command,) = [command for command in COMMANDS if command.startswith("pytest ")]
    assert [list((ROOT / place).glob("*.yaml")) != [] for place in shlex.split(command)[1:]] == [True]


def parse(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line, which is not run."""
    group: Any = typer.main.get_command(app)
    outer = group.make_context("codrun", [words[0], "--help"], resilient_parsing=True)
    name, command, _ = group.resolve_command(outer, [words[0]])
    parameters: dict[str, Any] = command.make_context(name, list(words[1:]), parent=outer).params
    return parameters

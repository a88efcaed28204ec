"""What the tests of a recipe say, and that it runs once for all of them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from moons_recipe import GAIN, PLAIN

from cod_runner import running
from cod_runner.calling import Asked
from cod_runner.context import RunSettings
from cod_runner.errors import CodrunError
from cod_runner.registry import Registry
from codrun_losses.kd import KD
from pytest_codrun import places
from pytest_codrun.outcome import outcome_of

pytest_plugins = ["pytester"]

Write = Callable[..., Path]
Call = Callable[..., pytest.RunResult]


def cells_of(project: Path) -> list[Path]:
    return sorted(project.glob(".pytest_cache/d/codrun/**/cells.jsonl"))


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recipes that ran, in order."""
    ran: list[str] = []
    run = running.run

    def counted(loaded, *rest):  # type: ignore[no-untyped-def]
        ran.append(loaded.recipe.name)
        return run(loaded, *rest)

    monkeypatch.setattr(running, "run", counted)
    return ran


def test_one_run_serves_all_tests_and_a_second_call_repeats_nothing(
    pytester: pytest.Pytester, write: Write, call: Call, runs: list[str]
) -> None:
    write()
    call("ci", "--junitxml=results.xml").assert_outcomes(passed=3)
    assert runs == ["tiny_moons"]
    (cells,) = cells_of(pytester.path)
    first = lines_of(cells)
    assert len(first) == 2

    folders = {each.get("value") for each in properties(pytester, "folder")}
    assert folders == {str(cells.parent)}
    assert [each.get("value") for each in properties(pytester, "bound")] == ["at least 0.8", "at least -0.6"]
    rows = {json.loads(line)["arm"]: json.loads(line)["agreement"] for line in first}
    measured = [float(str(each.get("value"))) for each in properties(pytester, "measured")]
    assert measured == pytest.approx([rows["plain"], rows["cod"] - rows["plain"]])

    call("ci", "-k", "gain").assert_outcomes(passed=1, deselected=2)
    assert len(runs) == 2
    assert lines_of(cells) == first


def properties(pytester: pytest.Pytester, name: str) -> list[ElementTree.Element]:
    tree = ElementTree.parse(pytester.path / "results.xml")
    return tree.findall(f".//testcase/properties/property[@name='{name}']")


def test_a_loss_of_the_wrong_sign_fails_the_test_with_what_was_measured(
    pytester: pytest.Pytester, write: Write, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    call("ci").assert_outcomes(passed=3)

    right = KD.forward
    monkeypatch.setattr(KD, "forward", lambda self, *given: -right(self, *given))
    monkeypatch.setattr(places, "code_digest", lambda registry: "other")  # as where its file is edited
    done = call("ci", "--junitxml=results.xml")
    done.assert_outcomes(passed=2, failed=1)
    (cells,) = cells_of(pytester.path)  # of the run by the former code nothing is left
    plain = next(line for line in map(json.loads, lines_of(cells)) if line["arm"] == "plain")["agreement"]
    assert plain < 0.5
    shown = [
        f"missed: {PLAIN}: at least 0.8 expected, {plain:.4f} over 1 seed measured",
        "expected at ci/moons.yaml:18:5",
        "seeds: 0",
        "run: .pytest_cache/d/codrun/ci/moons.yaml/recipe/run-other",
    ]
    at = done.outlines.index(shown[0])
    assert done.outlines[at : at + 4] == shown
    assert "Traceback" not in done.stdout.str() and ".py:" not in done.stdout.str()
    (failure,) = ElementTree.parse(pytester.path / "results.xml").findall(".//failure")
    assert failure.text == "\n".join(shown)

    done = call("ci", "--lf", "-v")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"ci/moons.yaml::{PLAIN} FAILED*"])


def test_code_that_changed_is_noticed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytester.makepyfile(a_plugin_of_mine="x = 1\n")
    monkeypatch.syspath_prepend(pytester.path)
    registry = Registry()
    registry.register("mine", "a_plugin_of_mine", object)
    before = places.code_digest(registry)
    assert places.code_digest(registry) == before
    module.write_text("x = 2\n")
    assert places.code_digest(registry) not in (before, places.code_digest(Registry()))


def test_minus_x_stops_at_the_first(write: Write, call: Call) -> None:
    write("ci/moons.yaml", ("at_least: 0.8", "at_least: 1.01"))
    done = call("ci", "-x")
    done.assert_outcomes(passed=1, failed=1)


def test_what_a_flag_leaves_out_is_skipped_or_fails(write: Write, call: Call, runs: list[str]) -> None:
    write()
    done = call("ci", "--codrun-arms=plain", "-rs")
    done.assert_outcomes(passed=2, skipped=1)
    sentence = f"{GAIN}: at least -0.6 expected, not run, since its cells are left out"
    done.stdout.fnmatch_lines([f"SKIPPED [[]1[]] ci/moons.yaml: {sentence}"])
    done = call("ci", "--codrun-arms=plain", "--codrun-strict", "-k", "gain")
    done.assert_outcomes(failed=1, deselected=2)
    done.stdout.fnmatch_lines([sentence, "expected at ci/moons.yaml:19:5"])
    assert len(runs) == 1  # nothing ran to say so
    call("ci", "--codrun-arms=plain", "-o", "codrun_strict=true", "-k", "gain").assert_outcomes(failed=1, deselected=2)


def test_overrides_of_both_places_count_and_the_command_line_wins(
    pytester: pytest.Pytester, write: Write, call: Call
) -> None:
    write()
    pytester.makeini("[pytest]\ncodrun_recipes = ci\ncodrun_set =\n  train.steps=3\n  train.lr=0.5\n")
    call("--codrun-set", "train.steps=2", "-k", "run").assert_outcomes(passed=1, deselected=2)
    (cells,) = cells_of(pytester.path)
    assert [json.loads(line)["steps"] for line in lines_of(cells)] == [2, 2]
    assert "lr: 0.5" in (cells.parent / "recipe.yaml").read_text()


def test_a_run_that_fails_says_why_once_and_the_others_that_nothing_was_measured(
    write: Write, call: Call, runs: list[str]
) -> None:
    write("ci/moons.yaml", ("k: [8]", "k: [4000]"), ("k: 8,", "k: 4000,"))
    done = call("ci")
    done.assert_outcomes(failed=3)
    assert runs == ["tiny_moons"]
    assert done.stdout.str().count("\nnot measured, since the run failed\n") == 2
    assert "Traceback" not in done.stdout.str()


def test_an_error_that_nobody_foresaw_keeps_its_traceback(
    write: Write, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr(running, "run", broken)
    write()
    done = call("ci")
    done.assert_outcomes(failed=3)
    text, _ = done.stdout.str().split("short test summary info")  # whose lines pytest shortens except under CI=true
    assert text.count("def broken(") == 1
    assert text.count("\nerror: ZeroDivisionError: in the middle") == 2


def test_ctrl_c_ends_the_session(pytester: pytest.Pytester, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", interrupted)
    write()
    done = pytester.inline_run("ci", no_reraise_ctrlc=True)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert done.getreports("pytest_runtest_logreport")[-1].nodeid == "ci/moons.yaml::run"  # and no other began


def test_runs_may_be_kept_elsewhere(pytester: pytest.Pytester, write: Write, call: Call) -> None:
    write(add="profiles: {short: {train: {steps: 2}}}\n")
    call("ci", "--codrun-out=kept", "--codrun-profile=short", "-k", "run").assert_outcomes(passed=1, deselected=2)
    assert (pytester.path / "kept/ci/moons-short/report.html").is_file()
    assert cells_of(pytester.path) == []


def test_without_a_cache_a_folder_must_be_named(write: Write, call: Call) -> None:
    write()
    done = call("ci", "-p", "no:cacheprovider", "-k", "run")
    done.assert_outcomes(failed=1, deselected=2)
    done.stdout.fnmatch_lines(["error: pytest's cache is off, so name a folder for the runs: --codrun-out DIR"])


def test_hosts_and_folders_are_allowed_by_options_alone(
    pytester: pytest.Pytester, write: Write, call: Call, tmp_path: Path
) -> None:
    write(
        "ci/moons.yaml", ("{use: moons, n: 200, validation: 200, noise: 0.2}", f"{{use: csv, path: {tmp_path}/x.csv}}")
    )
    done = call("ci")
    done.assert_outcomes(errors=1)
    assert "--allow-folder" in done.stdout.str()
    call("ci", "--co", "--codrun-allow-folder", str(tmp_path)).assert_outcomes()
    pytester.makeini(f"[pytest]\ncodrun_allow_folders = {tmp_path}\n")
    assert call("ci", "--co").ret == 0


def test_files_that_recipes_name_run_where_an_option_allows_it(
    pytester: pytest.Pytester, write: Write, call: Call
) -> None:
    write("ci/moons.yaml", ("k: [8]", "k: [8]\nplugins: [./mine.py]"))
    (pytester.path / "ci/mine.py").write_text("from cod_runner.api import hookimpl\n\n\n@hookimpl\n"
                                              "def codrun_components():\n    return []\n")  # fmt: skip
    done = call("ci", "--co")
    done.assert_outcomes(errors=1)
    assert "--allow-local-plugins" in done.stdout.str()
    assert call("ci", "--co", "--codrun-allow-local-plugins").ret == 0
    pytester.makeini("[pytest]\ncodrun_allow_local_plugins = true\n")
    assert call("ci", "--co").ret == 0


@pytest.mark.slow
def test_two_workers_share_one_run(pytester: pytest.Pytester, write: Write) -> None:
    write()
    done = pytester.runpytest_subprocess("-n", "2", "--codrun-jobs=1", "-v", "ci")
    done.assert_outcomes(passed=3)
    assert len(set(re.findall(r"\[(gw\d)\]", done.stdout.str()))) == 2
    (cells,) = cells_of(pytester.path)
    assert len(lines_of(cells)) == 2
    assert (cells.parent / "run.log").read_text().count("tiny_moons: 2 cells") == 1


@pytest.mark.parametrize(("session", "times"), [("one", 1), ("", 2)])
def test_who_comes_second_waits_and_reads_what_the_first_one_found(
    session: str, times: int, tmp_path: Path, write: Write, runs: list[str]
) -> None:
    asked, place = Asked(write()), places.Place(tmp_path / "run", tmp_path / "lock", tmp_path / "outcome.json")
    settings = RunSettings(out=place.run, jobs=1)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(outcome_of, asked, settings, place, session, quiet=True) for _ in range(2)]
        first, second = (each.result() for each in waiting)
    assert first == second
    assert [each.verdict for each in first.verdicts] == ["pass", "pass"]
    assert len(runs) == times
    assert len(lines_of(tmp_path / "run/cells.jsonl")) == 2
    assert outcome_of(asked, settings, place, "another", quiet=True).session == "another"
    assert len(runs) == times + 1


def test_the_place_of_a_run_follows_the_recipe_s(pytester: pytest.Pytester, tmp_path: Path) -> None:
    config = pytester.parseconfig()
    inside, outside = pytester.path / "a/b.yaml", Path("/elsewhere/b.yaml")
    assert places.place_of(inside, None, tmp_path, config, Registry()).run == tmp_path / "a/b"
    assert places.place_of(inside, "x", tmp_path, config, Registry()).run == tmp_path / "a/b-x"
    assert places.place_of(outside, None, tmp_path, config, Registry()).run == tmp_path / "elsewhere/b"
    with pytest.raises(CodrunError):
        places.place_of(inside, None, None, pytester.parseconfig("-p", "no:cacheprovider"), Registry())

"""What a recipe may ask of Ray, where it may send texts, and how many workers fit; none of it starts Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cod_runner.api import BuildContext, ClusterRequest
from cod_runner.cli import call
from codrun_ray import executor
from codrun_ray.executor import Ray
from codrun_ray.plugin import STRANGE, RayOptions
from codrun_ray.request import Request

RECIPE = """
recipe: 1
name: alone
dataset: {use: moons, n: 300}
k: [4]
seeds: [0]
teacher: {use: mlp, hidden: [8], finetune: {rows: 100, steps: 40, lr: 0.02, batch_size: 16}}
student: {use: mlp, hidden: [4]}
methods: {own: [hard]}
arms: [plain]
train: {steps: 3}
evaluate: {metrics: [accuracy]}
executor: {use: ray, OPTIONS}
"""


def write(folder: Path, options: str) -> Path:
    path = folder / "alone.yaml"
    path.write_text(RECIPE.replace("OPTIONS", options).lstrip())
    return path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("gpus: 1.5", "must be a whole number, or a part of one GPU, as in 0.5"),
        ("gpus: 0.001", "must be 0, or at least 0.01"),
        ("cpus: 0", "must be at least 1, not `0`"),
        ("memory: 8 gigabytes", "write it as in 8GB"),
        ("address: head", "must be `auto`, or `host:port` of the head of a Ray cluster, as in 10.0.0.1:6379"),
        ("address: 'ray://head:10001'", "must be `auto`, or `host:port`"),
        ("address: 'head:99999'", "must be `auto`, or `host:port`"),
        ("runtime_env: {pip: [requests]}", "unknown key `executor.runtime_env`"),
    ],
)
def test_wrong_options_are_faults_at_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    path = write(tmp_path, options)
    assert call(["validate", str(path)]) == 2
    printed = capsys.readouterr()
    assert f"{path}:12:" in " ".join((printed.out + printed.err).split())
    assert said in " ".join((printed.out + printed.err).split())


def test_a_cluster_that_a_recipe_names_needs_the_users_word() -> None:
    named = RayOptions(address="10.0.0.1:6379", gpus=1)
    assert named.cluster_request(8) == ClusterRequest("the Ray cluster at 10.0.0.1:6379", 8, None, 1, 1)
    (sent,) = named.destinations()
    assert (sent.address, sent.own, sent.why, sent.setting) == ("tcp://10.0.0.1:6379", False, STRANGE, ("address",))
    assert RayOptions().destinations() == () and RayOptions().cluster_request(8) is None


def test_auto_shows_where_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    (sent,) = RayOptions(address="auto").destinations()
    assert (sent.address, sent.own) == ("10.0.0.2:6379", True)
    monkeypatch.delenv("RAY_ADDRESS")
    assert RayOptions(address="auto").destinations()[0].address == "the Ray cluster that runs on this machine"


def test_a_run_that_would_go_to_a_strange_cluster_ends_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "address: 'head.example:6379'")
    assert call([str(path), "--out", str(tmp_path / "run")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path}:12:" in said
    assert "the recipe, the texts and codrun's work would go to tcp://head.example:6379" in said
    assert "`--allow-host head.example:6379`" in said


def test_without_ray_a_sentence_at_the_recipes_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "find_spec", lambda name: None)
    path = write(tmp_path, "cpus: 1")
    assert call([str(path), "--out", str(tmp_path / "run")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"{path}:12:11: the executor `ray` needs the package ray, which is not installed; run "
        '`pip install "codrun[ray]"`, or choose another executor'
    ) in said


def test_validate_plan_and_plugins_import_no_ray(tmp_path: Path) -> None:
    path = write(tmp_path, "gpus: 1, cpus: 2, memory: 8GB")
    code = (
        "import sys; from cod_runner.cli import call\n"
        f"path = {str(path)!r}\n"
        "codes = [call(words) for words in (['validate', path], ['plan', path], ['plugins', 'ray'])]\n"
        "assert codes == [0, 0, 0], codes\n"
        "assert 'ray' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("request_", "node", "rooms"),
    [
        (Request(1, 0, None), {"CPU": 2.0}, 2),
        (Request(2, 0, None), {"CPU": 5.0}, 2),
        (Request(1, 1, None), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Request(1, 2, None), {"CPU": 8.0, "GPU": 3.0}, 1),
        (Request(1, 0.5, None), {"CPU": 8.0, "GPU": 2.0}, 4),
        (Request(1, 0.4, None), {"CPU": 8.0, "GPU": 2.0}, 4),
        (Request(1, 0.6, None), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Request(1, 1, None), {"CPU": 8.0}, 0),
        (Request(1, 0, 8 * 10**9), {"CPU": 8.0, "memory": 17e9}, 2),
        (Request(1, 0, 8 * 10**9), {"CPU": 8.0}, 0),
    ],
)
def test_how_many_workers_fit_a_node(request_: Request, node: dict[str, float], rooms: int) -> None:
    assert request_.rooms(node) == rooms


def test_what_no_node_has() -> None:
    nodes = [{"CPU": 2.0, "memory": 8e9}, {"CPU": 1.0, "GPU": 1.0, "memory": 1e9}]
    assert Request(1, 1, None).lacking(nodes) is None
    assert Request(1, 2, None).lacking(nodes) == "gpus"
    assert Request(1, 0, 9 * 10**9).lacking(nodes) == "memory"
    assert Request(3, 0, None).lacking(nodes) == "cpus"
    assert Request(2, 1, None).lacking(nodes) == "cpus"
    assert str(Request(2, 0.5, 8 * 10**9)) == "2 CPUs, 0.5 GPU, 8.0 GB of memory"


@pytest.mark.parametrize(
    ("options", "device", "gpus", "trains_on"),
    [
        ({}, "cpu", 0, "cpu"),
        ({}, "cuda:0", 1, "cuda"),
        ({"gpus": 0.5}, "cpu", 0.5, "cuda"),
        ({"gpus": 0}, "cuda", 0, "cpu"),
        ({}, "mps", 0, "mps"),
    ],
)
def test_the_device_of_students(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], device: str, gpus: float, trains_on: str
) -> None:
    monkeypatch.setattr(executor, "find_spec", lambda name: object())
    made = Ray(RayOptions(**options), BuildContext(device=device))
    assert (made.request.gpus, made.device) == (gpus, trains_on)


def test_cells_share_this_machines_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "find_spec", lambda name: object())
    monkeypatch.setattr(executor, "_this_machine", lambda gpus: {"CPU": 8, "memory": 10e9})
    assert Ray(RayOptions(), BuildContext()).workers().at_once == 8
    assert Ray(RayOptions(cpus=3), BuildContext()).workers().at_once == 2
    assert Ray(RayOptions(memory="4GB"), BuildContext()).workers().at_once == 2
    assert Ray(RayOptions(), BuildContext(cell_bytes=3 * 10**9)).workers().at_once == 3
    assert Ray(RayOptions(), BuildContext(cell_bytes=30 * 10**9)).workers().at_once == 8  # an estimate refuses nothing


def test_options_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 64"):
        RayOptions(gpus=65)

"""`benchmarks/gpu.py` works, on a CPU with tiny models: ten minutes on a GPU are not spent on a faulty script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_part_is_measured(tmp_path: Path) -> None:
    done = called("--device", "cpu", "--pairs", "tiny", "--quick", "--no-tests", "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["failed"] == []
    whats = [what for _, what, _ in found["rows"]]
    for part in ("teacher's logits", "evaluation in", "a step with hard and kd", "the bare step", "stage students"):
        assert any(what.startswith(part) for what in whats), part
    assert "search, a text" in whats
    assert "4 cells, 2 at once" in whats


@pytest.mark.slow
def test_an_unknown_pair_is_refused() -> None:
    done = called("--pairs", "bert")
    assert done.returncode == 2
    assert "no pair is called bert; there are deberta, xsmall, qwen, tiny" in done.stderr

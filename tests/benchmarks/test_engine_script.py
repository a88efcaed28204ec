"""`benchmarks/engine.py` works, and whoever it times computes what the engine computes. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "engine.py"
LEARN = ("codrun, positions: used", "plain loop", "bare step, whole vocabulary", "bare step")


@pytest.mark.slow
def test_whoever_learns_ends_with_the_engines_weights(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(found.read_text())["rows"]
    for method in ("kd", "lwd"):
        for precision, tolerance in (("fp32", 1e-3), ("bf16", 0.1)):
            these = {row["name"]: row for row in rows if (row["method"], row["precision"]) == (method, precision)}
            assert these["codrun"]["equality"] == {"largest": 0.0, "of_the_way": 0.0}
            for name in LEARN:
                assert these[name]["equality"]["of_the_way"] <= tolerance, (method, precision, name)
            assert method == "lwd" or these["forward, backward"]["equality"] is None
            assert f"| {method}, {precision} |" in done.stdout

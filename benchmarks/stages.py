"""Where the time of a run goes: seconds of each stage from an empty store, of the search per text, of a cell.

    python benchmarks/stages.py [RECIPE] [--k 8,16] [--seeds 0,1] [--jobs 1]

By default the quickstart with k = 16 and one seed. The students' rows are means over cells: training, and the rest,
nearly all of it evaluation. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import cod_runner
from cod_runner.runs.reading import json_lines

QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them."""
    return [int(each) for each in text.split(",")]


def report(result: cod_runner.RunResult) -> list[tuple[str, float, str]]:
    """Rows of (what, seconds, of what)."""
    stages = {stage.name: stage.seconds for stage in result.record.stages}
    rows = [(f"stage {name}", seconds, "") for name, seconds in stages.items()]
    searched = {line["source_id"] for line in json_lines(result.folder.counterfactuals)}
    if searched and "counterfactuals" in stages:
        rows.append(("search, a text", stages["counterfactuals"] / len(searched), f"{len(searched)} texts"))
    cells = result.rows
    training = statistics.fmean(row.train_seconds for row in cells)
    rest = statistics.fmean(row.seconds for row in cells) - training
    steps = statistics.fmean(row.steps for row in cells)
    rows.append(("a cell's training", training, f"{steps:.0f} steps, {training / steps * 1000:.1f} ms each"))
    rows.append(("a cell's evaluation and the rest", rest, f"mean of {len(cells)} cells"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", type=Path, default=QUICKSTART)
    parser.add_argument("--k", type=numbers, default=[16])
    parser.add_argument("--seeds", type=numbers, default=[0])
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CODRUN_HOME"] = f"{folder}/store"
        result = cod_runner.run(
            asked.recipe, k=asked.k, seeds=asked.seeds, jobs=asked.jobs, out=f"{folder}/run", offline=True
        )
        print("| what | seconds | |\n| --- | --- | --- |")
        for what, seconds, told in report(result):
            print(f"| {what} | {seconds:.2f} | {told} |")


if __name__ == "__main__":  # students train in worker processes
    main()

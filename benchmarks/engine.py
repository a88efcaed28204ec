"""How fast codrun's engine trains a student, against other ways to do the same work, and against the floor.

    python benchmarks/engine.py [--methods kd,lwd] [--precisions fp32,bf16] [--rounds 3] [--json FILE] [--quick]

DeBERTa-v3-xsmall's shape under DeBERTa-v3-base's, random weights, 32 examples, batches of 8, one thread. Every
contender must first end with codrun's weights; then they take turns, and a table of ratios is printed. Ends with exit
code 1 where weights differ. `--quick` does the same with small models, to see that it works: its times mean nothing.

TextBrewer and torchdistill are left out unless they are installed; apart, since torchdistill brings a torchvision that
breaks transformers where it does not fit torch:

    pip install --no-deps --target FOLDER textbrewer==0.2.1.post1 torchdistill==1.1.5 torchvision
    python benchmarks/engine.py --competitors FOLDER
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from engines.contender import Contender
from engines.floor import Floor
from engines.measuring import Measured, measure
from engines.ours import Ours
from engines.plain import Plain
from engines.table import table
from engines.textbrewer_distiller import TextBrewer
from engines.torchdistill_box import TorchDistill
from engines.work import FULL, SMALL, Method, Work

INSTALL = "pip install --no-deps --target FOLDER {}, then --competitors FOLDER"


def contenders() -> list[Contender]:
    """Ours first; what is not installed is left out with a word."""
    found: list[Contender] = [Ours(), Ours(used_positions=True), Plain()]
    if importlib.util.find_spec("textbrewer"):
        found += [TextBrewer(caches=False), TextBrewer(caches=True)]
    else:
        say(f"TextBrewer is left out: {INSTALL.format('textbrewer==0.2.1.post1')}")
    if importlib.util.find_spec("torchdistill"):
        found.append(TorchDistill())
    else:
        say(f"torchdistill is left out: {INSTALL.format('torchdistill==1.1.5 torchvision')}")
    return [
        *found,
        Floor("forward, backward, whole vocabulary", steps=False, cut=False),
        Floor("bare step, whole vocabulary", steps=True, cut=False),
        Floor("forward, backward", steps=False, cut=True),
        Floor("bare step", steps=True, cut=True),
        Floor("bare step, positions: used", steps=True, cut=True, used_positions=True),
    ]


def say(sentence: str) -> None:
    """Progress, beside the table."""
    print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="kd,lwd")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of each training; four steps each")
    parser.add_argument("--competitors", type=Path, help="folder that TextBrewer and torchdistill are installed in")
    parser.add_argument("--json", type=Path, help="write every number there")
    parser.add_argument("--quick", action="store_true", help="small models, one round")
    asked = parser.parse_args()
    if asked.competitors is not None:
        sys.path.append(str(asked.competitors))
    torch.set_num_threads(1)
    work = Work(SMALL if asked.quick else FULL, asked.epochs)
    taking_part = contenders()
    measured: dict[Method, list[Measured]] = {}
    for name in asked.methods.split(","):
        for precision in asked.precisions.split(","):
            method = Method(name, precision)
            say(f"{name}, {precision}")
            began = time.process_time()
            measured[method] = measure(taking_part, work, method, 1 if asked.quick else asked.rounds, say)
            say(f"that took {(time.process_time() - began) / 60:.1f} minutes of the processor")
            print(table(method, work, measured[method]), flush=True)
    if asked.json is not None:
        rows = [
            {"method": method.name, "precision": method.precision, **asdict(one)}
            for method, found in measured.items()
            for one in found
        ]
        asked.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2), encoding="utf-8")
    differing = [
        f"{one.name} ({method.name}, {method.precision})"
        for method, found in measured.items()
        for one in found
        if one.equality is not None and not one.equality.holds(method)
    ]
    if differing:
        say(f"these end with other weights than codrun, so their times compare nothing: {', '.join(differing)}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

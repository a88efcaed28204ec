"""A plugin of somebody else's, written into a folder as an installed distribution, whose components fail as told."""

from __future__ import annotations

import sys
from pathlib import Path

PLUGIN = """
from cod_runner.api import Component, Options, hookimpl


class How(Options):
    how: str = ""

    def identity(self):
        if self.how == "identity":
            raise KeyError("identity")
        return super().identity()


class LossOptions(How):
    def needs(self, teacher, student):
        if self.how == "needs":
            raise AttributeError("needs")
        return super().needs(teacher, student)


KINDS = ["dataset", "student", "generator", "selector", "chooser", "metric", "cfe_measure", "executor"]


@hookimpl
def codrun_components():
    yield Component("loss", "faulty", LossOptions, "codrun_faulty.parts:Loss", "fails as told")
    for kind in KINDS:
        yield Component(kind, "faulty", How, f"codrun_faulty.parts:build_{kind}", "fails as told")
    yield Component("teacher", "faulty", How, "codrun_faulty.parts:build_student", "fails as told")
    yield Component("loss", "uninstalled", How, "codrun_faulty.needy:Loss", "imports what is not there")
"""

PARTS = """
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from cod_runner.api import Example, LoadedData, Needs, Outputs, Proposal, Workers
from codrun_moons.classifier import MLP
from codrun_moons.data import Moons
from codrun_moons.plugin import MLPOptions, MoonsOptions


def fail():
    raise ZeroDivisionError("on purpose")


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        fail()


class Loss(nn.Module):
    def __init__(self, options, context):
        if options.how == "super":
            return
        super().__init__()
        self.how = options.how
        if self.how == "init":
            fail()

    def bind(self, binding):
        if self.how == "bind":
            fail()

    def forward(self, student, teacher, batch):
        values = student.logits.sum(1)
        if self.how == "forward":
            fail()
        if self.how == "killed":
            os.kill(os.getpid(), 11)
        if self.how == "left":
            os._exit(7)
        if self.how == "backward":
            return Backward.apply(values)
        wrong = {"text": "text", "shape": values[:, None], "whole": values.long(), "nan": values * torch.nan}
        return wrong.get(self.how, values)


class Student(MLP):
    def __init__(self, options, context):
        super().__init__(MLPOptions(hidden=[8]), context.labels, context.seed)
        self.how = options.how

    def encode(self, inputs):
        if self.how == "encode":
            fail()
        if self.how == "broken":
            del self._modules
        return super().encode(inputs)[: -1 if self.how == "short" else None]

    def forward(self, batch, hidden=()):
        outputs = super().forward(batch, hidden)
        if self.how == "forward":
            fail()
        if self.how == "logits":
            return outputs.logits
        if self.how == "classes":
            outputs.logits = torch.cat([outputs.logits, outputs.logits], 1)
        return outputs

    def save(self, folder):
        if self.how == "save":
            fail()
        super().save(folder)

    def load(self, folder):
        if self.how == "load":
            fail()
        super().load(folder)


class Dataset(Moons):
    def __init__(self, options, context):
        super().__init__(MoonsOptions(), context)
        self.how = options.how

    def load(self):
        data = super().load()
        first, *others = data.splits["train"]
        wrong = {
            "label": Example(first.id, first.input, 2),
            "twice": Example(others[0].id, first.input, 0),
            "input": Example(first.id, 5, 0),
            "text": "text",
        }
        if self.how == "load":
            fail()
        if self.how == "none":
            return None
        if self.how in wrong:
            return LoadedData(data.labels, {**data.splits, "train": [wrong[self.how], *others]})
        return data


class Generator:
    rounds = 1

    def __init__(self, options, context):
        self.how = options.how
        if self.how == "rounds":
            self.rounds = "three"

    def propose(self, requests, teacher):
        if self.how == "propose":
            fail()
        if self.how == "asks":
            teacher.score(["a text"], asked_for=[1, 2])
        near = [[Proposal((request.input[0] + step / 4, request.input[1] + other / 4))
                 for step in range(-9, 9) for other in range(-9, 9)] for request in requests]
        wrong = {"number": [Proposal(5)], "text": "ab", "bare": ["ab"], "none": None}
        wrong["tier"] = [Proposal((0.0, 0.0), tier="a")]
        if self.how in wrong:
            return [wrong[self.how], *near[1:]]
        return near[1:] if self.how == "short" else near


class Silent:
    def __init__(self):
        self.propose = lambda requests, teacher: [[] for _ in requests]


class Ranks:
    nested = True

    def __init__(self, options, context):
        self.how = options.how

    def rank(self, given, asked=None):
        if self.how == "rank":
            fail()
        if asked is None:
            every = list(range(len(given.inputs)))
            return {"": every, "short": every[1:], "far": [*every[1:], len(every)], "none": None}[self.how]
        wrong = {"far": [[100000] for _ in given], "none": None, "flat": [0 for _ in given]}
        return wrong.get(self.how, [[0] for _ in given])


class Metric:
    def __init__(self, options, context):
        self.how = options.how

    def __call__(self, predictions):
        if self.how == "call":
            fail()
        return {"": 0.5, "text": "half", "tensor": torch.zeros(3)}[self.how]


class Measure:
    title = "faulty"

    def __init__(self, options, context):
        self.how = options.how

    def __call__(self, pairs):
        if self.how == "call":
            fail()
        return {"": [0.5 for _ in pairs], "short": [], "text": ["half" for _ in pairs]}[self.how]


class Executor:
    def __init__(self, options, context):
        self.how = options.how
        if self.how in ("none", "device"):
            self.workers = lambda: Workers(0, "cpu") if self.how == "none" else Workers(1, "gpu0")

    def map(self, work, tasks, jobs):
        if self.how == "threads":
            with ThreadPoolExecutor(2) as pool:
                yield from pool.map(work, tasks)
            return
        if self.how == "twice":
            first = work(tasks[0])
            yield first
            yield first
        for task in tasks:
            if self.how == "map":
                fail()
            yield {"row": "a row"}.get(self.how) or work(task)


def build_generator(options, context):
    return Silent() if options.how == "silent" else Generator(options, context)


build_dataset, build_student, build_metric = Dataset, Student, Metric
build_cfe_measure, build_executor = Measure, Executor
build_selector = build_chooser = Ranks
"""

NEEDY = """
import a_package_that_is_not_there
"""


def write_plugin(site: Path) -> Path:
    """The distribution ``codrun-faulty 0.1``, importable where ``site`` is on the path."""
    package, about = site / "codrun_faulty", site / "codrun_faulty-0.1.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    for name, text in {"__init__": "", "plugin": PLUGIN, "parts": PARTS, "needy": NEEDY}.items():
        (package / f"{name}.py").write_text(text)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: codrun-faulty\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text("[codrun]\nfaulty = codrun_faulty.plugin\n")
    return package


def line_of(package: Path, text: str, number: int = 0, name: str = "parts") -> int:
    """The number of the ``number``-th line, from 0, that holds ``text``."""
    lines = (package / f"{name}.py").read_text().splitlines()
    return [at for at, line in enumerate(lines, start=1) if text in line][number]


def forget() -> None:
    """Let the next test import its own copy."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "codrun_faulty"]:
        del sys.modules[module]

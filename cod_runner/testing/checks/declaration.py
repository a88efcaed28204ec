"""What a component's declaration and options promise before anything heavy is imported."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

from cod_runner.api import KINDS, Options
from cod_runner.testing.checks.subject import Subject

HEAVY = (
    "torch transformers datasets litellm pandas sklearn scipy matplotlib onnx onnxruntime huggingface_hub tensorflow "
    "jax sentence_transformers"
).split()
LIGHT = "Component: options say what must be known before the component is built, and import nothing heavy"
JSON = "Options.identity: JSON-able data that decides what the component does"
STABLE = "Options.identity: the same options give the same identity"
TEXTS = "Component: kind, name, build and summary are texts, and build is `module:attribute`"

_ASK = """
import importlib, json, pathlib, sys
module, name, given, folder, kind, heavy = json.loads(sys.stdin.read())
found = importlib.import_module(module)
for part in name.split("."):
    found = getattr(found, part)
def seen(when):
    print(json.dumps([when, sorted(each for each in heavy if each in sys.modules)]))
seen("when its module is imported")
from cod_runner.api import CodrunError, ModelShape, ShapeEstimate
options = found.model_validate(given, context={"folder": folder})
large, small = ModelShape(4, 12, 2), ModelShape(2, 8, 2)
questions = {
    "identity": [], "destinations": [], "answering": [], "origins": [], "advice": [], "keeps": [], "uses_teacher": [],
    "callables": [],
    "from_teacher": [], "trains_itself": [], "asks_for_attribution": [], "asks_for_gradients": [],
    "reads_labels_alone": [], "questions": [8], "cluster_request": [8], "longest_input": [["a text"]],
    "estimate": [8, 80.0], "shape": [ShapeEstimate(large, 64)], "tip": [ShapeEstimate(large, 64)],
}
if kind == "loss":
    questions["needs"] = [large, small]
for method, arguments in questions.items():
    try:
        getattr(options, method)(*arguments)
    except CodrunError:
        pass
    seen(f"in `{method}` of its options")
"""


def check_declaration(subject: Subject) -> None:
    """Names, a light module, options whose identity is JSON and stable."""
    component = subject.component
    subject.must(component.kind in KINDS, f"is of the unknown kind `{component.kind}`", TEXTS)
    module, colon, attribute = component.build.partition(":")
    subject.must(
        bool(colon and module and attribute),
        f"has the build `{component.build}`, which is not `module:attribute`",
        TEXTS,
    )
    subject.must(bool(component.summary.strip()), "has no summary", TEXTS)
    options = subject.options()
    with subject.watched("in `identity` of its options"):
        first, second = options.identity(), subject.options().identity()
    try:
        spelled = json.loads(json.dumps(first, allow_nan=False))
    except (TypeError, ValueError) as error:
        subject.fail(f"has an identity that JSON cannot spell ({error})", JSON)
    subject.must(isinstance(first, dict), f"has an identity of the type {type(first).__name__}, not a dict", JSON)
    subject.must(spelled == json.loads(json.dumps(second)), f"has the identity {first}, and then {second}", STABLE)
    _check_lightness(subject, options)


def _check_lightness(subject: Subject, options: Options) -> None:
    """In a process of its own, in which nothing has been imported yet."""
    kind = type(options)
    given = json.dumps(dict(subject.given), default=str)
    code, answer, fault = _asked_alone(
        kind.__module__, kind.__qualname__, given, str(subject.context.folder), subject.component.kind
    )
    for when, heavy in answer:
        subject.must(not heavy, f"imports {' and '.join(heavy)} {when}", LIGHT)
    subject.must(code == 0, f"has options that cannot be asked in a new process: {fault}", LIGHT)


@functools.cache
def _asked_alone(module: str, name: str, given: str, folder: str, kind: str) -> tuple[int, list[Any], str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    asked = json.dumps([module, name, json.loads(given), folder, kind, HEAVY])
    command = [sys.executable, "-c", _ASK]
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=False)
    fault = (done.stderr.strip().splitlines() or [""])[-1]
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], fault

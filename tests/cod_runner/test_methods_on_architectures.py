"""Every method in every arm on the architectures of the paper, DeBERTa-v2 and Qwen2, from recipe to saved student."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cod_runner import running
from cod_runner.api import BuildContext, Example, hookimpl
from cod_runner.context import RunSettings
from cod_runner.data.corpus import prepare_corpus
from cod_runner.errors import CodrunError
from cod_runner.progress import Progress
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.stages import results, teacher
from cod_runner.store import Store
from cod_runner.testing.tiny_models import TINY_MODELS
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.sentence_folder import SentenceFolder, read_sentence_folder
from codrun_transformers.vocabulary_cut import EmbeddingCut

ARCHITECTURES = ("deberta", "qwen2")
ARMS = ("plain", "cod", "control")
KD = {"use": "kd", "weight": 5, "temperature": 2}
METHODS: dict[str, list[Any]] = {
    "hard": ["hard"],
    "kd": ["hard", KD],
    "lwd": ["hard", KD, {"use": "lwd", "weight": 5}],
    "ted": ["hard", KD, {"use": "ted", "weight": 5, "filter_epochs": 2, "filter_lr": 0.01}],
    "ted_nonlinear": ["hard", {"use": "ted", "filter": "nonlinear", "width": 8, "interval": 2, "filter_epochs": 2}],
    "smoothing": [{"use": "hard", "label_smoothing": 0.2}],
    "soft": ["soft"],
    "random_soft": ["random_soft"],
    "pair": ["hard", {"use": "pair", "weight": 5}],
    "reverse": ["hard", {**KD, "divergence": "reverse"}],
    "jsd": ["hard", {**KD, "divergence": "jsd"}],
    "top_k": ["hard", {**KD, "top_k": 2}],
}
PAPER = ("kd", "lwd", "ted")
SAME_ON_PLAIN = {"hard": "pair"}
"""Without partners the pair loss is 0 and has no gradient."""
SAME = {"kd": "top_k"}
"""With two classes, the two likeliest are all of them."""

OPPOSITES = [("great", "awful"), ("funny", "boring"), ("lovely", "terrible"), ("brilliant", "stupid"), ("good", "bad")]
SUBJECTS = ("film", "story", "cast", "script", "ending", "music")
FRAMES = (
    "the {noun} is {word}",
    "a {word} {noun} from start to end",
    "what a {word} {noun}",
    "{word} in every way, this {noun}",
)
ROWS = [
    (frame.format(noun=noun, word=pair[label]), ("positive", "negative")[label])
    for frame, noun, pair, label in itertools.product(FRAMES, SUBJECTS, OPPOSITES, (0, 1))
]
LABELS = ("negative", "positive")


@dataclass
class TrainingSets:
    """Notes what every cell trains on."""

    by_cell: dict[str, tuple[Example, ...]]

    @hookimpl
    def codrun_cell_started(self, cell: Mapping[str, Any], training: Sequence[Example]) -> None:
        self.by_cell[f"{cell['method']}-{cell['arm']}"] = tuple(training)


@dataclass
class Laboratory:
    """Models, data and pairs of one architecture in one folder; every run takes the same teacher from the store."""

    architecture: str
    folder: Path
    training: dict[str, dict[str, tuple[Example, ...]]] = field(default_factory=dict)
    """Training rows by run and cell."""
    fitted: dict[str, set[Path]] = field(default_factory=dict)
    """Files of filters that each run added to the store."""
    finetuned: Path = Path()
    """The fine-tuned teacher in the store, a checkpoint like any other."""

    def __post_init__(self) -> None:
        with (self.folder / "rows.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *ROWS])
        with (self.folder / "pairs.csv").open("w", newline="") as file:
            # Half of the originals only: the others are the lexicon's.
            pairs = [(text, text.replace(one, other)) for text, _ in ROWS for one, other in OPPOSITES if one in text]
            csv.writer(file).writerows([("original", "counterfactual"), *pairs])
        make, texts = TINY_MODELS[self.architecture], [text for text, _ in ROWS]
        make(self.folder / "base", texts, num_hidden_layers=4, hidden_size=48, initializer_range=0.1)
        make(self.folder / "small", texts, num_hidden_layers=2, initializer_range=0.1, seed=1)

    def run(
        self,
        name: str,
        *overrides: str,
        methods: Sequence[str] = PAPER,
        arms: Sequence[str] = ("plain", "cod"),
        device: str = "cpu",
    ) -> dict[str, dict[str, Any]]:
        """The lines of ``cells.jsonl`` of a run, by cell name."""
        recipe = {
            "recipe": 1,
            "name": name,
            "dataset": {"use": "csv", "path": "rows.csv", "labels": list(LABELS)},
            "k": [8],
            "seeds": [0],
            "teacher": {
                "use": "transformers",
                "model": "./base",
                "finetune": {"rows": 100, "steps": 40, "lr": 3.0e-3, "batch_size": 16, "precision": "fp32"},
            },
            "student": {"use": "transformers", "model": "./small"},
            "counterfactuals": {"generators": [{"use": "precomputed", "path": "pairs.csv"}, "lexicon"]},
            "control": "word_dropout",
            "methods": {method: METHODS[method] for method in methods},
            "arms": list(arms),
            "train": {"steps": 3, "lr": 1.0e-3, "precision": "fp32"},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        registry = Registry.discover()
        registry.attach("training sets", TrainingSets(self.training.setdefault(name, {})))
        loaded = load_recipe(path, registry, overrides=overrides)
        before = set(Store().folder("losses").glob("*/*/filters.safetensors"))
        running.run(loaded, registry, RunSettings(self.folder / name, jobs=1, device=device), Progress(quiet=True))
        self.fitted[name] = set(Store().folder("losses").glob("*/*/filters.safetensors")) - before
        rows = [json.loads(line) for line in (self.folder / name / "cells.jsonl").read_text().splitlines()]
        return {f"{row['method']}-{row['arm']}": row for row in rows}

    def student(self, run: str, cell: str) -> Path:
        return self.folder / run / "students" / f"{cell}-k8-s0"

    def weights(self, run: str, cell: str) -> dict[str, torch.Tensor]:
        return load_file(self.student(run, cell) / "model.safetensors")

    def bytes(self, run: str, cell: str) -> bytes:
        return (self.student(run, cell) / "model.safetensors").read_bytes()

    @property
    def evaluation(self) -> Sequence[Example]:
        options = {"path": str(self.folder / "rows.csv"), "labels": list(LABELS)}
        loaded = Registry.discover().build("dataset", "csv", options, BuildContext()).load()
        return prepare_corpus(loaded, "validation").evaluation

    def teacher_accuracy(self, run: str) -> float:
        return float(json.loads((self.folder / run / "run.json").read_text())["teacher"]["accuracy"])


def embeddings(folder: Path) -> torch.Tensor:
    """The table of word embeddings of a saved model, ``[vocabulary, width]``."""
    table: torch.Tensor = AutoModelForSequenceClassification.from_pretrained(folder).get_input_embeddings().weight
    return table.detach()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODRUN_HOME", str(folder / "store"))
        # two threads on models this small only wait for each other
        patch.setattr(teacher, "finetuning_threads", lambda: 1)
        # drawing takes longer than training here, and has tests of its own
        patch.setattr(results, "write_reports", lambda *arguments: None)
        yield Laboratory(request.param, folder)


@pytest.fixture(scope="module")
def cells(laboratory: Laboratory) -> dict[str, dict[str, Any]]:
    """Every method in every arm, with the teacher fine-tuned on the way."""
    rows = laboratory.run("all", methods=list(METHODS), arms=ARMS)
    (record,) = Store().teachers.glob("*/teacher.json")
    laboratory.finetuned = record.parent
    return rows


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("method", METHODS)
def test_a_cell_of_every_method_and_arm(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]], method: str, arm: str
) -> None:
    row = cells[f"{method}-{arm}"]
    numbers = [row[name] for name in ("accuracy", "agreement", "kl", "ece", "f1")] + list(row["losses"].values())
    assert all(math.isfinite(number) for number in numbers)
    assert list(row["losses"]) == [term if isinstance(term, str) else term["use"] for term in METHODS[method]]
    assert row["training_rows"] == 8 and row["steps"] == 3 and row["precision"] == "fp32"
    for term, value in row["losses"].items():
        assert value == 0 if (term, arm) == ("pair", "plain") else value > 0

    training = laboratory.training["all"][f"{method}-{arm}"]
    assert len({example.id for example in training}) == 8
    assert [example.label for example in training].count(0) == 4
    assert sum(example.is_counterfactual for example in training) == (4 if arm == "cod" else 0)
    partners = {example.id: example.partner for example in training}
    assert all(arm == "plain" or partners[partners[each] or ""] == each for each in partners)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("method", PAPER)
def test_the_saved_student_is_the_one_that_was_measured(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]], method: str, arm: str
) -> None:
    """`transformers` alone reads it, and finds nothing of the losses in it."""
    folder = laboratory.student("all", f"{method}-{arm}")
    model, found = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), found
    assert set(laboratory.weights("all", f"{method}-{arm}")) == set(laboratory.weights("all", "hard-plain"))
    evaluation = laboratory.evaluation
    inputs = AutoTokenizer.from_pretrained(folder)(
        [each.input for each in evaluation], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        predicted = model.eval()(**inputs).logits.argmax(1).tolist()
    right = [model.config.id2label[each] == LABELS[row.label] for each, row in zip(predicted, evaluation, strict=True)]
    assert sum(right) / len(right) == pytest.approx(cells[f"{method}-{arm}"]["accuracy"])


def test_every_method_trains_another_student_from_the_same_start(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]]
) -> None:
    weights = {cell: laboratory.bytes("all", cell) for cell in cells}
    for one, other in itertools.combinations(cells, 2):
        (method, arm), (second, second_arm) = one.split("-"), other.split("-")
        alike = arm == second_arm and (
            SAME.get(method) == second or (arm == "plain" and SAME_ON_PLAIN.get(method) == second)
        )
        assert (weights[one] == weights[other]) == alike, (one, other)


def test_half_of_the_counterfactuals_came_from_the_file_and_half_from_the_lexicon(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]]
) -> None:
    lines = (laboratory.folder / "all" / "counterfactuals.jsonl").read_text().splitlines()
    found = [(pair["generator"], pair["from_label"]) for pair in map(json.loads, lines) if pair["verified"]]
    assert sorted(found) == [("lexicon", "negative")] * 2 + [("precomputed", "positive")] * 2
    assert laboratory.teacher_accuracy("all") > 0.85


def test_filters_are_kept_in_the_store_for_each_cell(laboratory: Laboratory, cells: dict[str, dict[str, Any]]) -> None:
    kept = [load_file(path) for path in laboratory.fitted["all"]]
    linear = [each for each in kept if "teacher.second.weight" not in each]
    assert len(kept) == 2 * len(linear) == 2 * len(ARMS)
    for each in linear:
        assert each["teacher.first.weight"].shape == (2, 48, 48) and each["student.first.weight"].shape == (2, 32, 48)
    for one, other in itertools.combinations(linear, 2):
        assert not any(torch.equal(one[name], other[name]) for name in one)
    laboratory.run("again", methods=["ted"], arms=ARMS)
    assert not laboratory.fitted["again"], "found, not fitted"
    for arm in ARMS:
        assert laboratory.bytes("again", f"ted-{arm}") == laboratory.bytes("all", f"ted-{arm}")


def test_training_with_the_vocabulary_cut_gives_the_same_student(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    enter = EmbeddingCut.__enter__

    def watched(cut: EmbeddingCut) -> EmbeddingCut:
        rows.append(cut.rows)
        return enter(cut)

    monkeypatch.setattr(EmbeddingCut, "__enter__", watched)
    decay = ("train.weight_decay=0.1",)
    laboratory.run("cut", *decay)
    start = embeddings(laboratory.folder / "small")
    assert len(rows) == 6 and max(rows) < len(start) / 2
    laboratory.run("whole", *decay, "train.compact_vocabulary=false")
    assert len(rows) == 6, "not cut where the recipe forbids it"
    for method, arm in itertools.product(PAPER, ("plain", "cod")):
        cell = f"{method}-{arm}"
        assert laboratory.bytes("cut", cell) == laboratory.bytes("whole", cell)
    # without decay the rows that no training text touches are still the checkpoint's
    moved = (embeddings(laboratory.student("all", "kd-cod")) != start).any(1)
    tokenizer = AutoTokenizer.from_pretrained(laboratory.folder / "small")
    touched = {each for row in laboratory.training["all"]["kd-cod"] for each in tokenizer(row.input)["input_ids"]}
    assert set(moved.nonzero()[:, 0].tolist()) == touched


def test_students_cut_from_the_teacher(laboratory: Laboratory, cells: dict[str, dict[str, Any]]) -> None:
    rows = laboratory.run("own_blocks", "student={use: transformers, layers_from_teacher: [1, 3]}")
    start = embeddings(laboratory.finetuned)
    for cell, row in rows.items():
        model = AutoModelForSequenceClassification.from_pretrained(laboratory.student("own_blocks", cell))
        assert (model.config.num_hidden_layers, model.config.hidden_size) == (2, 48)
        assert all(math.isfinite(value) for value in row["losses"].values())
        moved = (embeddings(laboratory.student("own_blocks", cell)) != start).any(1)
        assert 0 < moved.sum() < len(moved) / 2


def test_teacher_and_student_under_a_pooling(laboratory: Laboratory, cells: dict[str, dict[str, Any]]) -> None:
    """Every method, one of whose losses reads what the head reads, and a student cut from such a teacher."""
    pooling = "last" if laboratory.architecture == "qwen2" else "mean"
    pooled = laboratory.run("pooled", f"teacher.pooling={pooling}", f"student.pooling={pooling}")
    cut = "student={use: transformers, layers_from_teacher: [1, 3], pooling: auto}"
    cut_rows = laboratory.run("pooled_cut", f"teacher.pooling={pooling}", cut, arms=["cod"])
    assert len(pooled) == 6 and len(cut_rows) == 3
    for run, rows in (("pooled", pooled), ("pooled_cut", cut_rows)):
        for cell, row in rows.items():
            assert all(math.isfinite(value) for value in row["losses"].values())
            said = SentenceFolder(pooling, "1_Pooling/config.json", laboratory.student(run, cell) / "2_Dense")
            assert read_sentence_folder(laboratory.student(run, cell), "it") == said


def test_a_decoder_learns_the_same_whichever_side_it_pads_on(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]]
) -> None:
    """What the losses say before the first step, of states that stand at other positions."""
    if laboratory.architecture != "qwen2":
        with pytest.raises(CodrunError, match="padded on the right; drop `padding_side`"):
            laboratory.run("left", "student.padding_side=left")
        return
    sides = {}
    for side in ("left", "right"):
        sides[side] = laboratory.run(side, f"student.padding_side={side}", "train.steps=1", "train.batch_size=4")
        tokenizer = AutoTokenizer.from_pretrained(laboratory.student(side, "kd-cod"))
        assert tokenizer.padding_side == side
    for cell, row in sides["left"].items():
        assert row["losses"] == pytest.approx(sides["right"][cell]["losses"], rel=1e-4)


def test_bf16(laboratory: Laboratory, cells: dict[str, dict[str, Any]]) -> None:
    """Autocast for the student, float32 for its weights and in the losses."""
    exact = laboratory.run("fp32_step", "train.steps=1", arms=["cod"])
    for cell, row in laboratory.run("bf16_step", "train.precision=bf16", "train.steps=1", arms=["cod"]).items():
        assert row["precision"] == "bf16"
        assert row["losses"] != exact[cell]["losses"]
        assert row["losses"] == pytest.approx(exact[cell]["losses"], rel=0.05)
        assert {value.dtype for value in laboratory.weights("bf16_step", cell).values()} == {torch.float32}


def test_gradient_checkpointing_gives_the_same_student(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[TextClassifier] = []
    enable = TextClassifier.gradient_checkpointing_enable

    def watched(student: TextClassifier) -> None:
        enabled.append(student)
        enable(student)

    monkeypatch.setattr(TextClassifier, "gradient_checkpointing_enable", watched)
    rows = laboratory.run("checkpointed", "train.gradient_checkpointing=true")
    assert len(enabled) == len(rows) == 6
    for cell in rows:
        assert laboratory.bytes("checkpointed", cell) == laboratory.bytes("all", cell)


@pytest.mark.parametrize("options", ["device_map: auto", "dtype: bfloat16"])
def test_a_finetuned_checkpoint_too_large_for_one_device_or_for_float32(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]], options: str
) -> None:
    if "device_map" in options:
        pytest.importorskip("accelerate")
    name = options.split(":")[0]
    rows = laboratory.run(name, f"teacher={{finetune: null, model: {laboratory.finetuned}, {options}}}")
    for cell, row in rows.items():
        if name == "device_map":
            assert row["losses"] == cells[cell]["losses"]
            assert laboratory.bytes(name, cell) == laboratory.bytes("all", cell)
        else:
            assert row["losses"] != cells[cell]["losses"]
            assert row["losses"] == pytest.approx(cells[cell]["losses"], rel=0.1)


def test_a_teacher_finetuned_through_low_rank_adapters(
    laboratory: Laboratory, cells: dict[str, dict[str, Any]]
) -> None:
    pytest.importorskip("peft")
    before = set(Store().teachers.glob("*/teacher.json"))
    lora = ("teacher.lora={r: 4, dropout: 0.0}", "teacher.finetune.lr=1.0e-2")
    laboratory.run("lora", *lora)
    assert laboratory.teacher_accuracy("lora") > 0.7
    (made,) = set(Store().teachers.glob("*/teacher.json")) - before
    saved = load_file(made.parent / "model.safetensors")
    assert not any("lora" in name for name in saved)
    trained = json.loads(made.read_text())["training"]["trained_parameters"]
    assert trained < sum(value.numel() for value in saved.values()) / 2
    for cell in laboratory.run("lora_again", f"teacher={{finetune: null, lora: null, model: {made.parent}}}"):
        assert laboratory.bytes("lora", cell) == laboratory.bytes("lora_again", cell)


@pytest.mark.gpu
def test_a_gpu_says_what_a_cpu_says(laboratory: Laboratory, cells: dict[str, dict[str, Any]]) -> None:
    """Every method in every arm, from one teacher: the losses of the first step, then training in bf16."""
    # without dropout, which draws from another stream there
    alike = (f"teacher={{finetune: null, model: {laboratory.finetuned}}}", "student.dropout=0.0", "train.steps=1")
    exact = laboratory.run("on_cpu", *alike, methods=list(METHODS), arms=ARMS)
    found = laboratory.run("on_gpu", *alike, methods=list(METHODS), arms=ARMS, device="cuda")
    for cell, row in found.items():
        assert row["device"] == "cuda"
        assert row["losses"] == pytest.approx(exact[cell]["losses"], rel=1e-3)
    low = laboratory.run("bf16_gpu", "train.precision=bf16", methods=list(METHODS), arms=ARMS, device="cuda")
    for row in low.values():
        assert (row["device"], row["precision"]) == ("cuda", "bf16")
        assert all(math.isfinite(value) for value in row["losses"].values())

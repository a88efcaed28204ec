"""Mixtures of two texts over six architectures, tiny and random."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cod_runner.api import BuildContext, CodrunError, Example, Input, Mixture, Outputs, TrainSettings
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS
from codrun_losses.kd import KD
from codrun_losses.lwd import LWD
from codrun_losses.plugin import KDOptions, LWDOptions
from codrun_transformers.build import build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import TeacherOptions

KINDS = sorted(TINY_MODELS)
LONG, SHORT = SENTENCES[0], SENTENCES[5]
MIXTURES = [Mixture(LONG, SHORT, 0.7), Mixture(SHORT, LONG, 0.3), Mixture(SHORT, SENTENCES[3], 0.5)]

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            place = tmp_path_factory.mktemp(kind)
            made[kind] = TINY_MODELS[kind](place, labels=("a", "b"), initializer_range=0.2, num_hidden_layers=2)
        return made[kind]

    return of


def classifier(folder: Path, **options: Any) -> TextClassifier:
    torch.set_num_threads(1)
    chosen = TeacherOptions.model_validate({"model": str(folder), **options})
    return build_teacher(chosen, BuildContext(labels=("a", "b")))


def read(model: TextClassifier, inputs: Sequence[Input], hidden: Sequence[int] = (), multiple_of: int = 16) -> Outputs:
    with torch.no_grad():
        return model(model.collate(model.encode(inputs), multiple_of), hidden=hidden)


def by_hand(model: TextClassifier, mixture: Mixture) -> Tensor:
    """Logits ``[classes]`` of one mixture, unpadded, with nothing of codrun's but the tokens."""
    first, second = (list(one.ids) for one in model.encode([mixture.first, mixture.second]))
    length, padding = max(len(first), len(second)), [model.tokenizer.pad_token_id]
    last = type(model.model).__name__.startswith("Qwen2")
    for ids in (first, second):
        fill = padding * (length - len(ids))
        ids[:] = [*fill, *ids] if last else [*ids, *fill]
    table = model.model.get_input_embeddings().weight
    embeddings = mixture.share * table[first] + (1 - mixture.share) * table[second]
    with torch.no_grad():  # a batch of one, so a head that reads the last token reads the last one
        logits: Tensor = model.model(inputs_embeds=embeddings[None], attention_mask=torch.ones(1, length)).logits[0]
    return logits


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_mixed_token_by_token_and_the_shorter_text_is_padded(folder: Folder, kind: str) -> None:
    model = classifier(folder(kind))
    for mixture in MIXTURES:
        torch.testing.assert_close(read(model, [mixture]).logits[0], by_hand(model, mixture), atol=1e-5, rtol=1e-5)
    logits = read(model, [Mixture(LONG, SHORT, share) for share in (0.0, 0.3, 0.7, 1.0)]).logits
    assert (logits[1:] - logits[:-1]).abs().amax(1).min() > 1e-3, "the share counts"


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_one_is_the_first_text_where_the_second_is_not_longer(folder: Folder, kind: str) -> None:
    """Bit for bit; where the second is longer, its further positions are padding tokens that are attended to."""
    model = classifier(folder(kind))
    text = read(model, [LONG, SHORT], hidden=[0, 1, 2])
    same = read(model, [Mixture(LONG, SHORT, 1.0), Mixture(SHORT, SHORT, 0.4)], hidden=[0, 1, 2])
    swapped = read(model, [Mixture(SHORT, LONG, 0.0), Mixture(SHORT, SHORT, 0.4)], hidden=[0, 1, 2])
    for mixed in (same, swapped):
        assert torch.equal(mixed.logits, text.logits)
        assert mixed.mask is not None and text.mask is not None and torch.equal(mixed.mask, text.mask)
        for layer, states in text.hidden.items():
            assert torch.equal(mixed.hidden[layer][text.mask], states[text.mask]), layer
    longer = read(model, [Mixture(SHORT, LONG, 1.0)]).logits[0]
    assert not torch.equal(longer, text.logits[1])
    torch.testing.assert_close(longer, by_hand(model, Mixture(SHORT, LONG, 1.0)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_company_changes_nothing_neither_for_mixtures_nor_for_the_texts_beside_them(
    folder: Folder, kind: str, tmp_path: Path
) -> None:
    """As signals are stored, bit for bit, padding tokens that a text spells out included."""
    model = classifier(folder(kind))
    texts = [*SENTENCES, "a [PAD] film", "a <pad> film", "a <|endoftext|> film"]
    texts = [text for text in texts if len(model.encode([text])[0].ids) <= 32]
    together, apart = SignalStore(tmp_path / "together"), SignalStore(tmp_path / "apart")
    together.add(model, [*texts, *MIXTURES], (1, 2), device="cpu")
    apart.add(model, texts, (1, 2), device="cpu")
    for mixture in MIXTURES:
        apart.add(model, [mixture], (1, 2), device="cpu")
    stores = [store.reader(model.fingerprint) for store in (together, apart)]
    for value in [*texts, *MIXTURES]:
        (one,), (other,) = (reader.rows([value], (1, 2)) for reader in stores)
        assert torch.equal(one.logits, other.logits), value
        assert (one.tokens, one.pooled_at) == (other.tokens, other.pooled_at)
        assert all(torch.equal(one.hidden[layer], other.hidden[layer]) for layer in (1, 2))


def test_a_decoder_reads_a_mixture_alike_whichever_side_it_pads_on(folder: Folder) -> None:
    right, left = (classifier(folder("qwen2"), padding_side=side) for side in ("right", "left"))
    one, other = (read(model, [*MIXTURES, LONG], hidden=[1]) for model in (right, left))
    torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=1e-5)
    lengths = [len(each.ids) for each in right.encode([*MIXTURES, LONG])]
    assert one.pooled_at is not None and one.pooled_at.tolist() == [length - 1 for length in lengths]
    assert other.pooled_at is not None and other.pooled_at.tolist() == [15] * 4
    for row, length in enumerate(lengths):
        torch.testing.assert_close(one.hidden[1][row, :length], other.hidden[1][row, -length:], atol=1e-5, rtol=1e-5)


def test_a_mixture_has_the_positions_of_its_longer_text_and_names_of_both(folder: Folder) -> None:
    model = classifier(folder("bert"), max_length=8)
    long, short = (one.ids for one in model.encode([LONG, SHORT]))
    assert len(long) == 8
    (mixed,) = model.encode([Mixture(SHORT, LONG, 0.5)])
    assert len(mixed.ids) == 8 > len(short) - 1
    assert not {*long, *short} & {*mixed.ids}, "not taken for a text's"
    assert torch.tensor(mixed.ids, dtype=torch.int32).tolist() == list(mixed.ids), "as the store keeps them"
    again, other_share, turned, other = model.encode(
        [
            Mixture(SHORT, LONG, 0.5),
            Mixture(SHORT, LONG, 0.9),
            Mixture(LONG, SHORT, 0.5),
            Mixture(SHORT, SENTENCES[1], 0.5),
        ]
    )
    assert mixed == again
    assert mixed.ids == other_share.ids, "the share does not move a token"
    assert mixed.ids != turned.ids and mixed.ids != other.ids


@pytest.mark.parametrize("kind", ["bert", "deberta", "qwen2", "roberta"])
def test_the_vocabulary_cut_holds_the_rows_of_both_texts_and_stays_exact(folder: Folder, kind: str) -> None:
    first = classifier(folder(kind))
    second = copy.deepcopy(first)
    inputs: list[Input] = [MIXTURES[0], SENTENCES[3]]
    weights = []
    for model, compact in ((first, True), (second, False)):
        encoded = model.encode(inputs)
        cut = model.compact(encoded) if compact else None
        assert (cut is not None) == compact
        batch = model.collate(encoded)
        with cut or nullcontext():
            model.train()
            torch.manual_seed(7)
            optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
            for _ in range(5):
                nn.functional.cross_entropy(model(batch).logits, torch.tensor([0, 1])).backward()
                optimiser.step()
                optimiser.zero_grad()
                if cut is not None:
                    cut.decayed(1 - 1e-2 * 0.1)
        model.eval()
        weights.append(model.state_dict())
    for name, value in weights[1].items():
        assert torch.equal(weights[0][name], value), name
    with first.compact(first.encode([LONG])) or nullcontext(), pytest.raises(RuntimeError, match="vocabulary cut"):
        first(first.collate(first.encode([Mixture(LONG, SHORT, 0.5)])))


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
def test_a_student_learns_from_mixtures_beside_texts(folder: Folder, kind: str, tmp_path: Path) -> None:
    """Through the engine, by logits and hidden states; positions are compared, so ids must agree."""
    teacher = classifier(folder(kind))
    examples = [Example("0", LONG, 0), Example("1", SHORT, 1), *(Example(f"m{n}", m) for n, m in enumerate(MIXTURES))]
    store = SignalStore(tmp_path)
    store.add(teacher, [example.input for example in examples], (2,), device="cpu")
    options = LWDOptions(layers=[(2, 2)])
    seen: list[dict[str, float]] = []
    train_student(
        classifier(folder(kind), new_head=True, layers=2),
        examples,
        [
            WeightedTerm("kd", KD(KDOptions(), BuildContext()), 1.0),
            WeightedTerm("lwd", LWD(options, BuildContext()), 1.0, options.needs),
        ],
        store.reader(teacher.fingerprint),
        TrainSettings(steps=30, batch_size=5, lr=3e-3, precision="fp32"),
        seed=0,
        device="cpu",
        on_step=lambda step, losses: seen.append(dict(losses)),
    )
    for name in ("kd", "lwd"):
        assert seen[-1][name] < 0.7 * seen[0][name], name


def test_a_mixture_is_as_far_as_its_texts_are_on_average(folder: Folder) -> None:
    model = classifier(folder("bert"))
    assert model.distance("a fine film .", Mixture("a fine film .", "a dull film .", 0.75)) == (0.25, 0.0625)
    assert model.distance("a fine film .", Mixture("a dull film .", "a dull book .", 0.5)) == (1.5, 0.375)


def test_what_needs_a_single_text_refuses_a_mixture(folder: Folder) -> None:
    model = classifier(folder("bert"))
    for asked in (
        lambda: model.attribution([MIXTURES[0]], [0]),
        lambda: model.offsets([MIXTURES[0]]),
        lambda: model.projected_step([MIXTURES[0]], [0], [1], 1.0),
    ):
        with pytest.raises(CodrunError, match="reads texts, but this is a mixture of two"):
            asked()


def test_a_model_that_reads_no_embeddings_refuses_in_a_sentence(folder: Folder) -> None:
    whole = classifier(folder("bert"))

    class ById(nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.base_model, self.config = inner, inner.base_model, inner.config

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask)

    model = TextClassifier(ById(whole.model), whole.tokenizer, ("a", "b"), 32, untrained_head=False)
    assert torch.equal(read(model, [LONG]).logits, read(whole, [LONG]).logits)
    with pytest.raises(CodrunError, match="ById reads no embeddings, so it cannot read a mixture"):
        model.encode([LONG, MIXTURES[0]])


def test_a_bfloat16_teacher_mixes_in_its_own_precision(folder: Folder) -> None:
    logits = read(classifier(folder("bert"), dtype="bfloat16"), MIXTURES).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, read(classifier(folder("bert")), MIXTURES).logits, atol=0.15, rtol=0.1)

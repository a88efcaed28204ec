"""The classifier's contract over six architectures, tiny and random."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import pipeline

from cod_runner.api import BuildContext, CodrunError
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS
from codrun_transformers.architecture import blocks_of
from codrun_transformers.build import build_student, build_teacher
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions, TeacherOptions

LABELS = ("negative", "positive")
KINDS = sorted(TINY_MODELS)
STRANGE = [
    "",
    " ",
    "\n\t",
    "a\x00b\x1b[31m",
    "\u202eright to left \u05d0\u05d1\u05d2",
    "\ud800 a lone surrogate",
    "🎬" * 50,
    "a film " * 1500,
    "[PAD] <pad> <|endoftext|>",
    "<|endoftext|>",
    '{"label": "positive"} ignore the above',
]

Folder = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made: dict[tuple[str, bool], Path] = {}

    def of(kind: str, head: bool = True) -> Path:
        if (kind, head) not in made:
            place = tmp_path_factory.mktemp(kind)
            made[kind, head] = TINY_MODELS[kind](place, labels=LABELS if head else None, initializer_range=0.2)
        return made[kind, head]

    return of


def teacher(folder: Path, labels: tuple[str, ...] = LABELS, seed: int = 0, **options: Any) -> TextClassifier:
    torch.set_num_threads(1)
    context = BuildContext(labels=labels, seed=seed)
    return build_teacher(TeacherOptions.model_validate({"model": str(folder), **options}), context)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_of_transformers(folder: Folder, kind: str) -> None:
    model = teacher(folder(kind))
    batch = model.collate(model.encode(SENTENCES))
    with torch.no_grad():
        ours = model(batch, hidden=range(4))
        some = model(batch, hidden=[2])
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        theirs = model.model(**batch, output_hidden_states=True).hidden_states
    assert model.shape.layers == 3 and model.shape.width == 32 and model.shape.classes == 2
    assert list(ours.hidden) == [0, 1, 2, 3] and list(some.hidden) == [2]
    for layer, state in ours.hidden.items():
        assert torch.equal(state, theirs[layer]), layer
    with pytest.raises(CodrunError, match="hidden state 4 was asked for"):
        model(batch, hidden=[4])


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_head_reads_is_at_pooled_at(folder: Folder, kind: str) -> None:
    """Changing the last block's output there changes the logits; changing it elsewhere does not."""
    model = teacher(folder(kind))
    batch = model.collate(model.encode(SENTENCES), multiple_of=16)
    with torch.no_grad():
        outputs = model(batch, hidden=[3])
    assert outputs.mask is not None and outputs.pooled_at is not None
    assert outputs.mask.shape == (6, 16) and bool(outputs.mask.gather(1, outputs.pooled_at[:, None]).all())

    def moved(at: torch.Tensor) -> bool:
        def nudge(module: nn.Module, arguments: Any, output: Any) -> None:
            state = output if isinstance(output, torch.Tensor) else output[0]
            state[torch.arange(6), at] += torch.linspace(-1.0, 1.0, 32)

        hook = blocks_of(model.model)[-1].register_forward_hook(nudge)
        with torch.no_grad():
            different = bool((model(batch).logits != outputs.logits).any(dim=1).all())
        hook.remove()
        return different

    assert moved(outputs.pooled_at)
    assert not moved((outputs.pooled_at + 1) % 16)


@pytest.mark.parametrize("kind", KINDS)
def test_batching_and_padding_change_nothing(folder: Folder, kind: str) -> None:
    model = teacher(folder(kind))
    encoded = model.encode(SENTENCES)
    with torch.no_grad():
        together = model(model.collate(encoded, multiple_of=16), hidden=[1, 3])
        for row, each in enumerate(encoded):
            alone = model(model.collate([each]), hidden=[1, 3])
            torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
            for layer in (1, 3):
                real = together.hidden[layer][row][: len(each.ids)]
                torch.testing.assert_close(real, alone.hidden[layer][0], atol=1e-5, rtol=1e-4)


def test_a_decoder_padded_on_the_left_gives_the_same_logits(folder: Folder) -> None:
    right, left = (teacher(folder("qwen2"), padding_side=side) for side in ("right", "left"))
    batches = [model.collate(model.encode(SENTENCES), multiple_of=16) for model in (right, left)]
    with torch.no_grad():
        one, other = right(batches[0], hidden=[2]), left(batches[1], hidden=[2])
    torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=1e-5)
    assert other.pooled_at is not None and other.pooled_at.tolist() == [15] * 6
    assert one.pooled_at is not None and one.pooled_at.tolist() == [len(e.ids) - 1 for e in right.encode(SENTENCES)]
    assert other.mask is not None and not other.mask[0, 0]
    assert right.fingerprint != left.fingerprint
    with pytest.raises(CodrunError, match="padded on the right"):
        teacher(folder("bert"), padding_side="left")


@pytest.mark.parametrize("kind", KINDS)
def test_strange_texts_do_not_crash(folder: Folder, kind: str) -> None:
    model = teacher(folder(kind), max_length=48)
    encoded = model.encode(STRANGE)
    assert all(1 <= len(each.ids) <= 48 for each in encoded)
    with torch.no_grad():
        outputs = model(model.collate(encoded, multiple_of=16))
    assert torch.isfinite(outputs.logits).all()
    assert outputs.mask is not None and outputs.pooled_at is not None
    assert bool(outputs.mask.gather(1, outputs.pooled_at[:, None]).all())
    assert all(len(found) >= 0 for found in model.attribution(STRANGE, [0] * len(STRANGE)))
    assert model.encode([]) == [] and model.attribution([], []) == []


def test_truncation_keeps_the_beginning_and_the_last_special_token(folder: Folder) -> None:
    model = teacher(folder("bert"), max_length=8)
    whole, cut = teacher(folder("bert")).encode(SENTENCES)[0].ids, model.encode(SENTENCES)[0].ids
    assert len(whole) > len(cut) == 8
    assert cut == (*whole[:7], whole[-1])


def test_vectors_are_refused(folder: Folder) -> None:
    with pytest.raises(CodrunError, match="reads texts"):
        teacher(folder("bert")).encode([(1.0, 2.0)])


@pytest.mark.parametrize(("kind", "longest"), [("bert", 64), ("roberta", 64), ("qwen2", 128)])
def test_the_maximum_length_is_limited_by_the_model(folder: Folder, kind: str, longest: int) -> None:
    said: list[str] = []
    options = TeacherOptions(model=str(folder(kind)), max_length=500)
    model = build_teacher(options, BuildContext(labels=LABELS, say=said.append))
    assert model.max_length == longest
    assert any(f"at most {longest} tokens" in sentence for sentence in said)
    batch = model.collate(model.encode(["film " * 1000]), multiple_of=48)  # rounding up must not exceed it either
    assert batch["input_ids"].shape == (1, longest)
    with torch.no_grad():
        assert torch.isfinite(model(batch).logits).all()


def test_a_missing_padding_token_is_replaced(folder: Folder, tmp_path: Path) -> None:
    model = teacher(folder("qwen2"))
    assert model.model.config.pad_token_id == model.tokenizer.pad_token_id == 0
    model.tokenizer.pad_token = None
    model.tokenizer.save_pretrained(tmp_path)
    model.model.config.pad_token_id = None
    model.model.save_pretrained(tmp_path)
    bare = teacher(tmp_path)
    # Qwen2's tokenizer class still has a default padding token; any other falls back to the end of text
    assert bare.tokenizer.pad_token_id is not None
    assert bare.model.config.pad_token_id == bare.tokenizer.pad_token_id
    with torch.no_grad():
        bare(bare.collate(bare.encode(SENTENCES)))


def test_a_half_precision_checkpoint_is_trained_in_float32(folder: Folder, tmp_path: Path) -> None:
    model = teacher(folder("bert"))
    model.save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"})
    again = teacher(tmp_path)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    half = teacher(tmp_path, dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        outputs = half(half.collate(half.encode(SENTENCES)), hidden=[1])
    assert outputs.logits.dtype == outputs.hidden[1].dtype == torch.float32
    with pytest.raises(CodrunError, match="drop `dtype`"):
        half.train()


# --- heads and labels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_in_another_order_is_reordered_to_the_data_set(folder: Folder, kind: str) -> None:
    as_saved = teacher(folder(kind))
    turned = teacher(folder(kind), labels=("Positive", "Negative"))
    batch = as_saved.collate(as_saved.encode(SENTENCES))
    with torch.no_grad():
        assert torch.equal(turned(batch).logits, as_saved(batch).logits[:, [1, 0]])
    assert turned.labels == ("Positive", "Negative") and not turned.untrained_head
    assert turned.model.config.id2label == {0: "Positive", 1: "Negative"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_head_is_drawn_from_the_contexts_seed(folder: Folder, kind: str) -> None:
    state = torch.get_rng_state()
    one = teacher(folder(kind, head=False), labels=("a", "b", "c"), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    same, other = (teacher(folder(kind, head=False), labels=("a", "b", "c"), seed=seed) for seed in (1, 2))
    assert one.untrained_head and one.shape.classes == 3
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_another_number_of_classes_is_refused_unless_a_new_head_is_requested(folder: Folder) -> None:
    with pytest.raises(CodrunError, match=r"2 classes .* data set has 3"):
        teacher(folder("bert"), labels=("a", "b", "c"))
    fresh = teacher(folder("bert"), labels=("a", "b", "c"), new_head=True)
    assert fresh.untrained_head and fresh.shape.classes == 3
    trained = teacher(folder("bert"))
    renewed = teacher(folder("bert"), labels=("x", "y"), new_head=True)
    assert renewed.untrained_head
    assert not torch.equal(trained.model.classifier.weight, renewed.model.classifier.weight)
    assert not torch.equal(trained.model.bert.pooler.dense.weight, renewed.model.bert.pooler.dense.weight)
    assert torch.equal(
        trained.model.bert.embeddings.word_embeddings.weight, renewed.model.bert.embeddings.word_embeddings.weight
    )


def test_without_labels_the_checkpoints_own_are_used(folder: Folder) -> None:
    assert teacher(folder("bert"), labels=()).labels == LABELS


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_loads_in_codrun_and_in_a_pipeline(folder: Folder, tmp_path: Path, kind: str) -> None:
    model = teacher(folder(kind), labels=("positive", "negative"), max_length=40)
    model.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    other = teacher(folder(kind, head=False), labels=("positive", "negative"), max_length=40)
    assert other.fingerprint != model.fingerprint and other.untrained_head
    other.load(tmp_path / "saved")
    assert not other.untrained_head
    again = teacher(tmp_path / "saved", labels=("positive", "negative"), max_length=40)
    batch = model.collate(model.encode(SENTENCES))
    with torch.no_grad():
        probabilities = model(batch).logits.softmax(dim=1)
        for each in (other, again):
            assert torch.equal(each(batch).logits.softmax(dim=1), probabilities)
    assert again.fingerprint == model.fingerprint
    answers = pipeline("text-classification", model=str(tmp_path / "saved"), top_k=None)(list(SENTENCES[:2]))
    for answer, row in zip(answers, probabilities, strict=False):
        scores = {one["label"]: one["score"] for one in answer}
        assert scores == pytest.approx({"positive": row[0].item(), "negative": row[1].item()}, abs=1e-5)


def test_weights_of_another_model_are_refused(folder: Folder, tmp_path: Path) -> None:
    teacher(folder("electra")).save(tmp_path)
    with pytest.raises(CodrunError, match="cannot be read into this model"):
        teacher(folder("bert")).load(tmp_path)
    with pytest.raises(CodrunError, match="cannot be read into this model"):
        teacher(folder("bert")).load(tmp_path / "nowhere")


def test_the_fingerprint_depends_on_the_weights_and_the_encoding(folder: Folder) -> None:
    model = teacher(folder("bert"))
    first = model.fingerprint
    model.encode(SENTENCES)  # a fast tokenizer remembers its last truncation
    assert teacher(folder("bert")).fingerprint == first
    assert teacher(folder("bert"), max_length=32).fingerprint != first
    model.train()
    with torch.no_grad():
        model.model.classifier.bias += 1e-7
    model.eval()
    changed = model.fingerprint
    assert changed != first
    assert model.fingerprint == changed


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_attribution_is_gradient_times_input_by_word(folder: Folder, kind: str) -> None:
    """Scaling all embeddings of one word by 1 + e changes the margin by e times the word's score."""
    model = teacher(folder(kind)).double()
    text = SENTENCES[2]
    found = model.attribution([text], [1])[0]
    assert [text[each.start : each.end] for each in found] == [*text.split()[:-2], "story", "isn't"]
    (encoded,), (offsets,) = model.encode([text]), model.offsets([text])
    batch = model.collate([encoded])
    step = 1e-2  # Qwen2 normalises in float32, regardless of its weights
    for each in found:
        inside = torch.tensor([start < each.end and end > each.start and end > start for start, end in offsets])

        def margin(factor: float, inside: torch.Tensor = inside) -> float:
            def scale(module: nn.Module, arguments: Any, output: torch.Tensor) -> torch.Tensor:
                return output * (1 + (factor - 1) * inside.double())[None, :, None]

            hook = model.model.get_input_embeddings().register_forward_hook(scale)
            with torch.no_grad():
                logits = model.model(**batch).logits[0]
            hook.remove()
            return float(logits[1] - logits[0])

        slope = (margin(1 + step) - margin(1 - step)) / (2 * step)
        assert each.score == pytest.approx(slope, abs=1e-3, rel=1e-2)


def test_attribution_does_not_depend_on_the_batch_and_leaves_no_trace(folder: Folder) -> None:
    model = teacher(folder("bert"))
    model.train()
    together = model.attribution([*SENTENCES, "good " * 60], [0, 1, 0, 1, 0, 1, 0])
    for position, text in enumerate(SENTENCES):
        assert model.attribution([text], [position % 2]) == [together[position]]
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    long = together[-1]
    assert len(long) == 60
    model.eval()
    short = teacher(folder("bert"), max_length=12).attribution(["good " * 60], [0])[0]
    assert [each.score != 0 for each in short] == [True] * 10 + [False] * 50


def test_more_than_two_classes_compare_with_the_best_other_one(folder: Folder) -> None:
    model = teacher(folder("bert", head=False), labels=("a", "b", "c"))
    text = SENTENCES[0]
    logits = model(model.collate(model.encode([text]))).logits[0]
    best, second = logits.topk(2).indices.tolist()
    up, down = model.attribution([text, text], [best, second])
    for one, other in zip(up, down, strict=True):
        assert one.score == pytest.approx(-other.score, abs=1e-6)


def test_word_vectors_have_unit_length(folder: Folder) -> None:
    model = teacher(folder("bert"))
    good, great, pieces, nothing = model.word_vectors(["film", "film", "xyzzy", ""])
    assert good == great and len(good) == 32
    assert sum(value**2 for value in good) == pytest.approx(1.0, abs=1e-5)
    ids = model.tokenizer("xyzzy", add_special_tokens=False)["input_ids"]
    mean = model.model.get_input_embeddings().weight[torch.tensor(ids)].mean(dim=0)
    assert pieces == pytest.approx((mean / mean.norm()).tolist(), abs=1e-6)
    assert nothing == ()
    assert model.word_vectors([]) == []


def test_distance_counts_words_and_divides_by_the_originals(folder: Folder) -> None:
    model = teacher(folder("bert"))
    assert model.distance("a fine film .", "a dull film .") == (1.0, 0.25)
    assert model.distance("", "two words") == (2.0, 2.0)


# --- training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "deberta", "qwen2"])
def test_gradient_checkpointing_gives_the_same_gradients_and_hidden_states(
    folder: Folder, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = teacher(folder(kind))
    saving = copy.deepcopy(plain)
    saving.gradient_checkpointing_enable()
    states = []
    capfd.readouterr()
    for model in (plain, saving):
        model.train()
        torch.manual_seed(3)
        outputs = model(model.collate(model.encode(SENTENCES)), hidden=[1, 3])
        (outputs.logits.square().mean() + outputs.hidden[1].mean() + outputs.hidden[3].square().mean()).backward()
        states.append(outputs.hidden[1].detach())
    assert torch.equal(*states)
    assert capfd.readouterr() == ("", "")
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_overridden_everywhere(folder: Folder, tmp_path: Path, kind: str) -> None:
    model = teacher(folder(kind), dropout=0.0)
    batch = model.collate(model.encode(SENTENCES))
    model.train()
    assert torch.equal(model(batch).logits, model(batch).logits)
    model.save(tmp_path)
    again = teacher(tmp_path)
    again.train()
    assert torch.equal(again(batch).logits, again(batch).logits)
    noisy = teacher(folder(kind), dropout=0.5)
    noisy.train()
    assert not torch.equal(noisy(batch).logits, noisy(batch).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_only_some_blocks_of_a_checkpoint(folder: Folder, kind: str) -> None:
    whole, first, ends = teacher(folder(kind)), teacher(folder(kind), layers=2), teacher(folder(kind), layers=[1, 3])
    assert first.shape.layers == ends.shape.layers == 2
    batch = whole.collate(whole.encode(SENTENCES))
    with torch.no_grad():
        theirs = whole(batch, hidden=[0, 1, 2]).hidden
        ours = first(batch, hidden=[0, 1]).hidden
    assert all(torch.equal(ours[layer], theirs[layer]) for layer in (0, 1))
    assert first.fingerprint != ends.fingerprint
    with pytest.raises(CodrunError, match="block 4 was asked for, but the model has 3 blocks"):
        teacher(folder(kind), layers=4)


def test_frozen_word_embeddings(folder: Folder) -> None:
    options = StudentOptions(model=str(folder("deberta")), freeze_embeddings=True)
    student = build_student(options, BuildContext(labels=LABELS))
    frozen = [name for name, parameter in student.named_parameters() if not parameter.requires_grad]
    assert frozen == ["model.deberta.embeddings.word_embeddings.weight"]

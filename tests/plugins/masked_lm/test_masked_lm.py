"""The generator `masked_lm` with a tiny masked language model, trained here in seconds."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from cod_runner.api import Attribution, BuildContext, CodrunError, Input, Request, SettingError
from cod_runner.testing.untrusted import UNTRUSTED_TEXTS
from codrun_masked_lm.augmenting import MaskedLmAugmenter
from codrun_masked_lm.gaps import Gaps, Infilling
from codrun_masked_lm.generator import MaskedLmGenerator, _Search, build
from codrun_masked_lm.infiller import Infiller
from codrun_masked_lm.plugin import MaskedLmOptions

GOOD, BAD = ("good", "great", "warm"), ("bad", "dull", "cold")
NOUNS, VERBS = ("film", "story", "cast", "song"), ("saw", "heard", "loved", "left")
LABELS = ("negative", "positive")
SENTENCES = [
    f"we {verb} a {adjective} {noun} with a {other} end"
    for verb, adjective, noun, other in itertools.product(VERBS, GOOD + BAD, NOUNS, GOOD + BAD)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model that has learned where adjectives, nouns and verbs go."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = sorted({word for sentence in SENTENCES for word in sentence.split()} | {"positive", "negative"})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, "##s", ",", "."]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(vocabulary)})
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    ids = tokenizer(SENTENCES, return_tensors="pt")["input_ids"]
    drawn = torch.Generator().manual_seed(0)
    for _ in range(150):
        batch = ids[torch.randint(len(ids), (32,), generator=drawn)]
        hidden = (torch.rand(batch.shape, generator=drawn) < 0.3) & (batch > 4)
        masked = batch.masked_fill(hidden, tokenizer.mask_token_id)
        loss = model(input_ids=masked, labels=batch.masked_fill(~hidden, -100)).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    place = tmp_path_factory.mktemp("mlm")
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


class WordTeacher:
    """Class 1 where good words outnumber bad ones; counts what it is asked."""

    labels = LABELS

    def __init__(self) -> None:
        self.asked: list[list[Input]] = []
        self.asked_for: list[str] = []

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        self.asked.append(list(inputs))
        self.asked_for += [request.id for request in asked_for]
        scores = []
        for text in inputs:
            words = re.findall(r"\w+", str(text).lower())
            margin = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
            positive = 1 / (1 + 2.718281828 ** -(2 * margin - 0.1))
            scores.append((1 - positive, positive))
        return scores

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return [
            [
                Attribution(found.start(), found.end(), float(found[0].lower() in (BAD, GOOD)[target]))
                for found in re.finditer(r"\w+|[^\w\s]", str(text))
            ]
            for text, target in zip(inputs, targets, strict=True)
        ]

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        raise AssertionError("not asked")

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        raise AssertionError("not asked")


def made(folder: Path, **options: object) -> MaskedLmGenerator:
    settings = MaskedLmOptions.model_validate({"model": str(folder), **options})
    return MaskedLmGenerator(settings, BuildContext(labels=LABELS, offline=True))


def proposals(generator: MaskedLmGenerator, texts: Sequence[str], label: int = 1) -> list[list[str]]:
    requests = [Request(f"r{i}", text, label, 1 - label) for i, text in enumerate(texts)]
    return [[str(one.input) for one in of] for of in generator.propose(requests, WordTeacher())]


def test_the_model_fills_a_gap_with_words_that_fit_there(folder: Path) -> None:
    infiller = Infiller(MaskedLmOptions(model=str(folder), samples=4), BuildContext(labels=LABELS, offline=True))
    texts = ["we saw a [MASK] film with a good end", "we saw a [MASK] [MASK] with a good end", "we saw"]
    adjective, noun, none = infiller.fill(texts, [0, 1, 0])
    assert {filling.word for filling in adjective} <= {*GOOD, *BAD}
    assert {filling.word for filling in noun} == set(NOUNS)
    assert none == []
    values = [filling.log_probability for filling in adjective]
    assert values == sorted(values, reverse=True) and values[0] < 0


def test_one_word_is_replaced_where_one_is_enough(folder: Path) -> None:
    first = proposals(made(folder), ["we saw a good film with a good end"])[0]
    assert first, "something is proposed"
    changed = first[0].split()
    assert changed[:3] == ["we", "saw", "a"]
    edits = sum(old != new for old, new in zip("we saw a good film with a good end".split(), changed, strict=True))
    assert edits == 1
    scores = WordTeacher().score(first)
    assert scores[0][0] > 0.5
    assert len(first) == len(set(first)) == 4


def test_more_is_masked_where_one_word_is_not_enough_and_the_reverse_direction_works(folder: Path) -> None:
    text = "we saw a good film with a great end, we heard a warm song"
    found = proposals(made(folder, search_steps=5), [text])[0]
    assert WordTeacher().score(found)[0][0] > 0.5
    back = proposals(made(folder), ["We heard a dull song with a cold end"], label=0)[0]
    assert WordTeacher().score(back)[0][1] > 0.5
    assert all(one.startswith(("We", "A")) or one[0].isupper() for one in back)


def test_capitals_follow_the_original_word(folder: Path) -> None:
    found = proposals(made(folder, candidates=1), ["Good film", "GREAT cast"])
    assert found[0][0].split()[0].istitle()
    assert found[1][0].split()[0].isupper()


def test_a_proposal_depends_only_on_its_text(folder: Path) -> None:
    texts = [SENTENCES[i] for i in (0, 5, 17, 30, 44, 60, 72)] + ["a great film", "we loved a warm cast, " * 5]
    together = proposals(made(folder), texts)
    assert proposals(made(folder), texts[::-1]) == together[::-1]
    assert [proposals(made(folder), [text])[0] for text in texts[::4]] == together[::4]


def test_the_teacher_scores_all_texts_in_one_batch_per_step(folder: Path) -> None:
    teacher = WordTeacher()
    requests = [Request(f"r{i}", text, 1, 0) for i, text in enumerate(SENTENCES[:6])]
    made(folder, search_steps=1, max_fraction=0.4).propose(requests, teacher)
    assert len(teacher.asked) == 2, "a fifth of nine words is two words: two gaps, one question each"
    assert len(teacher.asked[0]) >= 6 * 8


def test_the_teacher_hears_for_which_request_each_text_is(folder: Path) -> None:
    teacher = WordTeacher()
    texts = {"good": "we saw a good film", "bad": "we heard a bad song with a cold end"}
    requests = [Request(name, text, int(name == "good"), int(name == "bad")) for name, text in texts.items()]
    made(folder).propose(requests, teacher)
    asked = [str(text) for batch in teacher.asked for text in batch]
    assert set(teacher.asked_for) == set(texts)
    for text, name in zip(asked, teacher.asked_for, strict=True):
        assert len(text.split()) == len(texts[name].split()), "words are exchanged one for one"


def test_class_names_and_pieces_of_words_are_never_put_in(folder: Path) -> None:
    infiller = Infiller(MaskedLmOptions(model=str(folder), samples=128), BuildContext(labels=LABELS, offline=True))
    words = {filling.word for filling in infiller.fill(["we saw a [MASK] film"], [0])[0]}
    assert {"good", "bad"} <= words
    assert not words & {"positive", "negative", "s", "##s", ",", ".", "[MASK]", "[UNK]"}


@pytest.mark.parametrize("text", [*UNTRUSTED_TEXTS, "", "123 !!", "we [MASK] a good [MASK] film [SEP]", "\U0001f600"])
def test_untrusted_texts_are_edited_or_left_alone(folder: Path, text: str) -> None:
    generator = made(folder, search_steps=1, max_fraction=0.1, beam=1, samples=2, candidates=2)
    for found in proposals(generator, [text])[0]:
        assert found != text


def test_what_is_not_a_masked_language_model_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(SettingError, match=r"nowhere has no config\.json; name a folder") as caught:
        made(tmp_path / "nowhere")
    assert caught.value.setting == ("model",)
    with pytest.raises(CodrunError, match="`some/model` is not available: this run is offline"):
        MaskedLmGenerator(MaskedLmOptions(model="some/model"), BuildContext(offline=True))
    bare = tmp_path / "bare"
    tokenizer = BertTokenizer.from_pretrained(folder)
    BertModel(BertForMaskedLM.from_pretrained(folder).config).save_pretrained(bare)
    tokenizer.save_pretrained(bare)
    with pytest.raises(CodrunError, match="has no masked language model head"):
        made(bare)
    with pytest.raises(CodrunError, match="edits texts"):
        made(folder).propose([Request("v", (0.5,), 0, 1)], VectorTeacher())


class VectorTeacher(WordTeacher):
    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return [[Attribution(0, 0, 1.0)] for _ in inputs]


class Silent:
    """A teacher that no question may reach."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"`{name}` was asked of the teacher")


def copies(folder: Path, texts: Sequence[str], number: int = 1, **options: object) -> list[list[str]]:
    settings = MaskedLmOptions.model_validate({"model": str(folder), "guided": False, **options})
    generator = build(settings, BuildContext(labels=LABELS, offline=True))
    requests = [Request(f"r{i}", text, 1, 1, round=number) for i, text in enumerate(texts)]
    return [[str(one.input) for one in of] for of in generator.propose(requests, Silent())]  # type: ignore[arg-type]


def differing(old: str, new: str) -> list[tuple[str, str]]:
    return [pair for pair in zip(old.split(), new.split(), strict=True) if pair[0] != pair[1]]


def test_unguided_infills_a_random_share_of_the_words_and_asks_no_teacher(folder: Path) -> None:
    for share, count in ((0.1, 1), (0.3, 3), (1.0, 9)):
        for text, (copy,) in zip(SENTENCES[:8], copies(folder, SENTENCES[:8], share=share), strict=True):
            assert len(differing(text, copy)) == count, "an infilled word is never the old one"
    halves = zip(SENTENCES[:40], copies(folder, SENTENCES[:40], share=0.5), strict=True)
    words = {new for text, (copy,) in halves for _, new in differing(text, copy)}
    assert {*NOUNS, *GOOD, *BAD} <= words
    assert not words & {"positive", "negative"}


def test_unguided_words_fit_where_they_stand(folder: Path) -> None:
    texts = SENTENCES[::3]
    found = copies(folder, texts, share=0.1, samples=6)
    pairs = [pair for text, (copy,) in zip(texts, found, strict=True) for pair in differing(text, copy)]
    kinds = [{*GOOD, *BAD}, set(NOUNS), set(VERBS)]
    same = [any(old in kind and new in kind for kind in kinds) for old, new in pairs if old not in "we a with end"]
    assert sum(same) / len(same) > 0.8


def test_an_unguided_draw_depends_on_text_and_round_alone(folder: Path) -> None:
    texts = [*SENTENCES[:5], "GREAT cast", "we loved a warm cast, " * 5]
    together = copies(folder, texts, share=0.4)
    assert copies(folder, texts[::-1], share=0.4) == together[::-1]
    assert [copies(folder, [text], share=0.4)[0] for text in texts] == together
    rounds = [copies(folder, texts[:5], number, share=0.4) for number in range(1, 5)]
    assert len({str(each) for each in rounds}) == 4
    assert together[5][0].split()[0].isupper()


def test_unguided_text_without_words_has_no_copy_and_words_out_of_sight_stay(folder: Path) -> None:
    assert copies(folder, ["", "123 !!", "a1b2"]) == [[], [], []]
    assert copies(folder, ["film"])[0] != [["film"]]
    long = "a good film with a warm end " * 20
    (copy,) = copies(folder, [long], share=1.0, max_length=16)[0]
    assert copy.split()[16:] == long.split()[16:] and copy != long
    generator = build(MaskedLmOptions(model=str(folder), guided=False, rounds=3), BuildContext(offline=True))
    assert isinstance(generator, MaskedLmAugmenter) and generator.rounds == 3
    with pytest.raises(CodrunError, match="edits texts"):
        generator.propose([Request("v", (0.5,), 0, 0)], WordTeacher())


@pytest.mark.parametrize("text", [*UNTRUSTED_TEXTS, "we [MASK] a good [MASK] film [SEP]", "\U0001f600"])
def test_unguided_untrusted_texts_are_copied_or_left_alone(folder: Path, text: str) -> None:
    assert all(isinstance(copy, str) for copy in copies(folder, [text], share=0.05, samples=2)[0])


def test_identity_of_the_guided_search_is_what_it_was_before_there_was_another(folder: Path) -> None:
    guided = MaskedLmOptions(model="a/b")
    assert guided.identity() == {
        "model": "a/b", "revision": None, "max_fraction": 0.55, "search_steps": 4, "beam": 3, "samples": 8,
        "fluency": 0.2, "candidates": 4, "max_length": 256,
    }  # fmt: skip
    assert MaskedLmOptions(model="a/b", share=0.5, rounds=2).identity() == guided.identity()
    unguided = MaskedLmOptions(model="a/b", guided=False)
    assert unguided.identity() == {
        "model": "a/b", "revision": None, "samples": 8, "max_length": 256, "guided": False, "share": 0.15, "rounds": 8,
    }  # fmt: skip
    assert MaskedLmOptions(model="a/b", guided=False, beam=9).identity() == unguided.identity()
    assert MaskedLmOptions(model="a/b", guided=False, share=0.5).identity() != unguided.identity()


def test_identity_is_the_folders_content(folder: Path, tmp_path: Path) -> None:
    here = MaskedLmOptions(model=str(folder)).identity()
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in folder.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    assert MaskedLmOptions(model=str(copied)).identity() == here
    (copied / "config.json").write_text("{}")
    assert MaskedLmOptions(model=str(copied)).identity() != here
    assert MaskedLmOptions(model="a/b", revision="c").identity()["model"] == "a/b"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("~nouser/x", "names a home folder that does not exist"),
        ("mo del/x?y", "neither an existing folder nor a hub name"),
        ("", "at least 1 character"),
    ],
)
def test_what_names_no_model_is_a_fault_of_the_recipe(name: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        MaskedLmOptions(model=name)


def test_a_folder_is_beside_the_recipe_and_a_hub_model_is_fetched_from_the_hub(folder: Path) -> None:
    settings = MaskedLmOptions.model_validate({"model": f"./{folder.name}"}, context={"folder": str(folder.parent)})
    assert settings.model == str(folder)
    assert (settings.destinations(), [each.name for each in settings.origins()]) == ([], [folder.name])
    (hub,) = MaskedLmOptions(model="a/b").destinations()
    assert hub.setting == ("model",)


def test_a_mask_token_of_the_data_is_no_gap_wherever_it_stands() -> None:
    gaps = Gaps("[MASK] a good [MASK] film [MASK]", [(9, 13), (21, 25)])
    assert gaps.shown(Infilling(), "[MASK]", 1) == ("  a [MASK]   [MASK]  ", 1)
    assert gaps.shown(Infilling(((0, "bad"),)), "[MASK]", 1) == ("  a bad   [MASK]  ", 0), "a filled gap is no mask"
    assert gaps.written(Infilling(((0, "bad"),))) == "[MASK] a bad [MASK] film [MASK]", "the data's own stay"


def test_a_gap_that_is_filled_with_its_own_word_is_no_edit(folder: Path) -> None:
    search = _Search(Request("r", "a good film", 0, 1), Gaps("a good film", [(2, 6), (7, 11)]), [], 0.0, 1.0)
    tried = made(folder)._judged(search, Infilling(((0, "bad"), (1, "film")), -2.0), (0.2, 0.8))
    assert (tried.edits, tried.flips) == (1, True)
    assert tried.objective == pytest.approx(math.log(0.8) + 0.2 * -2.0)


def test_what_the_teacher_is_asked_is_known_of_the_unguided_mode_alone() -> None:
    assert MaskedLmOptions(model="a/b", guided=False, rounds=3).questions(10) == 30
    assert MaskedLmOptions(model="a/b").questions(10) is None

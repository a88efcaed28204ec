"""An encoder under a pooling and one linear layer: what it computes, how it is saved and opened again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cod_runner.api import BuildContext, CodrunError, Example, Mixture, SettingError, TrainSettings, head_pooled
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.outputs import MEAN, padded
from cod_runner.engine.signals import SignalStore
from cod_runner.engine.training import train_student
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS, tiny_deberta
from codrun_losses.labels import Hard
from codrun_losses.plugin import HardOptions
from codrun_transformers import checkpoint
from codrun_transformers.build import build_student, build_teacher, reopen_student
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.options import StudentOptions, TeacherOptions

LABELS = ("negative", "positive")
ENCODERS = ("bert", "deberta", "distilbert", "electra", "roberta")
Made = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Folders of tiny models without a head."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = TINY_MODELS[kind](tmp_path_factory.mktemp(kind), initializer_range=0.2)
        return made[kind]

    return of


def student_of(
    folder: Path | None, pooling: str | None, labels: tuple[str, ...] = LABELS, **options: Any
) -> TextClassifier:
    context = options.pop("context", BuildContext(labels=labels, seed=3))
    where = {} if folder is None else {"model": str(folder)}
    return build_student(StudentOptions.model_validate({**where, "pooling": pooling, **options}), context)


def logits_of(classifier: TextClassifier, texts: Any = SENTENCES) -> torch.Tensor:
    with torch.no_grad():
        return classifier(classifier.collate(classifier.encode(texts))).logits


def as_sentence_encoder(folder: Path, target: Path, **pooling: bool) -> Path:
    """A copy of a bare checkpoint as sentence-transformers saves it, without a classifying layer."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (target / "modules.json").write_text(json.dumps(listed))
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    return target


# --- what it computes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_the_logits_are_a_linear_layer_on_the_pooled_last_states(bare: Made, kind: str, pooling: str) -> None:
    student = student_of(bare(kind), pooling)
    assert student.untrained_head
    for text in SENTENCES[:2]:
        batch = student.collate(student.encode([text]))
        with torch.no_grad():
            states = student.model.encoder(**batch)[0][0]
            vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
            assert torch.allclose(student.model.head(vector), student(batch).logits[0], atol=1e-6)
    assert torch.allclose(logits_of(student), torch.cat([logits_of(student, [text]) for text in SENTENCES]), atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_reads_its_last_token_whichever_side_is_padded(bare: Made, side: str) -> None:
    student = student_of(bare("qwen2"), "last", padding_side=side)
    alone = torch.cat([logits_of(student, [text]) for text in SENTENCES])
    assert torch.allclose(logits_of(student), alone, atol=1e-5)
    with torch.no_grad():
        outputs = student(student.collate(student.encode(SENTENCES)), hidden=[student.shape.layers])
    assert outputs.pooled_at is not None
    read = outputs.hidden[student.shape.layers][torch.arange(len(SENTENCES)), outputs.pooled_at]
    assert torch.allclose(student.model.head(read), outputs.logits, atol=1e-6)


def test_a_decoders_mean_is_possible_and_its_first_token_refused(bare: Made) -> None:
    student = student_of(bare("qwen2"), "mean")
    alone = torch.cat([logits_of(student, [text]) for text in SENTENCES])
    assert torch.allclose(logits_of(student), alone, atol=1e-5)
    with pytest.raises(CodrunError, match="reads from left to right, so its first token knows no other; take `pooling"):
        student_of(bare("qwen2"), "cls")


def test_the_mean_is_padded_on_the_right(bare: Made) -> None:
    with pytest.raises(CodrunError, match="reads the mean of its tokens, so it must be padded on the right"):
        student_of(bare("bert"), "mean", padding_side="left")


@pytest.mark.parametrize("kind", ["bert", "roberta", "qwen2"])
def test_a_mixture_of_a_text_with_itself_is_that_text(bare: Made, kind: str) -> None:
    for pooling in ("mean", "last"):
        student = student_of(bare(kind), pooling)
        itself = [Mixture(text, text, 0.3) for text in SENTENCES]
        assert torch.allclose(logits_of(student, itself), logits_of(student), atol=1e-6)
        half = logits_of(student, [Mixture(SENTENCES[0], SENTENCES[1], 0.5)])
        assert not torch.allclose(half, logits_of(student, SENTENCES[:1]))


def test_the_pooler_is_gone_and_the_dropout_is_the_configurations(bare: Made, tmp_path: Path) -> None:
    student = student_of(bare("bert"), "mean")
    assert not [name for name, _ in student.named_parameters() if "pooler" in name]
    assert student.model.dropout.p == 0.1
    assert student_of(bare("bert"), "mean", dropout=0.0).model.dropout.p == 0.0
    folder = tiny_deberta(tmp_path, cls_dropout=0.25)
    assert student_of(folder, "cls").model.dropout.p == 0.25


def test_the_head_is_drawn_from_the_seed(bare: Made) -> None:
    heads = [
        student_of(bare("bert"), "mean", context=BuildContext(labels=LABELS, seed=seed)).model.head.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


# --- what else a classifier can -----------------------------------------------------------------------------------


def test_words_are_weighed_and_stepped_and_blocks_chosen(bare: Made) -> None:
    student = student_of(bare("bert"), "mean", layers=[1, 3], freeze_embeddings=True)
    assert student.shape.layers == 2
    assert not student.model.get_input_embeddings().weight.requires_grad
    weighed = student.attribution(SENTENCES[:2], [0, 1])
    assert [len(words) for words in weighed] == [10, 9]
    assert any(word.score for word in weighed[0])
    assert student.projected_step(SENTENCES[:1], [0], [1], 5.0) != list(SENTENCES[:1])
    assert len(student.word_vectors(["film"])[0]) == student.shape.width


def test_the_fingerprint_tells_poolings_apart(bare: Made) -> None:
    prints = {student_of(bare("bert"), pooling).fingerprint for pooling in ("mean", "cls", "last")}
    assert len(prints) == 3


def test_training_with_the_vocabulary_cut_gives_the_same_student(bare: Made) -> None:
    examples = [Example(str(row), text, row % 2) for row, text in enumerate(SENTENCES[:4])]
    trained = {}
    for compact in (True, False):
        student = student_of(bare("bert"), "mean")
        options = HardOptions()
        term = WeightedTerm("hard", Hard(options, BuildContext()), 1.0, options.needs)
        settings = TrainSettings(
            steps=3, batch_size=4, lr=0.01, weight_decay=0.1, precision="fp32", compact_vocabulary=compact
        )
        result = train_student(student, examples, [term], None, settings, seed=0, device="cpu")
        assert (result.trained_parameters < sum(each.numel() for each in student.parameters())) is compact
        trained[compact] = logits_of(student)
    assert torch.equal(trained[True], trained[False])
    assert not torch.allclose(trained[True], logits_of(student_of(bare("bert"), "mean")), atol=0.01)


def test_hidden_states_come_without_a_position_and_are_kept_as_such(bare: Made, tmp_path: Path) -> None:
    teacher = build_teacher(TeacherOptions(model=str(bare("bert")), pooling="mean"), BuildContext(labels=LABELS))
    last = teacher.shape.layers
    with torch.no_grad():
        outputs = teacher(teacher.collate(teacher.encode(SENTENCES[:1])), hidden=[last])
    assert outputs.pooled_at is None
    read = head_pooled(outputs.hidden[last], outputs.pooled_at, outputs.mask)
    assert torch.allclose(teacher.model.head(read), outputs.logits, atol=1e-6)
    store = SignalStore(tmp_path)
    store.add(teacher, SENTENCES, [last], device="cpu")
    rows = store.reader(teacher.fingerprint).rows(SENTENCES, [last])
    assert [row.pooled_at for row in rows] == [MEAN] * len(SENTENCES)
    together = padded(rows, [last])
    assert together.pooled_at is None
    assert torch.allclose(head_pooled(together.hidden[last], None, together.mask)[:1], read, atol=1e-5)


# --- cut from a teacher ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
def test_a_student_is_cut_from_a_teacher_with_a_head_of_its_class(bare: Made, kind: str) -> None:
    teacher = build_teacher(TeacherOptions(model=str(bare(kind))), BuildContext(labels=LABELS))
    context = BuildContext(labels=LABELS, teacher=lambda: teacher)
    student = student_of(None, "mean", layers_from_teacher=[1, 3], context=context)
    table = student.model.get_input_embeddings().weight
    assert student.shape.layers == 2
    assert torch.equal(table, teacher.model.get_input_embeddings().weight)
    assert student.model.base_model is not teacher.model.base_model
    assert logits_of(teacher).shape == (len(SENTENCES), 2)  # the teacher keeps its pooler and its head
    with pytest.raises(SettingError, match="`pooling: auto` takes the teacher's, which has a head of its class"):
        student_of(None, "auto", layers_from_teacher=[1], context=context)


def test_a_student_of_a_pooled_teacher_has_its_pooling_unless_another_is_said(bare: Made) -> None:
    teacher = build_teacher(TeacherOptions(model=str(bare("bert")), pooling="mean"), BuildContext(labels=LABELS))
    context = BuildContext(labels=LABELS, teacher=lambda: teacher)
    poolings = [
        student_of(None, pooling, layers_from_teacher=[2], context=context).model.pooling
        for pooling in (None, "auto", "cls")
    ]
    assert poolings == ["mean", "mean", "cls"]


# --- what a folder of sentence-transformers says --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["mean"]}, "mean"),
        ({}, "mean"),
    ],
)
def test_auto_believes_the_checkpoint_and_says_so(
    bare: Made, tmp_path: Path, config: dict[str, Any], pooling: str
) -> None:
    folder = as_sentence_encoder(bare("bert"), tmp_path / "model", **config)
    said: list[str] = []
    student = student_of(folder, "auto", max_length=9, context=BuildContext(labels=LABELS, seed=3, say=said.append))
    assert student.model.pooling == pooling
    assert said == [
        f"`{folder}` says in 1_Pooling/config.json how it pools, and is believed: {pooling}, without the Normalize "
        "behind it"
    ]
    assert torch.equal(logits_of(student), logits_of(student_of(bare("bert"), pooling, max_length=9)))


def test_auto_has_the_key_of_what_it_finds_and_absent_the_old_one(bare: Made, tmp_path: Path) -> None:
    folder = as_sentence_encoder(bare("bert"), tmp_path / "model", pooling_mode_mean_tokens=True)
    decides = {
        pooling: StudentOptions.model_validate({"model": str(folder), "pooling": pooling}).identity()
        for pooling in (None, "auto", "mean", "cls")
    }
    assert decides["auto"] == decides["mean"] != decides["cls"]
    assert "pooling" not in decides[None]
    assert {**decides[None], "pooling": "mean"} == decides["mean"]
    assert "pooling" not in TeacherOptions(model=str(folder)).identity()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"pooling_mode_max_tokens": True}, r"pools by max_tokens, which codrun does not have; say `pooling: mean`"),
        ({"pooling_mode": ["cls", "mean"]}, r"pools by cls and mean, which codrun does not have"),
    ],
)
def test_another_pooling_is_named_and_can_be_overruled(
    bare: Made, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    folder = as_sentence_encoder(bare("bert"), tmp_path / "model", **config)
    with pytest.raises(SettingError, match=said):
        student_of(folder, "auto")
    assert student_of(folder, "mean").model.pooling == "mean"


def test_auto_without_modules_says_what_to_write(bare: Made) -> None:
    options = StudentOptions(model=str(bare("bert")), pooling="auto")
    with pytest.raises(SettingError, match=r"does not say how it pools: it has no modules\.json.*say `pooling: mean`"):
        options.identity()


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ("[", "cannot be read"),
        ("{}", "is damaged: a module is a `type` and a `path`"),
        ('[{"type": "a.Pooling", "path": "../elsewhere"}]', "is damaged: a module is a `type` and a `path`"),
        ('[{"type": "a.Pooling", "path": ".."}]', "is damaged: a module is a `type` and a `path`"),
    ],
)
def test_damaged_modules_are_named(bare: Made, tmp_path: Path, modules: str, said: str) -> None:
    folder = as_sentence_encoder(bare("bert"), tmp_path / "model")
    (folder / "modules.json").write_text(modules)
    with pytest.raises(CodrunError, match=said):
        student_of(folder, "auto")


# --- saved and opened -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pooling"), [("bert", "mean"), ("deberta", "cls"), ("qwen2", "last"), ("roberta", "mean")]
)
def test_it_is_opened_again_bit_for_bit(bare: Made, tmp_path: Path, kind: str, pooling: str) -> None:
    labels = ("bad", "good", "LABEL_7")
    student = student_of(bare(kind), pooling, labels, max_length=9)
    student.save(tmp_path)
    opened = reopen_student(tmp_path, BuildContext())
    assert opened.labels == labels and not opened.untrained_head
    assert opened.max_length == 9
    assert torch.equal(logits_of(opened), logits_of(student))
    assert opened.fingerprint == student.fingerprint
    other = student_of(bare(kind), pooling, labels, max_length=9, context=BuildContext(labels=labels, seed=8))
    assert not torch.equal(logits_of(other), logits_of(student))
    other.load(tmp_path)
    assert torch.equal(logits_of(other), logits_of(student))
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"} <= files
    assert not [file for file in files if not file.endswith((".json", ".safetensors", ".txt", ".model"))]


@pytest.mark.parametrize(("kind", "pooling"), [("bert", "mean"), ("roberta", "cls"), ("qwen2", "last")])
def test_sentence_transformers_gives_its_logits(bare: Made, tmp_path: Path, kind: str, pooling: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    student = student_of(bare(kind), pooling, max_length=12)
    student.save(tmp_path)
    model = library.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    texts = [*SENTENCES, "film " * 40]
    encoded = torch.tensor(model.encode(texts, show_progress_bar=False))
    assert torch.allclose(encoded, logits_of(student, texts), atol=1e-5)
    assert model[0].auto_model.config.id2label == dict(enumerate(LABELS))


def test_a_saved_student_is_a_teacher_with_its_head_matched_by_name(bare: Made, tmp_path: Path) -> None:
    student = student_of(bare("bert"), "mean")
    student.save(tmp_path)
    options = TeacherOptions(model=str(tmp_path), pooling="auto")
    teacher = build_teacher(options, BuildContext(labels=LABELS[::-1]))
    assert not teacher.untrained_head
    assert torch.equal(logits_of(teacher).flip(1), logits_of(student))
    other = StudentOptions(model=str(tmp_path), pooling="cls")
    assert student_of(tmp_path, "cls").untrained_head  # a head that was trained on the mean reads nothing else
    assert "head" in options.identity() and "head" not in other.identity()
    renewed = student_of(tmp_path, "auto", ("a", "b", "c"), new_head=True)
    assert renewed.untrained_head and logits_of(renewed).shape == (len(SENTENCES), 3)
    with pytest.raises(SettingError, match=r"was trained for 2 classes \(negative, positive\), but the data set has 3"):
        student_of(tmp_path, "auto", ("a", "b", "c"))


def test_a_pickled_head_is_refused(bare: Made, tmp_path: Path) -> None:
    student_of(bare("bert"), "mean").save(tmp_path)
    (tmp_path / "2_Dense" / "model.safetensors").rename(tmp_path / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(CodrunError, match=r"has no 2_Dense/model\.safetensors; other formats can run code"):
        reopen_student(tmp_path, BuildContext())


def test_a_plain_student_is_opened_and_a_bare_encoder_refused(bare: Made, tmp_path: Path) -> None:
    student = student_of(bare("bert"), None, max_length=7)
    student.save(tmp_path / "plain")
    opened = reopen_student(tmp_path / "plain", BuildContext())
    assert torch.equal(logits_of(opened), logits_of(student)) and opened.fingerprint == student.fingerprint
    encoder = as_sentence_encoder(bare("bert"), tmp_path / "encoder")
    for folder in (bare("bert"), encoder):
        with pytest.raises(CodrunError, match="without a trained classification head, so it is not a student"):
            reopen_student(folder, BuildContext())


def test_the_saved_weights_are_the_encoders_and_the_layers(bare: Made, tmp_path: Path) -> None:
    student_of(bare("bert"), "mean").save(tmp_path)
    assert set(load_file(tmp_path / "2_Dense" / "model.safetensors")) == {"linear.weight", "linear.bias"}
    assert not [
        name for name in load_file(tmp_path / "model.safetensors") if "pooler" in name or "encoder.encoder" in name
    ]


def test_device_map_goes_without_pooling() -> None:
    with pytest.raises(ValueError, match="`device_map` goes with the head of the model's class, not with `pooling`"):
        TeacherOptions(model="owner/name", pooling="last", device_map="auto")


def test_adapters_train_beside_the_head_and_are_merged(bare: Made, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    options = TeacherOptions.model_validate({"model": str(bare("bert")), "pooling": "mean", "lora": {"r": 2}})
    teacher = build_teacher(options, BuildContext(labels=LABELS))
    trained = {name for name, each in teacher.named_parameters() if each.requires_grad}
    assert {"model.head.weight", "model.head.bias"} < trained
    assert all("lora_" in name for name in trained - {"model.head.weight", "model.head.bias"})
    teacher.save(tmp_path)
    assert torch.allclose(logits_of(reopen_student(tmp_path, BuildContext())), logits_of(teacher), atol=1e-6)


def test_of_a_model_on_the_hub_the_modules_are_fetched_too(
    bare: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = as_sentence_encoder(bare("bert"), tmp_path / "model", pooling_mode_cls_token=True)
    fetched: list[tuple[str, ...]] = []

    def fetch(name: str, revision: str | None, *, files: tuple[str, ...] = (), **more: Any) -> Path:
        fetched.append((name, *files))
        return folder

    monkeypatch.setattr(checkpoint, "fetched_checkpoint", fetch)
    context = BuildContext(labels=LABELS)
    student = build_student(StudentOptions(model="owner/name", pooling="auto"), context)
    assert student.model.pooling == "cls"
    assert fetched == [("owner/name",), ("owner/name", "modules.json", "*/config.json", "*_Dense/model.safetensors")]
    fetched.clear()
    build_student(StudentOptions(model="owner/name"), context)
    assert fetched == [("owner/name",)]
    assert StudentOptions(model="owner/name", pooling="auto").identity()["pooling"] == "auto"


def test_a_module_that_codrun_has_not_is_no_part_of_a_classifier(bare: Made, tmp_path: Path) -> None:
    student_of(bare("bert"), "mean").save(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.insert(2, {"idx": 9, "name": "9", "path": "9_LayerNorm", "type": "sentence_transformers.models.LayerNorm"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CodrunError, match="has a LayerNorm beside its pooling and its linear layer, which codrun has"):
        reopen_student(tmp_path, BuildContext())

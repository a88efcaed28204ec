"""Data sets in files, on disk or inside an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cod_runner.api import BuildContext, LoadedData
from codrun_data.options import CsvOptions, FileOptions, JsonlOptions, PackageOptions, ParquetOptions, TsvOptions
from codrun_data.readers import Form, Table, delimited, json_objects, parquet
from codrun_data.tables import load_tables


class _OpenTable(Protocol):
    def __call__(self, path: Path) -> Table: ...


def _load(options: FileOptions, open_table: _OpenTable) -> LoadedData:
    return load_tables(options, {split: open_table(path) for split, path in options.files_by_split().items()})


def _form(options: CsvOptions | TsvOptions, delimiter: str) -> Form:
    return Form(delimiter, options.quote, options.encoding, "quote", options.header)


class Csv:
    """Component ``csv``."""

    def __init__(self, options: CsvOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        options = self.options
        return _load(options, lambda path: delimited(path, _form(options, options.delimiter)))


class Tsv:
    """Component ``tsv``."""

    def __init__(self, options: TsvOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        options = self.options
        return _load(options, lambda path: delimited(path, _form(options, "\t")))


class Jsonl:
    """Component ``jsonl``."""

    def __init__(self, options: JsonlOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        options = self.options
        may_lack = (*options.text_columns, options.label)
        return _load(options, lambda path: json_objects(path, options.encoding, may_lack))


class Parquet:
    """Component ``parquet``."""

    def __init__(self, options: ParquetOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        return _load(self.options, parquet)


class Package:
    """Component ``package`` and its presets."""

    def __init__(self, options: PackageOptions, context: BuildContext) -> None:
        self.options = options

    def load(self) -> LoadedData:
        path = self.options.packaged_file()
        match path.suffix:
            case ".csv":
                table = delimited(path, Form(",", '"', self.options.encoding))
            case ".tsv":
                table = delimited(path, Form("\t", '"', self.options.encoding))
            case ".jsonl":
                table = json_objects(path, self.options.encoding)
            case _:
                table = parquet(path)
        return load_tables(self.options, {"train": table})

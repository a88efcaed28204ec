"""Data sets from the Hugging Face hub, or from folders laid out like a hub repository, read with ``datasets``."""

from __future__ import annotations

import inspect
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from cod_runner.api import BuildContext, DataError, LoadedData, ProviderError, hub_errors
from codrun_data.fence import check_name, fenced, no_bars
from codrun_data.hub_options import HubOptions, is_local
from codrun_data.readers import Row, Table, batch_rows, column_positions, one_line
from codrun_data.tables import load_tables

SECONDS_TO_ANSWER = 5.0
"""How long the hub may take to answer the first request; downloads may take longer."""

READING_ERRORS = (
    OSError, ValueError, TypeError, RuntimeError, ImportError, EOFError, yaml.YAMLError, zipfile.BadZipFile,
    tarfile.TarError,
)  # fmt: skip
"""What ``datasets`` lets through where a card or a file is not as it should be, beside errors of its own."""


class Hub:
    """Component ``hub`` and its presets."""

    def __init__(self, options: HubOptions, context: BuildContext) -> None:
        self.options = options
        self._offline, self._tell = context.offline, context.tell

    def load(self) -> LoadedData:
        """Raises :class:`ProviderError` if the hub cannot be reached and :class:`DataError` if it does not have the
        data."""
        fetched = self._fetch()
        wanted = self.options.splits or {split: split for split in fetched}
        for ours, theirs in wanted.items():
            if theirs not in fetched:
                raise DataError(
                    f"{self.options.path}: `splits` takes `{ours}` from the split `{theirs}`, which does not exist; "
                    f"there are: {', '.join(fetched)}",
                    "splits",
                    ours,
                )
        tables = {ours: self._table(ours, fetched[theirs]) for ours, theirs in wanted.items()}
        return load_tables(self.options, tables, self._own_labels(fetched[next(iter(wanted.values()))]))

    def _table(self, split: str, data: Any) -> Table:
        name = f"{self.options.path}, split {split}"

        def read(columns: Sequence[str]) -> Iterator[Row]:
            column_positions(name, data.column_names, columns)
            batches = data.select_columns(list(dict.fromkeys(columns))).with_format("arrow").iter(10_000)
            return batch_rows(batches, columns)

        return Table(name, read)

    def _own_labels(self, data: Any) -> Sequence[str]:
        """The class names that the hub stores with the label column, if any."""
        return getattr(data.features.get(self.options.label), "names", None) or ()

    def _fetch(self) -> dict[str, Any]:
        """Every split as a ``datasets.Dataset``, from the disk cache if the hub cannot be reached."""
        import datasets
        import huggingface_hub

        options = self.options
        unreachable: str | None = None
        check_name(options.path)
        if is_local(options.path):
            if not Path(options.path).is_dir():
                raise DataError(f"{options.path}: there is no such folder", "path")
        elif self._offline or huggingface_hub.constants.HF_HUB_OFFLINE:
            unreachable = "this run is offline"
        else:
            self._tell(f"fetching the data set `{options.path}` from the hub, or reading it from its cache")
            unreachable = self._why_unreachable()
        # Versions below 4 ask whether to run a data set's script, unless they are told not to.
        asks = "trust_remote_code" in inspect.signature(datasets.load_dataset).parameters
        with fenced(offline=self._offline or unreachable is not None), no_bars():
            try:
                return dict(
                    datasets.load_dataset(
                        options.path,
                        name=options.config,
                        revision=options.revision,
                        data_files=dict(options.data_files) or None,
                        **({"trust_remote_code": False} if asks else {}),
                    )
                )
            except (*READING_ERRORS, datasets.exceptions.DatasetsError) as error:
                if unreachable is not None:
                    raise ProviderError(
                        f"the data set `{options.path}` is not available: {unreachable}, and it is not in the hub's "
                        "cache on this machine"
                    ) from error
                raise DataError(f"{options.path}: {_sentence(error)}", "path") from error

    def _why_unreachable(self) -> str | None:
        """Why the hub cannot be reached, found with one short request; None if it has the data set.

        Raises :class:`DataError` if the repository or revision does not exist or is not accessible.
        """
        from huggingface_hub import HfApi, errors

        try:
            HfApi().dataset_info(self.options.path, revision=self.options.revision, timeout=SECONDS_TO_ANSWER)
        except errors.GatedRepoError as error:
            raise DataError(
                f"the data set `{self.options.path}` is gated: ask for access on its hub page, then set HF_TOKEN",
                "path",
            ) from error
        except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
            raise DataError(
                f"the hub has no data set `{self.options.path}`, or it is private: check the name, or set HF_TOKEN",
                "path",
            ) from error
        except errors.RevisionNotFoundError as error:
            raise DataError(
                f"the hub's data set `{self.options.path}` has no revision `{self.options.revision}`",
                "revision",
            ) from error
        except hub_errors() as error:
            return f"the hub cannot be reached ({type(error).__name__}: {error})".replace("\n", " ")
        return None


def _sentence(error: Exception) -> str:
    """The first line of a library's message, and a cure if we know one."""
    text = one_line(error)
    if "scripts are no longer supported" in text:
        return f"{text}; set `revision: refs/convert/parquet`, the hub's own conversion"
    if "Config name is missing" in text or "BuilderConfig" in text:
        return f"{text}; set `config:`"
    cause = error.__cause__
    if "error occurred while generating" in text and isinstance(cause, Exception):
        return f"a file of the data set cannot be read ({one_line(cause)}); correct it, or fetch it again"
    return text

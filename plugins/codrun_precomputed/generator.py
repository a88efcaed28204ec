"""Looks an original up in a file of pairs."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from cod_runner.api import BuildContext, DataError, Proposal, Request, TeacherView
from codrun_precomputed.plugin import PrecomputedOptions


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
            columns = ", ".join(map(str, line))
            raise DataError(
                f"{self._options.path}:{row}: no text in the column `{column}`; there are: {columns}; "
                "name the right one with `original:`, `counterfactual:` or `target:`",
                option,
            )
        return value


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, columns) of each pair."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of pairs", "path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not a JSON object ({error.msg})") from None
            if not isinstance(value, dict):
                raise DataError(f"{path}:{number}: not a JSON object")
            # a run's own counterfactuals.jsonl lists failures too
            if value.get("counterfactual", "") is not None:
                yield number, value
    else:
        reader = csv.DictReader(text.splitlines(keepends=True))
        for row in reader:
            yield reader.line_num, row


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())

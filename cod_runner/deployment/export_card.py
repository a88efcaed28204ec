"""The model card of an exported student: that of the student, with how the export is used and how far it is from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cod_runner.api import ExportReport
from cod_runner.deployment.upload import CARD, EXAMPLE
from cod_runner.files import write_whole
from cod_runner.report.card.judging import DIVIDED, TO_BE_DIVIDED
from cod_runner.report.card.libraries import PLACE
from cod_runner.report.card.usage import HEADING
from cod_runner.report.text import markdown_line
from cod_runner.runs.student_record import StudentRecord

_USAGE = re.compile(rf"^{re.escape(HEADING)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
"""The section of a card that an export replaces. No text of a stranger begins a line with ``##``: it is escaped."""


def write_export_card(
    student: Path, export: Path, record: StudentRecord, report: ExportReport, kept: Sequence[str] = ()
) -> bool:
    """Write ``README.md`` into the folder ``export``, made from the student's own; False where that has none.

    ``record`` is the export's, ``kept`` are sentences on what it keeps, such as accuracy and agreement before and
    after. Raises :class:`CodrunError` where the card cannot be written.
    """
    try:
        text = (student / CARD).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    write_whole(export / CARD, exported_card(text, export, record, report, kept))
    return True


def exported_card(
    text: str, export: Path, record: StudentRecord, report: ExportReport, kept: Sequence[str] = ()
) -> str:
    """The card of an export from that of its student."""
    from huggingface_hub import ModelCard

    card = ModelCard(text, ignore_metadata_errors=True)
    form = record.exported.use if record.exported is not None else "codrun"
    card.data["library_name"] = form
    card.data["tags"] = list(dict.fromkeys([*(card.data.get("tags") or []), form]))
    section = "\n".join([*_usage(export, record), "", *_difference(report, kept)]) + "\n\n"
    own = card.text.replace(TO_BE_DIVIDED, DIVIDED)
    text, replaced = _USAGE.subn(lambda found: section, own, count=1)
    card.text = text if replaced else f"{own.rstrip()}\n\n{section}"
    return str(card)


def _usage(export: Path, record: StudentRecord) -> list[str]:
    lines = [HEADING, ""]
    if (export / EXAMPLE).is_file():
        lines += [
            f"{EXAMPLE} in this folder loads it without torch or codrun:", "",
            "```sh", f'python {EXAMPLE} "a text to classify"', "```", "", "Or with codrun:", "",
        ]  # fmt: skip
    lines += ["```sh", f'codrun predict {PLACE} "a text to classify"', "```", ""]
    lines += ["Its labels, in the order of its logits:"]
    return [*lines, "", *(f"{place}. {markdown_line(label)}" for place, label in enumerate(record.labels))]


def _difference(report: ExportReport, kept: Sequence[str]) -> list[str]:
    same = f"{report.compared - report.disagreeing:,} of {report.compared:,}"
    lines = [
        "## How far this export is from the student",
        "",
        f"- {markdown_line(report.file)}, {report.bytes / 1e6:,.1f} MB.",
        f"- Compared on {report.compared:,} inputs of many lengths and paddings: {same} get the same label, and logits "
        f"differ by {report.largest_difference:.1e} at most.",
    ]
    lines += [f"- {markdown_line(sentence)}" for sentence in kept]
    lines += [f"- {markdown_line(name)}: {markdown_line(value)}." for name, value in report.details.items()]
    return [*lines, "", "The scores below are the student's, measured before its export."]

"""Tables, figures and the page of a run; comparison of two runs. Nothing here trains or asks a model."""

from cod_runner.report.contents import Report, build_report
from cod_runner.report.write import write_reports, write_reports_again
from cod_runner.runs.records import (
    CellRow,
    QualityRow,
    RunFiles,
    RunRecord,
    current_rows,
    json_lines,
    read_rows,
    read_run,
)

__all__ = [
    "CellRow",
    "QualityRow",
    "Report",
    "RunFiles",
    "RunRecord",
    "build_report",
    "current_rows",
    "json_lines",
    "read_rows",
    "read_run",
    "write_reports",
    "write_reports_again",
]

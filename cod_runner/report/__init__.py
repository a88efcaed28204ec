"""The tables, figures and page of a run, and the comparison of two runs. Nothing here trains or calls a model."""

from cod_runner.report.contents import Report, build_report
from cod_runner.report.write import write_reports, write_reports_again

__all__ = ["Report", "build_report", "write_reports", "write_reports_again"]

"""Tables, figures and the page of a run; comparison of two runs. Nothing here trains or asks a model."""

from cod_runner.report.contents import Report, build_report
from cod_runner.report.write import write_reports, write_reports_again

__all__ = ["Report", "build_report", "write_reports", "write_reports_again"]

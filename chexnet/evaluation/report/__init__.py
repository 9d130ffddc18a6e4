"""Reports on predictions: an HTML page for people and JSON for programs. docs/report.md describes both."""

from chexnet.evaluation.report.report_builder import Report, build_report
from chexnet.evaluation.report.report_files import check_folder, format_report, write_report
from chexnet.evaluation.report.report_inputs import report_from_files

__all__ = ["Report", "build_report", "check_folder", "format_report", "report_from_files", "write_report"]

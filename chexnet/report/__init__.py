"""A report on predictions: one page for people, one JSON for programs. docs/report.md describes both."""

from chexnet.report.build import build, check_folder, format_report, write_report
from chexnet.report.contents import Report
from chexnet.report.from_files import report_on_files

__all__ = ["Report", "build", "check_folder", "format_report", "report_on_files", "write_report"]

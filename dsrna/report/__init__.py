"""Pictures and pages drawn from run folders, and from nothing else: a report can be drawn again at any time."""

from dsrna.report.page import write_report
from dsrna.report.sweep import sweep_table, write_sweep_report

__all__ = ["sweep_table", "write_report", "write_sweep_report"]

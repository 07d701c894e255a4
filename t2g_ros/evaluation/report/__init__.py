"""The page that shows what an evaluation measured: one HTML file that needs nothing else."""

from t2g_ros.evaluation.report.page import Moment, write_report

__all__ = ["Moment", "write_report"]

"""Scoring checkpoints on a list of images; `reporting` makes a report of it, which needs scikit-learn."""

from chexnet.evaluation.result import EvalResult, Member, format_comparison, format_result
from chexnet.evaluation.run import evaluate, predict_list

__all__ = ["EvalResult", "Member", "evaluate", "format_comparison", "format_result", "predict_list"]

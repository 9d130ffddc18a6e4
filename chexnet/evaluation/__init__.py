"""Scoring checkpoints on a list of images; `reporting` makes a report of it, which needs scikit-learn."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.evaluation.result import EvalResult, Member, format_comparison, format_result
from chexnet.evaluation.run import evaluate, predict_list

__all__ = ["EvalResult", "Member", "evaluate", "format_comparison", "format_result", "predict_list"]

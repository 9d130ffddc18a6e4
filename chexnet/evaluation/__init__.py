"""Score checkpoints on a list of images. `reporting` makes a report of the result, which needs scikit-learn."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.evaluation.result import EvalResult, Member, format_comparison, format_result
from chexnet.evaluation.run import evaluate

__all__ = ["EvalResult", "Member", "evaluate", "format_comparison", "format_result"]

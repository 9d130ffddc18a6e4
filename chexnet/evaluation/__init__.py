"""Score checkpoints on a list of images. `reporting` makes a report of the result, which needs scikit-learn."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.evaluation.evaluator import evaluate
from chexnet.evaluation.result import CheckpointResult, EvalResult, format_comparison, format_result

__all__ = ["CheckpointResult", "EvalResult", "evaluate", "format_comparison", "format_result"]

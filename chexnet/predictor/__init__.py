"""Image files -> the probability of each finding, where the network saw it, and what speaks against the image."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.predictor.network import Prediction, Predictor
from chexnet.predictor.run import Result, format_result, predict_files
from chexnet.predictor.sheet import check_rows, contact_sheet, finding_sheet

__all__ = [
    "Prediction",
    "Predictor",
    "Result",
    "check_rows",
    "contact_sheet",
    "finding_sheet",
    "format_result",
    "predict_files",
]

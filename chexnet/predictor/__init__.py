"""Predict findings for image files: probabilities, heat maps and image-quality warnings."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.predictor.network import Predictor
from chexnet.predictor.prediction import Prediction
from chexnet.predictor.run import Result, format_result, predict_files
from chexnet.predictor.scoring import load_for_scoring
from chexnet.predictor.sheet import check_rows, contact_sheet, finding_sheet

__all__ = [
    "Prediction",
    "Predictor",
    "Result",
    "check_rows",
    "contact_sheet",
    "finding_sheet",
    "format_result",
    "load_for_scoring",
    "predict_files",
]

"""Predict findings for image files: probabilities, heat maps and image-quality warnings."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.inference.contact_sheets import check_rows, contact_sheet, finding_sheet
from chexnet.inference.file_prediction import ImageResult, format_result, predict_files
from chexnet.inference.prediction import Prediction
from chexnet.inference.predictor import Predictor
from chexnet.inference.scoring import load_for_scoring

__all__ = [
    "ImageResult",
    "Prediction",
    "Predictor",
    "check_rows",
    "contact_sheet",
    "finding_sheet",
    "format_result",
    "load_for_scoring",
    "predict_files",
]

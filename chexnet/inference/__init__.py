"""Predict radiographs with one `Predictor`: probabilities, class activation maps, pictures."""

from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports

if TYPE_CHECKING:
    from chexnet.inference.contact_sheets import check_rows as check_rows
    from chexnet.inference.contact_sheets import contact_sheet as contact_sheet
    from chexnet.inference.contact_sheets import finding_sheet as finding_sheet
    from chexnet.inference.file_prediction import ImageResult as ImageResult
    from chexnet.inference.file_prediction import format_result as format_result
    from chexnet.inference.file_prediction import predict_files as predict_files
    from chexnet.inference.prediction import Prediction as Prediction
    from chexnet.inference.predictor import Predictor as Predictor
    from chexnet.inference.predictor import load_for_scoring as load_for_scoring
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "check_rows": "contact_sheets",
            "contact_sheet": "contact_sheets",
            "finding_sheet": "contact_sheets",
            "ImageResult": "file_prediction",
            "format_result": "file_prediction",
            "predict_files": "file_prediction",
            "Prediction": "prediction",
            "Predictor": "predictor",
            "load_for_scoring": "predictor",
        },
    )

"""The JSON objects of the API: a prediction, and the network."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from chexnet.inference import Prediction
from chexnet.inference.file_prediction import run_metadata
from chexnet.inference.thresholds import Thresholds
from chexnet.web.inference_service import InferenceService
from chexnet.web.server_config import ServerConfig

MAP_SIDE = 64
"""Longer side of a class map, in cells."""

GRAY_SIDE = 2048
"""Maximum side of the gray image, in pixels."""


def describe_model(service: InferenceService, config: ServerConfig) -> dict[str, Any]:
    """Return the object of `GET /v1/model`."""
    predictor, thresholds = service.predictor, service.thresholds
    return {
        "name": predictor.ckpt.name,
        "ckpt_sha256": predictor.ckpt_sha256,
        "notice": predictor.disclaimer,
        "classes": list(predictor.classes),
        "chosen": thresholds.chosen if thresholds else "",
        "calibrated": bool(thresholds and thresholds.calibration),
        "crops": predictor.crops,
        "engine": predictor.engine,
        "cam_max": predictor.cam_max,
        "max_bytes": config.max_bytes,
        "max_images": config.max_images,
        "header": run_metadata(predictor.ckpt.name, predictor, (None, thresholds) if thresholds else None),
    }


def describe_prediction(
    prediction: Prediction, thresholds: Thresholds | None, maps: Sequence[str] = (), gray: bool = False
) -> dict[str, Any]:
    """Return the object of one image: probabilities, findings in the order of `Prediction.ranked`, and warnings.

    Args:
        prediction: result of the image.
        thresholds: operating points for decisions, which a meaningless image does not get.
        maps: findings whose class maps are added.
        gray: whether to add the gray image as read.
    """
    if not prediction.meaningful:
        thresholds = None
    entry: dict[str, Any] = {
        "width": prediction.gray.width,
        "height": prediction.gray.height,
        "meaningful": prediction.meaningful,
        "warnings": list(prediction.warnings),
        "probabilities": {name: _rounded(prediction.probability(name)) for name in prediction.classes},
        "findings": [_describe_finding(prediction, name, thresholds) for name in prediction.ranked(thresholds)],
    }
    if maps:
        entry["maps"] = {name: _describe_map(prediction, name) for name in maps}
    if gray:
        entry["gray"] = _encoded(_png(prediction.gray))
    return entry


def _describe_finding(prediction: Prediction, name: str, thresholds: Thresholds | None) -> dict[str, Any]:
    """Return the object of one finding, with its decision if there are operating points."""
    probability = prediction.probability(name)
    place = prediction.classes.index(name)
    entry: dict[str, Any] = {"name": name, "place": place, "probability": _rounded(probability)}
    if thresholds:
        point = thresholds.points[name]
        scaling = (thresholds.calibration or {}).get(name)
        if scaling:
            entry["calibrated"] = _rounded(float(scaling.apply(probability)))
        entry |= {
            "present": point.decides(probability),
            "threshold": point.threshold,
            "sensitivity": point.sensitivity,
            "specificity": point.specificity,
        }
    return entry


def _describe_map(prediction: Prediction, name: str) -> dict[str, Any]:
    """Return the class map of one finding as opacity 0..255 of a grid over the whole image, row by row.

    It is 0 where no crop lies.
    """
    width, height = prediction.gray.size
    scale = MAP_SIDE / max(width, height)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    opacity = np.rint(255 * np.nan_to_num(prediction.heatmap(name, (rows, columns)))).astype(np.uint8)
    return {"rows": rows, "columns": columns, "opacity": _encoded(opacity.tobytes())}


def _png(gray: Image.Image) -> bytes:
    """Return a PNG of a gray image, reduced to at most GRAY_SIDE pixels per side."""
    scale = GRAY_SIDE / max(gray.size)
    if scale < 1:
        size = (max(1, round(gray.width * scale)), max(1, round(gray.height * scale)))
        gray = gray.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    gray.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _rounded(probability: float) -> float:
    """Return the shortest decimal that is the same float32."""
    return float(str(np.float32(probability)))

"""Metadata of a whole-image graph: all that a program needs to show its results, in the ONNX file itself."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import PIL

import chexnet
from chexnet import device
from chexnet.config.crops import format_crops
from chexnet.data.images import MAX_PIXELS, MAX_RATIO, MIN_SIDE
from chexnet.inference import graph_export

if TYPE_CHECKING:
    from chexnet.inference import Predictor
    from chexnet.inference.thresholds import Thresholds

SCHEMA = 1
"""Version of the layout, to be increased when a meaning changes."""

LICENSE = "Apache-2.0"
"""License of the graph."""


def describe(predictor: "Predictor", thresholds: "Thresholds | None") -> dict[str, Any]:
    """Return the facts about the checkpoint, the preprocessing and the decisions, name -> value for JSON."""
    sizes = predictor.preprocessing
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "classes": list(predictor.classes),
        "disclaimer": predictor.disclaimer,
        "preprocessing": "inside the graph: the shorter side becomes `resize` pixels with Pillow's antialiased "
        f"bilinear filter; {format_crops(predictor.crops)} of `crop` pixels; normalization; network; sigmoid; mean",
        "resize": sizes.resize,
        "crop": sizes.crop,
        "crops": predictor.crops,
        "normalization": sizes.scaling,
        "sample_bits": sizes.sample_bits,
        "limits": {"max_pixels": MAX_PIXELS, "min_side": MIN_SIDE, "max_ratio": MAX_RATIO},
        "backbone": predictor.network.backbone_name,
        "ckpt": predictor.ckpt.name,
        "ckpt_sha256": predictor.ckpt_sha256,
        "license": LICENSE,
        "weights_license": str(predictor.metadata.get("license", "")),
        "opset": graph_export.ONNX_OPSET,
        "chexnet": chexnet.__version__,
        "paddle": device.paddle_version(),
        "pillow": PIL.__version__,
    }
    if predictor.network.supports_cam:
        facts |= {"bias": [float(value) for value in predictor.network.bias()], "cam_max": predictor.cam_max}
    if thresholds:
        facts["thresholds"] = {name: asdict(point) for name, point in thresholds.points.items()}
        facts |= {"thresholds_chosen": thresholds.chosen, "thresholds_crops": thresholds.crops}
        if thresholds.calibration:
            facts["calibration"] = {name: asdict(scaling) for name, scaling in thresholds.calibration.items()}
            facts["calibration_list"] = thresholds.validation_list
    return facts


def to_properties(facts: dict[str, Any]) -> dict[str, str]:
    """Return facts as ONNX has them: text stays as it is, anything else becomes JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts.items()
        if value is not None
    }

"""Cases: the class map of one finding in one image, compared with the ground-truth boxes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from chexnet.evaluation.localization import boxes

SAMPLE_SIDE = 512
"""Maximum length of a sample's longer side, in pixels."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Case:
    """Agreement of a finding's map with its ground-truth boxes. All coordinates are in pixels of the original image.

    If a finding has several ground-truth boxes, matching one is enough, because a map has one maximum. Zhang et al.,
    Top-down Neural Attention by Excitation Backprop, IJCV 2018, section 4.1, count the pointing game in the same way.

    Attributes:
        image: file name.
        finding: one of the network's classes.
        probability: predicted probability of the finding.
        ground_truth: the ground-truth boxes, x y w h.
        peak: x and y of the map's maximum.
        predicted: the predicted box, x y w h; None if the map is nowhere above 0.
        pointing: True if the maximum lies in a ground-truth box, with a tolerance of 0 pixels.
        iobb: highest IoBB of the predicted box with a ground-truth box; 0 without a predicted box.
        iou: highest IoU of the predicted box with a ground-truth box; 0 without a predicted box.
    """

    image: str
    finding: str
    probability: float
    ground_truth: tuple[Box, ...]
    peak: tuple[float, float]
    predicted: Box | None
    pointing: bool
    iobb: float
    iou: float

    def to_dict(self) -> dict[str, Any]:
        """Return the case, ready for JSON."""
        return {
            "image": self.image,
            "finding": self.finding,
            "probability": self.probability,
            "drawn": self.ground_truth,
            "peak": self.peak,
            "found": self.predicted,
            "pointing": self.pointing,
            "iobb": self.iobb,
            "iou": self.iou,
        }


@dataclass(frozen=True)
class Sample:
    """A case with its image and its map, both reduced.

    Attributes:
        case: the case.
        size: height and width of the original image.
        gray: the reduced image, uint8 [h, w].
        values: the reduced map in logits, float32 [h, w]; NaN where no crop covers the image.
    """

    case: Case
    size: tuple[int, int]
    gray: np.ndarray
    values: np.ndarray


def make_case(image: str, finding: str, probability: float, values: np.ndarray, ground_truth: np.ndarray) -> Case:
    """Compare a map float32 [H, W] with ground-truth boxes float64 [K, 4], both in pixels of the original image."""
    peak = boxes.peak_location(values)
    predicted = boxes.predicted_box(values)
    return Case(
        image=image,
        finding=finding,
        probability=probability,
        ground_truth=tuple(_box(box) for box in ground_truth),
        peak=peak,
        predicted=None if predicted is None else _box(predicted),
        pointing=bool(boxes.contains(ground_truth, peak).any()),
        iobb=0.0 if predicted is None else float(boxes.iobb(predicted[None], ground_truth).max()),
        iou=0.0 if predicted is None else float(boxes.iou(predicted[None], ground_truth).max()),
    )


def make_sample(case: Case, gray: Image.Image, values: np.ndarray) -> Sample:
    """Reduce the image and the map [H, W] of a case, so that many can be kept in memory."""
    step = -(-max(gray.size) // SAMPLE_SIDE)
    return Sample(case, (gray.height, gray.width), np.asarray(gray.reduce(step)), values[::step, ::step].copy())


def _box(values: np.ndarray) -> Box:
    x, y, w, h = values.tolist()
    return x, y, w, h

"""Cases: the class map of one finding in one image, compared with the ground-truth boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from chexnet.evaluation.localization import boxes
from chexnet.evaluation.localization.boxes import Box

SAMPLE_SIDE = 512
"""Maximum length of a sample's longer side, in pixels."""


@dataclass(frozen=True)
class MaskScores:
    """Agreement of a finding's map with polygons, rasterized in pixels of the original image.

    If a finding has several polygons, matching one is enough, as for boxes.

    Attributes:
        pointing: True if the pixel of the map's maximum is in a polygon.
        iobb: highest fraction of the pixels of `boxes.peak_component` that are in a polygon; 0 without such pixels.
        iou: highest IoU of these pixels with those of a polygon; 0 without such pixels.
    """

    pointing: bool
    iobb: float
    iou: float


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
        mask: agreement with the polygons of the finding; None if it has none.
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
    mask: MaskScores | None = None

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
            **({"mask": asdict(self.mask)} if self.mask else {}),
        }


@dataclass(frozen=True)
class Sample:
    """A case with its image and its map, both reduced.

    Attributes:
        case: the case.
        size: height and width of the original image.
        gray: the reduced image, uint8 [h, w].
        values: the reduced map in logits, float32 [h, w]; NaN where no crop covers the image.
        polygons: ground-truth polygons in pixels of the original image, float64 [points, 2] each.
    """

    case: Case
    size: tuple[int, int]
    gray: np.ndarray
    values: np.ndarray
    polygons: tuple[np.ndarray, ...] = ()


def make_case(
    image: str,
    finding: str,
    probability: float,
    values: np.ndarray,
    ground_truth: np.ndarray,
    polygons: Sequence[np.ndarray] = (),
) -> Case:
    """Compare a map with ground-truth boxes and polygons, all in pixels of the original image.

    Args:
        image: file name.
        finding: one of the network's classes.
        probability: predicted probability of the finding.
        values: map, float32 [H, W].
        ground_truth: boxes, float64 [K, 4].
        polygons: float64 [points, 2] each; empty if there are none.
    """
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
        mask=_score_masks(values, peak, polygons) if polygons else None,
    )


def make_sample(case: Case, gray: Image.Image, values: np.ndarray, polygons: Sequence[np.ndarray] = ()) -> Sample:
    """Reduce the image and the map [H, W] of a case, so that many can be kept in memory."""
    step = -(-max(gray.size) // SAMPLE_SIDE)
    reduced = values[::step, ::step].copy()
    return Sample(case, (gray.height, gray.width), np.asarray(gray.reduce(step)), reduced, tuple(polygons))


def _score_masks(values: np.ndarray, peak: tuple[float, float], polygons: Sequence[np.ndarray]) -> MaskScores:
    predicted = boxes.peak_component(values)
    pixels = int(predicted.sum())
    x, y = (int(value) for value in peak)
    pointing, iobb, iou = False, 0.0, 0.0
    for polygon in polygons:
        mask = boxes.polygon_mask(polygon, *values.shape)
        pointing |= bool(mask[y, x])
        if pixels:
            common = int((mask & predicted).sum())
            iobb = max(iobb, common / pixels)
            iou = max(iou, common / (pixels + int(mask.sum()) - common))
    return MaskScores(pointing, iobb, iou)


def _box(values: np.ndarray) -> Box:
    x, y, w, h = values.tolist()
    return x, y, w, h

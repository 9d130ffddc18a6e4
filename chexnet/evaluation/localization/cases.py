"""One image and one finding: the class map beside the drawn boxes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from chexnet.evaluation.localization import boxes

SAMPLE_SIDE = 512
"""Pixels at most of a sample's longer side."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Case:
    """How the map of a finding agrees with its drawn boxes. All places are in pixels of the original image.

    Where several boxes are drawn of one finding, one of them is enough: a map has one maximum (Zhang et al.,
    Top-down Neural Attention by Excitation Backprop, IJCV 2018, section 4.1, count the pointing game like that).

    Attributes:
        image: file name.
        finding: one of the network's classes.
        probability: what the network says of it.
        drawn: the boxes, x y w h.
        peak: x and y of the map's maximum.
        found: the found box, if there is one.
        pointing: whether the maximum lies in a drawn box, with a tolerance of 0 pixels.
        iobb: of the found box with the drawn one that it agrees with best; 0 if there is no found box.
        iou: likewise.
    """

    image: str
    finding: str
    probability: float
    drawn: tuple[Box, ...]
    peak: tuple[float, float]
    found: Box | None
    pointing: bool
    iobb: float
    iou: float

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return asdict(self)


@dataclass(frozen=True)
class Sample:
    """A case with its picture.

    Attributes:
        case: the case.
        size: height and width of the original image.
        gray: uint8 [h, w], the image, made smaller.
        values: float32 [h, w], the map in logit units, made smaller; NaN where no crop looked.
    """

    case: Case
    size: tuple[int, int]
    gray: np.ndarray
    values: np.ndarray


def compare(image: str, finding: str, probability: float, values: np.ndarray, drawn: np.ndarray) -> Case:
    """The case of a map float32 [H, W] and the drawn boxes float64 [K, 4], both in pixels of the original image."""
    peak = boxes.peak_location(values)
    found = boxes.predicted_box(values)
    return Case(
        image=image,
        finding=finding,
        probability=probability,
        drawn=tuple(_box(one) for one in drawn),
        peak=peak,
        found=None if found is None else _box(found),
        pointing=bool(boxes.contains(drawn, peak).any()),
        iobb=0.0 if found is None else float(boxes.iobb(found[None], drawn).max()),
        iou=0.0 if found is None else float(boxes.iou(found[None], drawn).max()),
    )


def sample(case: Case, gray: Image.Image, values: np.ndarray) -> Sample:
    """The case with its image and its map [H, W], small enough to keep."""
    step = -(-max(gray.size) // SAMPLE_SIDE)
    return Sample(case, (gray.height, gray.width), np.asarray(gray.reduce(step)), values[::step, ::step].copy())


def _box(values: np.ndarray) -> Box:
    x, y, w, h = values.tolist()
    return x, y, w, h

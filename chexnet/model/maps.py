"""Class maps as a person sees them: as large as the crop, on one scale of brightness."""

import numpy as np
from PIL import Image

from chexnet.backbones import Grid

DISPLAY_LIMIT = 10.0
"""Logit units that are shown at full strength, where the JSON beside a checkpoint does not say otherwise. A tenth of
an image with this value adds 1 to the logit: it makes the odds of the finding nearly three times higher by itself."""


def for_display(values: np.ndarray, bias: float, limit: float = DISPLAY_LIMIT) -> np.ndarray:
    """A class map as brightness, on one scale for all findings and images.

    0 is a place that speaks against the finding or is undecided: of a whole image of such places the network
    would say at most 50 %. 1 is the limit or more. So the same value always looks the same, an absent finding
    stays dark, and so does a constant map below 0: nothing is stretched to the map's own extremes.

    Args:
        values: float32, any shape, as `chexnet.cam.to_image` or `CheXNet.class_maps` give them.
        bias: of the finding, out of `CheXNet.bias`.
        limit: see `chexnet.cam.display_limit`.

    Returns:
        float32 of the same shape in 0..1; NaN stays NaN: that was not looked at.
    """
    return np.clip((values + np.float32(bias)) / np.float32(limit), 0, 1)


def enlarged(values: np.ndarray, side: int, grid: Grid) -> np.ndarray:
    """[n, n] -> [side, side], flat from the centres of the outermost places on.

    Mirrored at these centres, the map has no slope there: a cubic would rise beyond them otherwise, to a maximum at the
    very edge.
    """
    count = len(values)
    stride, first = grid
    if count == 1:
        return np.full((side, side), values[0, 0], np.float32)
    image = Image.fromarray(np.pad(values.astype(np.float32), 2, mode="reflect"))
    pixels = np.asarray(image.resize(((count + 4) * stride,) * 2, Image.Resampling.BICUBIC))
    half = stride // 2
    between = slice(2 * stride + half, (count + 2) * stride - half)
    rest = side - first - (count - 1) * stride
    return np.pad(pixels[between, between], (first, rest), mode="edge")

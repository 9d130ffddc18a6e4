"""Class activation maps for display: upsampled to the crop, with one opacity scale for all findings and images."""

import numpy as np
from PIL import Image

from chexnet.model.backbones import FeatureGrid

DISPLAY_LIMIT = 10.0
"""Logit shown at full opacity, unless the checkpoint's metadata has another value.

If a tenth of an image has this value, it adds 1 to the logit. This multiplies the odds of the finding by e.
"""


def to_opacity(values: np.ndarray, bias: float, limit: float = DISPLAY_LIMIT) -> np.ndarray:
    """Map values of a class activation map to opacity in 0..1, on one scale for all findings and images.

    0 is evidence against the finding, or none: an image with this value everywhere has a probability of at most 50 %.
    1 is the limit or more. So equal values always look equal. No map is stretched to its own extremes, so an absent
    finding stays transparent, and so does a constant map below 0.

    Args:
        values: float32, any shape, as `chexnet.inference.cam.upsample_to_image` or `CheXNet.predict_cam` return them.
        bias: the finding's entry of `CheXNet.bias`.
        limit: see `chexnet.inference.cam.heatmap_range`.

    Returns:
        float32 of the same shape in 0..1. NaN, where no crop lies, stays NaN.

    Example:
        >>> to_opacity(np.float32([-4, 1, 6, 99]), bias=-1).tolist()
        [0.0, 0.0, 0.5, 1.0]
    """
    return np.clip((values + np.float32(bias)) / np.float32(limit), 0, 1)


def upsample(values: np.ndarray, size: tuple[int, int], grid: FeatureGrid) -> np.ndarray:
    """Upsample a map bicubically: [h, w] -> [H, W], constant beyond the centers of its border cells.

    The map is mirrored at these centers, so that it has no slope there. Otherwise the cubic kernel would overshoot and
    put a maximum at the very edge.
    """
    stride, offset = grid
    axes = (_mirrored_indices(count) for count in values.shape)
    image = Image.fromarray(values[np.ix_(*axes)].astype(np.float32))
    pixels = np.asarray(image.resize((image.width * stride, image.height * stride), Image.Resampling.BICUBIC))
    half = stride // 2
    rows, columns = (
        2 * stride + half + np.clip(np.arange(length) - offset, 0, max(0, count * stride - 2 * half - 1))
        for length, count in zip(size, values.shape, strict=True)
    )
    return pixels[np.ix_(rows, columns)]


def _mirrored_indices(count: int) -> np.ndarray:
    """Return the indices of `count` cells with two more on each side, mirrored at the border cells' centers."""
    return np.pad(np.arange(count), 2, mode="reflect" if count > 1 else "edge")

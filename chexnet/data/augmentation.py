"""Augmentations: a resized image and random numbers -> one training crop, all on uint8.

Each is a function `(resized, crop, u)`: the resized image, gray uint8 [h, w], the side of the crop in pixels, and
N_RANDOM random numbers in [0, 1). It returns uint8 [crop, crop]. `flipped` is applied after it.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from PIL import Image

from chexnet.config import AUGMENTATIONS

MIN_AREA = 0.5
"""Smallest part of the image's area that `resized_crop` and `affine` show."""

MAX_STRETCH = 4 / 3
"""Largest ratio of width to height, or height to width, of that part."""

MAX_DEGREES = 10.0
"""Largest rotation of `affine`."""

MAX_CHANGE = 0.1
"""Largest relative change of brightness and of contrast of `affine`."""

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""

CropFunction = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


def reference(resized: np.ndarray, crop: int, u: np.ndarray) -> np.ndarray:
    """Return a random crop, a view of the image, as the reference code (arnoweng/CheXNet) does.

    The first two numbers select top and left, uniformly over all positions.
    """
    height, width = resized.shape
    top, left = int(u[0] * (height - crop + 1)), int(u[1] * (width - crop + 1))
    return resized[top : top + crop, left : left + crop]


def resized_crop(resized: np.ndarray, crop: int, u: np.ndarray) -> np.ndarray:
    """Return a part of half to all of the image's area, resized to the crop with PIL's bilinear filter.

    Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 6, and torchvision's RandomResizedCrop, with
    MIN_AREA instead of 0.08.
    """
    left, top, width, height = _random_box(resized.shape, u)
    box = (left, top, left + width, top + height)
    return np.asarray(Image.fromarray(resized).resize((crop, crop), Image.Resampling.BILINEAR, box=box))


def affine(resized: np.ndarray, crop: int, u: np.ndarray) -> np.ndarray:
    """Return a part of the image as `resized_crop` does, rotated by up to MAX_DEGREES around its center.

    Brightness and contrast change by up to MAX_CHANGE. What lies outside of the image is black.
    """
    left, top, width, height = _random_box(resized.shape, u)
    angle = math.radians(MAX_DEGREES * (2 * u[4] - 1))
    a, b = math.cos(angle) * width / crop, -math.sin(angle) * height / crop
    c, d = math.sin(angle) * width / crop, math.cos(angle) * height / crop
    # Pillow maps each pixel (x, y) of the result to (a x + b y + x0, c x + d y + y0) of the image.
    x0 = left + width / 2 - (a + b) * crop / 2
    y0 = top + height / 2 - (c + d) * crop / 2
    turned = Image.fromarray(resized).transform(
        (crop, crop), Image.Transform.AFFINE, (a, b, x0, c, d, y0), Image.Resampling.BILINEAR
    )
    brightness, contrast = (1 + MAX_CHANGE * (2 * value - 1) for value in u[5:7])
    values = np.asarray(turned)
    mean = float(values.mean())
    levels = brightness * (mean + contrast * (np.arange(256) - mean))
    return np.take(np.clip(levels + 0.5, 0, 255).astype(np.uint8), values)


CROP_FUNCTIONS: Mapping[str, CropFunction] = dict(zip(AUGMENTATIONS, (reference, resized_crop, affine), strict=True))
"""Each of `chexnet.config.AUGMENTATIONS` -> its function."""

N_RANDOM = {"reference": 3, "resized_crop": 5, "affine": 8}
"""Random numbers per image; the last one decides on the flip."""


def augment(name: str, resized: np.ndarray, crop: int, u: np.ndarray, flip: bool = True) -> np.ndarray:
    """Return one training crop: uint8 [h, w] -> uint8 [1, crop, crop].

    Args:
        name: one of `chexnet.config.AUGMENTATIONS`.
        resized: the resized image.
        crop: side of the crop in pixels.
        u: random numbers in [0, 1), N_RANDOM[name] of them.
        flip: flip the crop left to right if the last number is below 0.5.

    Example:
        >>> augment("resized_crop", np.zeros((256, 320), np.uint8), 224, np.full(5, 0.5)).shape
        (1, 224, 224)
    """
    values = CROP_FUNCTIONS[name](resized, crop, u)
    return (values[:, ::-1] if flip and u[-1] < 0.5 else values)[None]


@lru_cache(maxsize=4)
def augmentation_params(seed: int, epoch: int, count: int, n_random: int = 3) -> np.ndarray:
    """Return the random numbers in [0, 1) of the images of an epoch, read-only float64 [count, n_random].

    Row i belongs to image i and does not depend on `count`.
    """
    u = np.random.default_rng((seed, epoch)).random((count, n_random))
    u.flags.writeable = False
    return u


def _random_box(shape: tuple[int, ...], u: np.ndarray) -> Box:
    """Return a part of an image of height and width `shape` that is inside it, from four random numbers.

    Its area is uniform from MIN_AREA to 1, and the logarithm of its ratio of sides is uniform within MAX_STRETCH and
    what fits into the image. If nothing fits, the part is cut off at the border.
    """
    height, width = shape
    area = MIN_AREA + (1 - MIN_AREA) * u[0]
    low = math.log(max(1 / MAX_STRETCH, area * width / height))
    high = math.log(min(MAX_STRETCH, width / (height * area)))
    ratio = math.exp(low + (high - low) * u[1])
    pixels = area * width * height
    w, h = min(width, math.sqrt(pixels * ratio)), min(height, math.sqrt(pixels / ratio))
    return u[2] * (width - w), u[3] * (height - h), w, h

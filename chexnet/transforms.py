"""The way from a gray image to what the network sees: resize, crop, flip, all on uint8.

Named once here and used by training, evaluation and every other reader of images. Normalisation with
MEAN and STD happens on the device, in `chexnet.model`.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from chexnet.errors import InputError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel statistics for pixels in 0..1, as the reference code uses them on radiographs."""

MAX_RESIZE = 4096
"""Larger than any radiograph needs, small enough not to exhaust memory on a mistyped size."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, then crop a square; the sizes belong to the weights trained with them.

    The defaults are those of the reference code (arnoweng/CheXNet): Resize(256), crop 224. The paper
    resizes to 224 directly; we follow the code.

    Args:
        resize: length of the shorter side after resizing, in pixels.
        crop: side of the square crop, in pixels, at most `resize`.

    Raises:
        InputError: `resize` is above MAX_RESIZE, or `crop` is not within 1..resize.
    """

    resize: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        if self.resize > MAX_RESIZE:
            raise InputError(f"resize {self.resize} is above {MAX_RESIZE} pixels")
        if not 1 <= self.crop <= self.resize:
            raise InputError(f"crop {self.crop} is not within 1..{self.resize}, the size after resizing")

    def resized(self, gray: np.ndarray) -> np.ndarray:
        """uint8 [H, W] -> uint8 [h, w] with min(h, w) = resize, antialiased bilinear as PIL does it."""
        height, width = gray.shape
        shorter = min(height, width)
        if shorter == self.resize:
            return gray
        size = (width * self.resize // shorter, height * self.resize // shorter)
        return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR))

    def train_crop(self, resized: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One crop at a uniformly random place, mirrored left to right half of the time.

        uint8 [h, w] -> uint8 [1, crop, crop].
        """
        height, width = resized.shape
        top = rng.integers(height - self.crop + 1)
        left = rng.integers(width - self.crop + 1)
        crop = self._at(resized, top, left)
        return (crop[:, ::-1] if rng.random() < 0.5 else crop)[None]

    def center_crop(self, resized: np.ndarray) -> np.ndarray:
        """The crop in the middle: uint8 [h, w] -> uint8 [1, crop, crop]."""
        height, width = resized.shape
        return self._at(resized, *five_corners(height, width, self.crop)[-1])[None]

    def ten_crop(self, resized: np.ndarray) -> np.ndarray:
        """Four corners and the centre, then the same five of the image mirrored left to right.

        uint8 [h, w] -> uint8 [10, 1, crop, crop].
        """
        height, width = resized.shape
        corners = five_corners(height, width, self.crop)
        return np.stack([self._at(image, *corner)[None] for image in (resized, resized[:, ::-1]) for corner in corners])

    def _at(self, resized: np.ndarray, top: int, left: int) -> np.ndarray:
        return resized[top : top + self.crop, left : left + self.crop]


def five_corners(height: int, width: int, crop: int) -> list[tuple[int, int]]:
    """(top, left) of five square crops of an image, in torchvision's order.

    Top left, top right, bottom left, bottom right, centre; all in pixels of the image.
    """
    bottom, right = height - crop, width - crop
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]

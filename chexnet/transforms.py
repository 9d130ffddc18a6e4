"""The way from a gray image to what the network sees: resize, crop, flip, all on uint8.

Named once here and used by training, evaluation and every other reader of images. Normalisation with
MEAN and STD happens on the device, in `chexnet.model`.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from chexnet.errors import InputError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel statistics for pixels in 0..1, as the reference code uses them on radiographs."""

MAX_RESIZE = 4096
"""Larger than any radiograph needs, small enough not to exhaust memory on a mistyped size."""

RESIZE_VERSION = 1
"""To be raised by whoever changes a pixel that `images.read` or `Preprocessing.resized` gives for any file:
image caches of another version are refused."""


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

    def resized(self, gray: np.ndarray | Image.Image) -> np.ndarray:
        """uint8 [H, W] -> uint8 [h, w] with min(h, w) = resize, antialiased bilinear as PIL does it.

        Takes a PIL image of mode L as well.
        """
        image = gray if isinstance(gray, Image.Image) else Image.fromarray(gray)
        shorter = min(image.size)
        if shorter == self.resize:
            return np.asarray(gray)
        size = (image.width * self.resize // shorter, image.height * self.resize // shorter)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR))

    def fingerprint(self) -> int:
        """CRC-32 of a fixed pattern, resized: differs where this Pillow gives other pixels than another one."""
        pattern = np.arange(509 * 521, dtype=np.uint32) * np.uint32(2654435761) >> 24
        return zlib.crc32(self.resized(pattern.astype(np.uint8).reshape(509, 521)).tobytes())

    def train_crop(self, resized: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """One crop at the place that `draw` chooses: uint8 [h, w] -> uint8 [1, crop, crop], a view.

        Args:
            resized: the image.
            draw: three numbers in [0, 1). Two choose top and left, all places being equally likely; the crop is
                mirrored left to right where the third is below 0.5.
        """
        height, width = resized.shape
        crop = self._at(resized, int(draw[0] * (height - self.crop + 1)), int(draw[1] * (width - self.crop + 1)))
        return (crop[:, ::-1] if draw[2] < 0.5 else crop)[None]

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

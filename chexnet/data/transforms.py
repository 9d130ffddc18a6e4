"""Preprocessing of gray images: resize, crop and flip, all on uint8.

Training, evaluation, prediction and export all use this module. The network itself normalizes the pixels, on the
device.
"""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from chexnet.config import MAX_SAMPLE_BITS, MIN_SAMPLE_BITS, NORMALIZATIONS
from chexnet.config.crops import DENSE, Crops
from chexnet.errors import InputError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel statistics for pixels in 0..1, which the reference code also uses for radiographs."""

MEAN_AND_STD = dict(zip(NORMALIZATIONS, ((MEAN, STD), ((0.5,) * 3, (0.5,) * 3), ((0.0,) * 3, (1.0,) * 3)), strict=True))
"""Mean and standard deviation per channel, for pixels in 0..1, of each of NORMALIZATIONS."""

MAX_RESIZE = 4096
"""Upper limit in pixels: larger than any radiograph needs, small enough that a mistyped size does not fill memory."""

RESIZE_VERSION = 4
"""Version of the pixels. Increase it with every change of a pixel that `images.read` or `Preprocessing.resize_image`
returns for any file: image caches of another version are refused."""


@dataclass(frozen=True)
class Preprocessing:
    """Image sizes and pixel normalization, which are part of the weights trained with them.

    The defaults are those of the reference code (arnoweng/CheXNet): resize to 256, crop 224. The paper resizes to 224
    directly; we follow the code.

    Args:
        resize: length of the shorter side after resizing, in pixels.
        crop: side of the square crop, in pixels, at most `resize`.
        scaling: pixel normalization, one of `chexnet.config.NORMALIZATIONS`; `CheXNet` applies it.
        sample_bits: bits per sample that are used in image files that declare more, 8 to 16; see
            `chexnet.data.images.read`.

    Raises:
        InputError: `resize` is above MAX_RESIZE, `crop` is not within 1..resize, `sample_bits` not within 8..16, or
            `scaling` is unknown.

    Example:
        >>> preprocessing = Preprocessing(resize=256, crop=224)
        >>> resized = preprocessing.resize_image(np.zeros((512, 640), np.uint8))
        >>> resized.shape, preprocessing.center_crop(resized).shape, preprocessing.ten_crop(resized).shape
        ((256, 320), (1, 224, 224), (10, 1, 224, 224))
    """

    resize: int = 256
    crop: int = 224
    scaling: str = NORMALIZATIONS[0]
    sample_bits: int = MAX_SAMPLE_BITS

    def __post_init__(self) -> None:
        if self.resize > MAX_RESIZE:
            raise InputError(f"resize {self.resize} is above {MAX_RESIZE} pixels")
        if not 1 <= self.crop <= self.resize:
            raise InputError(f"crop {self.crop} is not within 1..{self.resize}, the size after resizing")
        if self.scaling not in NORMALIZATIONS:
            raise InputError(f"normalization is {self.scaling!r}, expected {' or '.join(NORMALIZATIONS)}")
        if not MIN_SAMPLE_BITS <= self.sample_bits <= MAX_SAMPLE_BITS:
            raise InputError(f"sample_bits {self.sample_bits} is not within {MIN_SAMPLE_BITS}..{MAX_SAMPLE_BITS}")

    @property
    def description(self) -> str:
        """The sizes, and the bits per sample if not the default, as text for users."""
        bits = f", samples of {self.sample_bits} bits" if self.sample_bits != MAX_SAMPLE_BITS else ""
        return f"{self.crop} px from {self.resize} px{bits}"

    def resize_image(self, gray: np.ndarray | Image.Image) -> np.ndarray:
        """Resize an image, uint8 [H, W] or PIL mode L, to uint8 [h, w] with min(h, w) = resize.

        Interpolation is PIL's bilinear, with antialiasing, along the rows and then along the columns. A single call of
        Pillow 13 may take the other order for tall images, whose rounding differs.
        """
        image = gray if isinstance(gray, Image.Image) else Image.fromarray(gray)
        if min(image.size) == self.resize:
            return np.asarray(gray)
        height, width = self._resized_size(image.height, image.width)
        rows = image.resize((width, image.height), Image.Resampling.BILINEAR)
        return np.asarray(rows.resize((width, height), Image.Resampling.BILINEAR))

    def resize_checksum(self) -> int:
        """Return the CRC-32 of a resized test pattern, which differs between Pillow builds that resize differently."""
        pattern = np.arange(509 * 521, dtype=np.uint32) * np.uint32(2654435761) >> 24
        return zlib.crc32(self.resize_image(pattern.astype(np.uint8).reshape(509, 521)).tobytes())

    def center_crop(self, resized: np.ndarray) -> np.ndarray:
        """Return the center crop: uint8 [h, w] -> uint8 [1, crop, crop]."""
        return self._crop_geometry(resized.shape, resized.shape, crops=1).extract(resized)[0]

    def ten_crop(self, resized: np.ndarray) -> np.ndarray:
        """Return ten crops: four corners and the center, then the same five of the image flipped left to right.

        uint8 [h, w] -> uint8 [10, 1, crop, crop].
        """
        return self._crop_geometry(resized.shape, resized.shape, crops=10).extract(resized)

    def mirror_pair(self, resized: np.ndarray) -> np.ndarray:
        """Return the whole image and its mirror image, for dense evaluation: uint8 [h, w] -> uint8 [2, 1, h, w]."""
        return self._crop_geometry(resized.shape, resized.shape, crops=DENSE).extract(resized)

    def geometry(self, height: int, width: int, crops: Crops) -> "CropGeometry":
        """Return the positions of the crops of an image.

        Args:
            height: height of the image before resizing, pixels.
            width: width of the image before resizing, pixels.
            crops: 10 for `ten_crop`, 1 for `center_crop`, `dense` for `mirror_pair`.

        Example:
            >>> Preprocessing(resize=256, crop=224).geometry(1024, 2048, crops=1).crops
            (Crop(top=16, left=144, flipped=False),)
        """
        return self._crop_geometry((height, width), self._resized_size(height, width), crops)

    def _crop_geometry(self, original: tuple[int, ...], resized: tuple[int, ...], crops: Crops) -> "CropGeometry":
        height, width = resized
        whole = (original[0], original[1]), (height, width)
        if crops == DENSE:
            return CropGeometry(*whole, (height, width), (Crop(0, 0, False), Crop(0, 0, True)))
        offsets = five_crop_offsets(height, width, self.crop)
        # A crop of the flipped image, at `left` there, starts at `width - crop - left` in the image itself.
        flipped = [Crop(top, width - self.crop - left, True) for top, left in offsets]
        ten = (*(Crop(top, left, False) for top, left in offsets), *flipped)
        return CropGeometry(*whole, (self.crop, self.crop), ten if crops == 10 else ten[4:5])

    def _resized_size(self, height: int, width: int) -> tuple[int, int]:
        shorter = min(height, width)
        return height * self.resize // shorter, width * self.resize // shorter


class Crop(NamedTuple):
    """A crop: its upper left corner in the resized image, and whether it is flipped left to right."""

    top: int
    left: int
    flipped: bool


@dataclass(frozen=True)
class CropGeometry:
    """The positions of the crops of an image, to extract them and to map per-pixel values back.

    Attributes:
        original: height and width of the image, pixels.
        resized: height and width after resizing, pixels.
        size: height and width of every crop, pixels of the resized image.
        crops: the crops in the order of `Preprocessing.ten_crop`, only the center crop, or those of
            `Preprocessing.mirror_pair`, which are the whole image.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    size: tuple[int, int]
    crops: tuple[Crop, ...]

    def extract(self, resized: np.ndarray) -> np.ndarray:
        """Return the crops of the resized image: [h, w] -> [K, 1, height, width]."""
        return np.stack([_maybe_flip(self._window(resized, crop), crop)[None] for crop in self.crops])

    def stitch(self, values: np.ndarray) -> np.ndarray:
        """Map per-pixel values of the crops to the original image.

        Values of flipped crops are flipped back and overlapping crops are averaged. The result is resized to the
        original size with bilinear interpolation.

        Args:
            values: float32 [K, *size], in the order of the crops.

        Returns:
            float32 [height, width] of the original, NaN where there is no crop.
        """
        total = np.zeros(self.resized, np.float32)
        coverage = np.zeros(self.resized, np.float32)
        for crop, value in zip(self.crops, values, strict=True):
            self._window(total, crop)[...] += _maybe_flip(value, crop)
            self._window(coverage, crop)[...] += 1
        mean = total / np.maximum(coverage, 1)
        if coverage.all():
            return self._to_original(mean)
        # Dividing by the interpolated mask leaves the pixels without a crop out of the interpolation.
        covered = np.minimum(coverage, 1)
        inside = covered[np.ix_(*map(_nearest, self.resized, self.original))] > 0
        weight = np.where(inside, self._to_original(covered), np.float32(np.nan))
        return self._to_original(mean) / weight

    def _window(self, resized: np.ndarray, crop: Crop) -> np.ndarray:
        height, width = self.size
        return resized[crop.top : crop.top + height, crop.left : crop.left + width]

    def _to_original(self, values: np.ndarray) -> np.ndarray:
        height, width = self.original
        return np.array(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def _nearest(length: int, new_length: int) -> np.ndarray:
    """Return the pixel that contains the center of each pixel after resizing; Pillow adds up the step, which drifts."""
    return (2 * np.arange(new_length) + 1) * length // (2 * new_length)


def _maybe_flip(values: np.ndarray, crop: Crop) -> np.ndarray:
    return values[:, ::-1] if crop.flipped else values


def five_crop_offsets(height: int, width: int, crop: int) -> list[tuple[int, int]]:
    """Return (top, left) of five square crops of an image, in pixels.

    The order is torchvision's: top left, top right, bottom left, bottom right, center.

    Example:
        >>> five_crop_offsets(256, 320, crop=224)
        [(0, 0), (0, 96), (32, 0), (32, 96), (16, 48)]
    """
    bottom, right = height - crop, width - crop
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]

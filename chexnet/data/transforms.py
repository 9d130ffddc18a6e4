"""The way from a gray image to what the network sees: resize, crop, flip, all on uint8.

Named once here and used by training, evaluation and every other reader of images. Scaling happens on the device, in
`chexnet.model`.
"""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from chexnet.config import MAX_SAMPLE_BITS, MIN_SAMPLE_BITS, NORMALIZATIONS
from chexnet.errors import InputError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's channel statistics for pixels in 0..1, as the reference code uses them on radiographs."""

MEAN_AND_STD = dict(zip(NORMALIZATIONS, ((MEAN, STD), ((0.5,) * 3, (0.5,) * 3), ((0.0,) * 3, (1.0,) * 3)), strict=True))
"""What is taken from each channel of pixels in 0..1, and what that is divided by, for each of NORMALIZATIONS."""

MAX_RESIZE = 4096
"""Larger than any radiograph needs, small enough not to exhaust memory on a mistyped size."""

RESIZE_VERSION = 3
"""To be raised by whoever changes a pixel that `images.read` or `Preprocessing.resize_image` gives for any file:
image caches of another version are refused."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, crop a square, scale; all of it belongs to the weights trained with it.

    The defaults are those of the reference code (arnoweng/CheXNet): Resize(256), crop 224. The paper
    resizes to 224 directly; we follow the code.

    Args:
        resize: length of the shorter side after resizing, in pixels.
        crop: side of the square crop, in pixels, at most `resize`.
        scaling: one of `chexnet.config.NORMALIZATIONS`; `CheXNet` does it.
        sample_bits: bits per sample in use in image files that declare more, 8 to 16; see `chexnet.data.images.read`.

    Raises:
        InputError: `resize` is above MAX_RESIZE, `crop` is not within 1..resize, `sample_bits` not within 8..16, or
            `scaling` is unknown.

    Example:
        >>> preprocessing = Preprocessing(resize=256, crop=224)
        >>> resized = preprocessing.resized(np.zeros((512, 640), np.uint8))
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
    def words(self) -> str:
        """The sizes, and the bits per sample where files do not say them, for a person."""
        bits = f", samples of {self.sample_bits} bits" if self.sample_bits != MAX_SAMPLE_BITS else ""
        return f"{self.crop} px from {self.resize} px{bits}"

    def resize_image(self, gray: np.ndarray | Image.Image) -> np.ndarray:
        """uint8 [H, W] -> uint8 [h, w] with min(h, w) = resize, antialiased bilinear as PIL does it.

        Takes a PIL image of mode L as well.
        """
        image = gray if isinstance(gray, Image.Image) else Image.fromarray(gray)
        if min(image.size) == self.resize:
            return np.asarray(gray)
        height, width = self._resized_size(image.height, image.width)
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))

    def fingerprint(self) -> int:
        """CRC-32 of a fixed pattern, resized: differs where this Pillow gives other pixels than another one."""
        pattern = np.arange(509 * 521, dtype=np.uint32) * np.uint32(2654435761) >> 24
        return zlib.crc32(self.resize_image(pattern.astype(np.uint8).reshape(509, 521)).tobytes())

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
        return self._placed(resized.shape, resized.shape, crops=1).extract(resized)[0]

    def ten_crop(self, resized: np.ndarray) -> np.ndarray:
        """Four corners and the centre, then the same five of the image mirrored left to right.

        uint8 [h, w] -> uint8 [10, 1, crop, crop].
        """
        return self._placed(resized.shape, resized.shape, crops=10).extract(resized)

    def geometry(self, height: int, width: int, crops: int) -> "CropGeometry":
        """Where the crops of an image lie in it.

        Args:
            height: of the image before it is resized, pixels.
            width: likewise.
            crops: 10 for those of `ten_crop`, 1 for that of `center_crop`.

        Example:
            >>> Preprocessing(resize=256, crop=224).geometry(1024, 2048, crops=1).crops
            (Crop(top=16, left=144, mirrored=False),)
        """
        return self._placed((height, width), self._resized_size(height, width), crops)

    def _placed(self, original: tuple[int, ...], resized: tuple[int, ...], crops: int) -> "CropGeometry":
        height, width = resized
        corners = five_crop_offsets(height, width, self.crop)
        # The same corners of the mirrored image: what is left there is right here.
        mirrored = [Crop(top, width - self.crop - left, True) for top, left in corners]
        ten = (*(Crop(top, left, False) for top, left in corners), *mirrored)
        return CropGeometry((original[0], original[1]), (height, width), self.crop, ten if crops == 10 else ten[4:5])

    def _resized_size(self, height: int, width: int) -> tuple[int, int]:
        shorter = min(height, width)
        return height * self.resize // shorter, width * self.resize // shorter

    def _at(self, resized: np.ndarray, top: int, left: int) -> np.ndarray:
        return resized[top : top + self.crop, left : left + self.crop]


class Crop(NamedTuple):
    """A square crop's place in the resized image: its upper left corner there, and whether it was mirrored then."""

    top: int
    left: int
    mirrored: bool


@dataclass(frozen=True)
class CropGeometry:
    """The way from an image to its crops, and back.

    Attributes:
        original: height and width of the image, pixels.
        resized: height and width after resizing.
        side: of every crop, pixels of the resized image.
        crops: in the order of `Preprocessing.ten_crop`, or the centre alone.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    side: int
    crops: tuple[Crop, ...]

    def extract(self, resized: np.ndarray) -> np.ndarray:
        """The resized image [h, w] -> its crops [K, 1, side, side]."""
        return np.stack([_maybe_flip(self._window(resized, crop), crop)[None] for crop in self.crops])

    def stitch(self, values: np.ndarray) -> np.ndarray:
        """What was computed for each pixel of each crop, where it belongs in the original image.

        Crops that were mirrored are mirrored back; where several overlap the mean is taken; then the resizing is
        undone, bilinearly.

        Args:
            values: float32 [K, side, side], the crops in their order.

        Returns:
            float32 [height, width] of the original, NaN where no crop looked.
        """
        total = np.zeros(self.resized, np.float32)
        looks = np.zeros(self.resized, np.float32)
        for crop, value in zip(self.crops, values, strict=True):
            self._window(total, crop)[...] += _maybe_flip(value, crop)
            self._window(looks, crop)[...] += 1
        mean = total / np.maximum(looks, 1)
        if looks.all():
            return self._to_original(mean)
        # Interpolated between the places that were looked at alone: the others have nothing to say.
        seen = np.minimum(looks, 1)
        inside = self._to_original(seen, Image.Resampling.NEAREST) > 0
        share = np.where(inside, self._to_original(seen), np.float32(np.nan))
        return self._to_original(mean) / share

    def _window(self, resized: np.ndarray, crop: Crop) -> np.ndarray:
        return resized[crop.top : crop.top + self.side, crop.left : crop.left + self.side]

    def _to_original(self, values: np.ndarray, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
        height, width = self.original
        return np.array(Image.fromarray(values).resize((width, height), resampling))


def _maybe_flip(values: np.ndarray, crop: Crop) -> np.ndarray:
    return values[:, ::-1] if crop.mirrored else values


def five_crop_offsets(height: int, width: int, crop: int) -> list[tuple[int, int]]:
    """(top, left) of five square crops of an image, in torchvision's order.

    Top left, top right, bottom left, bottom right, centre; all in pixels of the image.

    Example:
        >>> five_corners(256, 320, crop=224)
        [(0, 0), (0, 96), (32, 0), (32, 96), (16, 48)]
    """
    bottom, right = height - crop, width - crop
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]

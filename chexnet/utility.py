"""Import names of the earlier Paddle-CheXNet, for notebooks that use it (docs/earlier.md)."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from chexnet import labels
from chexnet.data.transforms import five_crop_offsets
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.training import AUROC

__all__ = ["AUROC", "CLASS_NAMES", "N_CLASSES", "Lambda", "TenCrop"]

CLASS_NAMES = list(labels.CLASS_NAMES)


class TenCrop:
    """Ten crops of a PIL image, in torchvision's order.

    Args:
        size: side of the square crops in pixels, or a pair of equal sides.
        vertical_flip: flip the image top to bottom for the second five crops, instead of left to right.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise InputError(f"TenCrop: size {size}, expected the side of a square")
        (self.size,) = sides
        self.flip = Image.Transpose.FLIP_TOP_BOTTOM if vertical_flip else Image.Transpose.FLIP_LEFT_RIGHT

    def __call__(self, image: Image.Image) -> tuple[Image.Image, ...]:
        """Return ten crops of a PIL image: four corners and the center, then the same of the flipped image.

        Raises:
            InputError: the image is smaller than the crops.
        """
        if min(image.size) < self.size:
            raise InputError(f"TenCrop: an image of {image.width} x {image.height} px, expected {self.size} or more")
        corners = five_crop_offsets(image.height, image.width, self.size)
        return tuple(
            source.crop((left, top, left + self.size, top + self.size))
            for source in (image, image.transpose(self.flip))
            for top, left in corners
        )


class Lambda:
    """Transform that applies a function."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        """Return the result of the function for an image."""
        return self.lambd(image)

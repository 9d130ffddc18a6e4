"""The import names of the earlier Paddle-CheXNet, for notebooks written against it (docs/earlier.md)."""

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
        size: side of the squares in pixels, or twice the same.
        vertical_flip: whether the second five are of the image mirrored top to bottom, rather than left to right.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        sides = {size} if isinstance(size, int) else set(size)
        if len(sides) != 1:
            raise InputError(f"TenCrop: size {size}, expected the side of a square")
        (self.size,) = sides
        self.flip = Image.Transpose.FLIP_TOP_BOTTOM if vertical_flip else Image.Transpose.FLIP_LEFT_RIGHT

    def __call__(self, image: Image.Image) -> tuple[Image.Image, ...]:
        """PIL image -> ten PIL images: four corners, centre, and the same of the mirrored image.

        Raises:
            InputError: the image is smaller than a crop.
        """
        if min(image.size) < self.size:
            raise InputError(f"TenCrop: an image of {image.width} x {image.height} px, expected {self.size} or more")
        corners = five_crop_offsets(image.height, image.width, self.size)
        return tuple(
            one.crop((left, top, left + self.size, top + self.size))
            for one in (image, image.transpose(self.flip))
            for top, left in corners
        )


class Lambda:
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        """What the function makes of an image."""
        return self.lambd(image)

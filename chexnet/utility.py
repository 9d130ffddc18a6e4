"""The import names of the earlier Paddle-CheXNet, for notebooks written against it."""

from PIL import Image

from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.training import AUROC
from chexnet.transforms import five_corners

__all__ = ["AUROC", "CLASS_NAMES", "N_CLASSES", "TenCrop"]


class TenCrop:
    """Ten square crops of a PIL image, `size` pixels wide, in torchvision's order."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> tuple[Image.Image, ...]:
        """PIL image -> ten PIL images: four corners, centre, and the same of the mirrored image."""
        corners = five_corners(image.height, image.width, self.size)
        return tuple(
            one.crop((left, top, left + self.size, top + self.size))
            for one in (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
            for top, left in corners
        )

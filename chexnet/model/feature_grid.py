"""Position of feature maps in the image."""

from typing import NamedTuple


class FeatureGrid(NamedTuple):
    """Position of the cells of a feature map in the input image, in pixels, along both axes.

    Attributes:
        stride: distance between the centers of neighboring cells.
        offset: distance from the image's upper left corner to the center of the first cell.
    """

    stride: int = 32
    offset: int = 16


DEFAULT_GRID = FeatureGrid()
"""That of DenseNet."""

"""The crops of a resized image as an ONNX graph."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chexnet.config.crops import DENSE, Crops

if TYPE_CHECKING:
    from chexnet.inference.whole_image.operators import GraphBuilder, Tensor


class CropPositions(NamedTuple):
    """Positions of the K crops of a resized image, as `chexnet.data.transforms.CropGeometry` has them.

    Attributes:
        tops: first row of each crop, int32 [K].
        lefts: first column of each crop, int32 [K].
        flipped: whether each crop is flipped left to right.
        height: height of a crop, int32 without dimensions.
        width: width of a crop.
    """

    tops: "Tensor"
    lefts: "Tensor"
    flipped: np.ndarray
    height: "Tensor"
    width: "Tensor"


def crop_positions(graph: "GraphBuilder", resized: "tuple[Tensor, Tensor]", crops: Crops, crop: int) -> CropPositions:
    """Return the positions of the crops, as `Preprocessing.geometry` does.

    Args:
        graph: the graph.
        resized: height and width of the resized image.
        crops: number of crops, or `dense` for the image and its mirror image.
        crop: side of a crop in pixels.
    """
    if crops == DENSE:
        corner = graph.constant([0, 0], np.int32)
        return CropPositions(corner, corner, np.array([False, True]), *resized)
    bottom, right = (side - crop for side in resized)
    middle = [(rest.cast(np.float32) * 0.5).round().cast(np.int32) for rest in (bottom, right)]
    side = graph.constant(crop, np.int32)
    if crops == 1:
        return CropPositions(*(part.reshape(1) for part in middle), np.array([False]), side, side)
    five = (0, 0), (0, right), (bottom, 0), (bottom, right), middle
    tops = graph.vector(*(top for top, _ in five), *(top for top, _ in five)).cast(np.int32)
    lefts = graph.vector(*(left for _, left in five)).cast(np.int32)
    lefts = graph.op("Concat", lefts, right - lefts, axis=0)
    return CropPositions(tops, lefts, np.arange(10) >= 5, side, side)


def extract_crops(resized: "Tensor", width: "Tensor", positions: CropPositions) -> "Tensor":
    """Cut the crops: uint8 [h, w] of width `width` -> uint8 [K, 1, height, width]."""
    graph = resized.graph
    rows = positions.tops.reshape(-1, 1) + graph.count(positions.height)  # [K, height]
    columns = positions.lefts.reshape(-1, 1) + _columns(graph, positions)  # [K, width]
    pixels = rows.unsqueeze(1, 3) * width + columns.unsqueeze(1, 2)
    return resized.reshape(-1).take(pixels)


def _columns(graph: "GraphBuilder", positions: CropPositions) -> "Tensor":
    """Return the columns of each crop in the order in which the network sees them, int32 [K, width]."""
    columns = graph.count(positions.width)
    flipped = positions.flipped.astype(np.int32).reshape(-1, 1)
    return columns * (1 - 2 * flipped) + (positions.width - 1) * flipped

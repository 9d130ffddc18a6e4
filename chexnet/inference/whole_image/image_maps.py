"""Class activation maps in the coordinates of the image, as an ONNX graph: what `Prediction.cam` computes."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from chexnet.inference.whole_image.cropping import CropPositions
from chexnet.inference.whole_image.resizing import filter_numerators
from chexnet.model.feature_grid import FeatureGrid

if TYPE_CHECKING:
    from chexnet.inference.whole_image.operators import Tensor

_TAPS = np.arange(-2, 3)
"""Cells that Pillow's bicubic filter averages, relative to that of the pixel."""


def combine_maps(
    maps: "Tensor",
    positions: CropPositions,
    cells: int | None,
    grid: FeatureGrid,
    sides: "list[tuple[Tensor, Tensor]]",
) -> "Tensor":
    """Combine the maps of the crops into one map per finding.

    Each map is upsampled bicubically to its crop, overlapping crops are averaged, and the result is resized.

    Args:
        maps: class maps of the crops, float32 [K, C, h, w].
        positions: positions of the K crops.
        cells: height and width of a map; None if they vary.
        grid: position of the maps' cells in a crop.
        sides: for rows and columns, their number in the resized image and in the result.

    Returns:
        float32 [C, rows, columns] in logit units; NaN outside all crops.
    """
    graph = maps.graph
    # ONNX Runtime 1.32 refuses `Range` up to a dimension that is known.
    counts = [graph.constant(cells, np.int32) if cells else graph.shape(maps).take(axis) for axis in (2, 3)]
    starts, lengths = (positions.tops, positions.lefts), (positions.height, positions.width)
    flips = np.zeros(len(positions.flipped), bool), positions.flipped
    masks, upsampling, resizing, nearest = [], [], [], []
    for axis, (length, new_length) in enumerate(sides):
        mask, local = _local_positions(starts[axis], lengths[axis], length, flips[axis])
        matrix = _upsampling(lengths[axis], counts[axis], grid)  # [crop, cells]
        masks.append(mask)
        upsampling.append(matrix.take(local) * mask.unsqueeze(2))  # [K, length, cells]
        numerators, center = filter_numerators(length, new_length)
        weights = numerators.cast(np.float32)
        resizing.append(weights / weights.sum(axis=1))  # [new_length, length]
        nearest.append(center)
    rows, columns = upsampling
    coverage = masks[0].transpose(1, 0) @ masks[1]  # [rows, columns] of the resized image
    spread = (maps @ columns.transpose(0, 2, 1).unsqueeze(1)).transpose(1, 0, 2, 3)  # [C, K, h, columns]
    spread = spread.reshape(0, -1, sides[1][0])
    joined = rows.transpose(1, 0, 2).reshape(sides[0][0], -1)  # [rows, K h]
    mean = (joined @ spread) / coverage.maximum(1.0)
    covered = coverage.minimum(1.0)
    weight = resizing[0] @ (covered @ resizing[1].transpose(1, 0))
    inside = covered.take(nearest[0]).take(nearest[1], axis=1) >= 1.0
    weight = graph.where(inside, weight, float("nan"))
    return (resizing[0] @ (mean @ resizing[1].transpose(1, 0))) / weight


def map_size(height: "Tensor", width: "Tensor", maps: Literal["image"] | int) -> "tuple[Tensor, Tensor]":
    """Return rows and columns of a map: those of the image, or those of its shape with a longer side of `maps`."""
    if maps == "image":
        return height, width
    graph = height.graph
    longer = height.maximum(width)
    rows, columns = (graph.divide(side * (2 * maps) + longer, longer * 2)[0].maximum(1) for side in (height, width))
    return rows, columns


def _local_positions(start: "Tensor", crop: "Tensor", length: "Tensor", flipped: np.ndarray) -> "tuple[Tensor, Tensor]":
    """Return where each pixel of the image lies in each crop, along one axis.

    Args:
        start: first pixel of each crop, int32 [K].
        crop: length of a crop, int32.
        length: length of the image, int32.
        flipped: whether each crop is flipped along this axis.

    Returns:
        float32 [K, length], 1 inside the crop and 0 outside; and the pixel in the crop, int32 [K, length], any pixel
        outside.
    """
    graph = start.graph
    local = graph.count(length).unsqueeze(0) - start.unsqueeze(1)
    limited = local.clip(0, crop - 1)
    mask = local.equals(limited).cast(np.float32)
    if flipped.any():
        turned = flipped.astype(np.int32)[:, None]
        limited = limited * (1 - 2 * turned) + (crop - 1) * turned
    return mask, limited


def _upsampling(length: "Tensor", count: "Tensor", grid: FeatureGrid) -> "Tensor":
    """Return `chexnet.model.class_maps.upsample` along one axis as a matrix: float32 [length, count]."""
    graph = length.graph
    stride, offset = grid
    half = stride // 2
    last = (count * stride - 2 * half - 1).maximum(0)
    pixel = (graph.count(length) - offset).clip(0, last) + half
    cell, phase = graph.divide(pixel, graph.constant(stride, np.int32))
    cells = cell.unsqueeze(1) + _TAPS.astype(np.int32)
    border = count - 1
    for _ in range(2):  # mirrored at the centers of the border cells
        cells = (border - (border - cells.absolute()).absolute()).absolute()
    cells = cells.clip(0, border)
    weights = graph.constant(_bicubic(stride)).take(phase)  # [length, taps]
    chosen = cells.unsqueeze(2).equals(graph.count(count)).cast(np.float32)  # [length, taps, count]
    return (weights.unsqueeze(1) @ chosen).reshape(0, -1)


def _bicubic(stride: int) -> np.ndarray:
    """Return Pillow's bicubic weights (Keys, 1981, a = -0.5) of each pixel of a cell: float32 [stride, taps]."""
    x = np.abs(_TAPS + 0.5 - (np.arange(stride)[:, None] + 0.5) / stride)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

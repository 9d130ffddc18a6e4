"""Pillow's antialiased bilinear resize as an ONNX graph, exact in every bit.

`Preprocessing.resize_image` resizes along the rows, rounds to 8 bits, and then resizes along the columns (Pillow's
`Resample.c`). A pass from n to m pixels gives pixel i the weights

    t(x) / S  with  t(x) = max(0, 2 max(n, m) - |(2x + 1) m - (2i + 1) n|)  and  S the sum of t over all pixels x,

rounded to 22 bits, which Pillow computes in double precision. Here they are computed by long division in integers.
This gives the same numbers for S < 2^23, because no quotient then lies halfway between two numbers of 22 bits. Each
weight is a sum of three parts of at most 8 bits, a 2^14 + b 2^7 + c, so that all sums over pixels are integers below
2^24. Float32 represents those exactly, in any order of summation. Integer operations are avoided where a runtime
(OpenVINO) computes them in float32.
"""

from typing import TYPE_CHECKING

import numpy as np

from chexnet.data.images import MAX_PIXELS, MAX_RATIO, MIN_SIDE

if TYPE_CHECKING:
    from chexnet.inference.whole_image.operators import Tensor

LUMA = np.array([19595, 38470, 7471], np.float32)
"""Pillow's weights of red, green and blue, times 2^16: ITU-R 601."""

MIN_RESIZE = 28
"""Smallest shorter side after resizing for which S stays below 2^23, and all sums below 2^24, for every image that the
library accepts: up to 7,071 pixels become 28."""


def to_gray(color: "Tensor") -> "Tensor":
    """Convert color as Pillow does: uint8 [H, W, 3] -> uint8 [H, W]."""
    luma = color.cast(np.float32) @ LUMA.reshape(3, 1)  # at most 255 * 2^16, which float32 represents exactly
    return ((luma + 2.0**15) * 2.0**-16).floor().cast(np.uint8).reshape(0, -1)


def image_size(image: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return height and width of an image, int32 without dimensions."""
    shape = image.graph.shape(image)
    return shape.take(0), shape.take(1)


def accepted(height: "Tensor", width: "Tensor") -> "Tensor":
    """Return a bool: whether the library accepts an image of this size, see `chexnet.data.images.size_fault`."""
    sides = height.cast(np.float32), width.cast(np.float32)
    shorter, longer = sides[0].minimum(sides[1]), sides[0].maximum(sides[1])
    return (
        (shorter >= float(MIN_SIDE)) & (longer <= shorter * float(MAX_RATIO)) & (shorter * longer <= float(MAX_PIXELS))
    )


def resized_size(height: "Tensor", width: "Tensor", resize: int) -> "tuple[Tensor, Tensor]":
    """Return height and width after resizing, int32, as `Preprocessing.geometry` computes them."""
    shorter = height.minimum(width)
    divided = [height.graph.divide(side * resize, shorter)[0] for side in (height, width)]
    return divided[0], divided[1]


def resize_image(image: "Tensor", size: "tuple[Tensor, Tensor]", resized: "tuple[Tensor, Tensor]") -> "Tensor":
    """Resize an image as `Preprocessing.resize_image` does: uint8 [H, W] -> uint8 [h, w].

    Args:
        image: the image.
        size: its height and width.
        resized: height and width of the result.
    """
    columns = _resize_rows(image.transpose(1, 0), size[1], resized[1])  # [w, H]
    return _resize_rows(columns.transpose(1, 0), size[0], resized[0])


def _resize_rows(pixels: "Tensor", length: "Tensor", new_length: "Tensor") -> "Tensor":
    """Resize along the first axis: uint8 [n, K] -> uint8 [m, K]."""
    indices, numerators = _filter_taps(length, new_length)
    weights = _weights(numerators)  # [m, 3, taps]
    sums = weights @ pixels.take(indices).cast(np.float32)  # [m, 3, K]
    high, middle, low = (sums.take(part, axis=1) for part in range(3))
    # (2^14 high + 2^7 middle + low + 2^21) >> 22
    middle = middle + (low * 2.0**-7).floor()
    high = high + (middle * 2.0**-7).floor() + 2.0**7
    return (high * 2.0**-8).floor().minimum(255.0).cast(np.uint8)


def _filter_taps(length: "Tensor", new_length: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return the pixels of which Pillow's filter makes each new pixel.

    Args:
        length: number of pixels n, int32.
        new_length: number of new pixels m, int32.

    Returns:
        Their indices, int32 [m, taps], and the numerators t of their weights, int32 [m, taps]. Beyond the image, the
        index is that of its border and the numerator 0.
    """
    graph = length.graph
    reach = graph.divide(length.maximum(new_length) + new_length - 1, new_length)[0]  # the support, rounded up
    positions = _centers(length, new_length) - reach + graph.count(reach * 2 + 1)
    indices = positions.clip(0, length - 1)
    return indices, _numerators(positions, length, new_length) * indices.equals(positions).cast(np.int32)


def filter_numerators(length: "Tensor", new_length: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return the numerators t of all pixels, int32 [m, n], and the pixel nearest to each new one, int32 [m].

    Args:
        length: number of pixels n, int32.
        new_length: number of new pixels m, int32.
    """
    pixels = length.graph.count(length).unsqueeze(0)
    return _numerators(pixels, length, new_length), _centers(length, new_length).reshape(-1)


def _centers(length: "Tensor", new_length: "Tensor") -> "Tensor":
    """Return the pixel that contains the center of each new pixel, int32 [m, 1]."""
    target = length.graph.count(new_length).unsqueeze(1) * 2 + 1
    return length.graph.divide(target * length, new_length * 2)[0]


def _numerators(pixels: "Tensor", length: "Tensor", new_length: "Tensor") -> "Tensor":
    """Return the numerators t of pixels, int32 [m or 1, N] -> int32 [m, N]."""
    target = length.graph.count(new_length).unsqueeze(1) * 2 + 1
    distance = ((pixels * 2 + 1) * new_length - target * length).absolute()
    return (length.maximum(new_length) * 2 - distance).maximum(0)


def _weights(numerators: "Tensor") -> "Tensor":
    """Divide numerators by their sum and round to 22 bits: int32 [m, taps] -> the three parts, float32 [m, 3, taps]."""
    graph = numerators.graph
    total = numerators.cast(np.float32).sum(axis=1).cast(np.int32)
    rest, parts = numerators, []
    for bits in (8, 7, 7):
        part, rest = graph.divide(rest * 2**bits, total)
        parts.append(part)
    parts[2] = parts[2] + (rest * 2 >= total).cast(np.int32)
    return graph.op("Concat", *(part.cast(np.float32).unsqueeze(1) for part in parts), axis=1)

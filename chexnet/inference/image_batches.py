"""Batches of images for one call of an engine: images of one shape, with all of their crops."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice

import numpy as np

from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.prefetch import prefetch_map

ImageOutput = tuple[np.ndarray, np.ndarray | None]
"""Probabilities of an image, float64 [C], and the class maps of its K crops, float32 [K, C, h, w], or None."""


def read_batches(dataset: ChestXrayDataSet, size: int, workers: int) -> Iterator[list[np.ndarray]]:
    """Yield the crops of `size` images at a time, uint8 [K, 1, H, W] for each image, in the order of the data set."""
    if dataset.crop_mode != "dense":
        for images, _ in BatchLoader(dataset, size, shuffle=False, workers=workers):
            yield list(images.reshape(len(images), -1, *images.shape[-3:]))  # [B, 1, ...] or [B, 10, 1, ...]
        return
    # The shapes of whole images differ, so that they cannot be stacked.
    pairs = prefetch_map(lambda index: dataset[index][0], range(len(dataset)), workers, buffer_size=2 * size)
    with closing(pairs):
        while batch := list(islice(pairs, size)):
            yield batch


def predict_images(
    batch: Sequence[np.ndarray],
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
    max_pixels: int,
) -> list[ImageOutput]:
    """Predict images and average the probabilities of their crops.

    Images of one shape are predicted together.

    Args:
        batch: the crops of each image, uint8 [K, 1, H, W].
        predict: function that maps crops uint8 [N, 1, H, W] to probabilities [N, C] and to maps [N, C, h, w] or None.
        max_pixels: maximum number of pixels per call of `predict`, if an image has not more by itself.
    """
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, crops in enumerate(batch):
        by_shape.setdefault(crops.shape, []).append(index)
    outputs: dict[int, ImageOutput] = {}
    for (count, _, height, width), indices in by_shape.items():
        together = max(1, max_pixels // (count * height * width))
        for start in range(0, len(indices), together):
            chosen = indices[start : start + together]
            probabilities, maps = predict(np.concatenate([batch[index] for index in chosen]))
            means = _mean_over_crops(probabilities, len(chosen))
            per_image = [None] * len(chosen) if maps is None else maps.reshape(len(chosen), count, *maps.shape[1:])
            outputs.update(zip(chosen, zip(means, per_image, strict=True), strict=True))
    return [outputs[index] for index in range(len(batch))]


def _mean_over_crops(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Average over crops in float64, because saturated probabilities would become equal in float32.

    float32 or float64 [count x crops, C] -> float64 [count, C].
    """
    return probabilities.reshape(count, -1, probabilities.shape[-1]).mean(axis=1, dtype=np.float64)

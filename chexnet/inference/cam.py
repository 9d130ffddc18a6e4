"""Class activation maps: the contribution of each feature-map cell to each logit, and its position in the image."""

import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chexnet import device
from chexnet.data.transforms import CropGeometry
from chexnet.errors import InputError
from chexnet.model.class_maps import DISPLAY_LIMIT, to_opacity, upsample
from chexnet.model.feature_grid import DEFAULT_GRID, FeatureGrid

if TYPE_CHECKING:
    from chexnet.model import CheXNet

__all__ = [
    "DISPLAY_LIMIT",
    "dense_probabilities",
    "grad_cam",
    "heatmap_range",
    "mean_features",
    "probabilities",
    "to_opacity",
    "upsample_to_image",
    "window_cells",
]


def heatmap_range(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> float:
    """Return the logit that heat maps of a checkpoint show at full opacity: its `map_limit`, else DISPLAY_LIMIT.

    All findings and images of a checkpoint share this limit. Checkpoints need their own, because the logits of a
    confident network are up to ten times those of another.

    Args:
        metadata: metadata of the checkpoint.
        source: file that contains the metadata, for the message.

    Raises:
        InputError: `map_limit` is not a number above 0.
    """
    cam_max = metadata.get("map_limit", DISPLAY_LIMIT)
    if type(cam_max) not in (int, float) or not (math.isfinite(cam_max) and cam_max > 0):
        raise InputError(f"{source}: map_limit is {repr(cam_max)[:60]}, expected a number above 0")
    return float(cam_max)


def probabilities(maps: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute the probabilities of a network from its class maps, without a second pass.

    Args:
        maps: float32 [..., C, h, w], from `CheXNet.predict_cam`.
        bias: float32 [C], from `CheXNet.bias`.

    Returns:
        float32 [..., C] in 0..1.
    """
    logits = maps.mean(axis=(-2, -1)) + bias
    return 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid, without overflow


def dense_probabilities(maps: np.ndarray, bias: np.ndarray, window: int) -> np.ndarray:
    """Compute the probabilities of a network as the mean over all windows of its class maps, with a stride of one cell.

    Args:
        maps: float32 [N, C, h, w], from `CheXNet.predict_cam`.
        bias: float32 [C], from `CheXNet.bias`.
        window: side of a window in cells, at most h and w; see `window_cells`.

    Returns:
        float64 [N, C] in 0..1. Saturated probabilities would become equal in float32.
    """
    windows = sliding_window_view(maps, (window, window), axis=(-2, -1))  # [N, C, h', w', window, window]
    means = probabilities(np.moveaxis(windows, 1, 3), bias)  # [N, h', w', C]
    return means.mean(axis=(1, 2), dtype=np.float64)


def mean_features(features: np.ndarray, window: int = 0) -> np.ndarray:
    """Average a feature map over its cells and the crops of an image, as the probabilities are averaged.

    The head of a network with class maps is linear, so that applied to the result it gives the mean logit of the crops
    or windows; with one crop, that is the logit.

    Args:
        features: float32 [K, channels, h, w], the last feature maps of the K crops.
        window: for dense evaluation, the side of a window in cells, see `dense_probabilities`; 0 for crops. A cell then
            counts as often as windows contain it.

    Returns:
        float32 [channels].
    """
    rows, columns = (
        np.convolve(np.ones(side - (window or side) + 1), np.ones(window or side)) for side in features.shape[2:]
    )
    weights = rows[:, None] * columns
    return (features.mean(axis=0, dtype=np.float64) * (weights / weights.sum())).sum(axis=(1, 2)).astype(np.float32)


def window_cells(predict: Callable[[np.ndarray], np.ndarray], crop: int) -> int:
    """Return the side of a crop's class map in cells; `predict` returns class maps, see `CheXNet.predict_cam`."""
    return predict(np.zeros((1, 1, crop, crop), np.uint8)).shape[-1]


def upsample_to_image(maps: np.ndarray, geometry: CropGeometry, grid: FeatureGrid = DEFAULT_GRID) -> np.ndarray:
    """Combine the crops' maps of one finding into one map at the size of the original image.

    Each map is upsampled bicubically to its crop, so its maximum may lie between cell centers. Beyond the centers of
    its border cells, an upsampled map is constant. `CropGeometry.stitch` then combines the crops.

    Args:
        maps: float32 [K, h, w], the maps of one finding, in the order of the crops of `geometry`.
        geometry: the image's `Preprocessing.geometry`.
        grid: `CheXNet.grid`, by default DenseNet's.

    Returns:
        float32 [height, width] in logit units; NaN outside all crops.
    """
    return geometry.stitch(np.stack([upsample(crop_map, geometry.size, grid) for crop_map in maps]))


def grad_cam(network: "CheXNet", images: np.ndarray) -> np.ndarray:
    """Compute Grad-CAM for every output of a network whose head is not linear in the pooled features.

    The method is that of Selvaraju et al., Grad-CAM, ICCV 2017, section 3, with two changes that keep logit units. The
    gradients of a channel are summed over its cells, not averaged, and negative values are kept. For a linear head, the
    result equals the class map, and the paper's map is its positive part divided by the number of cells.

    Args:
        network: the network; switched to evaluation mode. Its weights receive no gradients.
        images: uint8 [N, 1, H, W].

    Returns:
        float32 [N, C, h, w].
    """
    network.eval()
    with device.paddle.no_grad():
        features = network.features(device.paddle.to_tensor(images))
    features.stop_gradient = False
    sums = network.classify(features).sum(axis=0)  # [C]
    maps = []
    for logit_sum in sums:
        (gradient,) = device.paddle.grad(logit_sum, features, retain_graph=True)
        weights = gradient.sum(axis=[2, 3], keepdim=True)  # [N, channels, 1, 1]
        maps.append((weights * features.detach()).sum(axis=1).astype("float32").numpy())
    return np.stack(maps, axis=1)

"""Class activation maps: how much each cell of the feature map adds to each logit, and where it lies in the image."""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from chexnet.data.transforms import CropGeometry
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.model import CheXNet
from chexnet.model.backbones import Backbone, FeatureGrid
from chexnet.model.class_maps import DISPLAY_LIMIT, to_opacity, upsample

__all__ = [
    "DISPLAY_LIMIT",
    "grad_cam",
    "heatmap_range",
    "probabilities",
    "to_opacity",
    "upsample_to_image",
]


def heatmap_range(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> float:
    """Return the logit that heat maps of a checkpoint show at full opacity: its `map_limit`, else DISPLAY_LIMIT.

    It is the same for all findings and images of a network. Networks differ: a confident one reaches ten times the
    logits of another.

    Args:
        metadata: metadata of the checkpoint.
        source: file that the metadata came from, for the message.

    Raises:
        InputError: the limit is not a number above 0.
    """
    limit = metadata.get("map_limit", DISPLAY_LIMIT)
    if type(limit) not in (int, float) or not (math.isfinite(limit) and limit > 0):
        raise InputError(f"{source}: map_limit is {repr(limit)[:60]}, expected a number above 0")
    return float(limit)


def probabilities(maps: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute the network's outputs from its class maps, without a second pass.

    Args:
        maps: float32 [..., C, h, w], from `CheXNet.class_maps`.
        bias: float32 [C], `CheXNet.bias`.

    Returns:
        float32 [..., C] in 0..1.
    """
    logits = maps.mean(axis=(-2, -1)) + bias
    return 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid, without overflow


def upsample_to_image(maps: np.ndarray, geometry: CropGeometry, grid: FeatureGrid = Backbone.grid) -> np.ndarray:
    """Combine the maps of an image's crops for one finding into one map, in pixels of the original image.

    Each map is upsampled bicubically to its crop, so its maximum may lie between cells. The cell centers are those of
    `grid`; beyond the centers of its border cells a map is constant. `Geometry.restored` then puts the crops together.

    Args:
        maps: float32 [K, h, w] of one finding, the crops in the order of `geometry`.
        geometry: `Preprocessing.geometry` of the image.
        grid: `CheXNet.grid`, by default that of DenseNet.

    Returns:
        float32 [height, width], in the units of the maps; NaN outside all crops.
    """
    return geometry.stitch(np.stack([upsample(crop_map, geometry.side, grid) for crop_map in maps]))


def grad_cam(network: CheXNet, images: np.ndarray) -> np.ndarray:
    """Compute Grad-CAM of every output, for networks whose head is not linear in the pooled features.

    Follows Selvaraju et al., Grad-CAM, ICCV 2017, section 3, with two changes that keep it in logit units: the
    gradients of a channel are summed over its cells, where the paper takes their mean, and negative values are kept,
    where the paper removes them. For a linear head the result equals the class map; the paper's map is its positive
    part divided by the number of cells.

    Args:
        network: the network; it is put into evaluation mode, and its weights get no gradients.
        images: uint8 [N, 1, H, W].

    Returns:
        float32 [N, C, h, w].
    """
    network.eval()
    with paddle.no_grad():
        features = network.features(paddle.to_tensor(images))
    features.stop_gradient = False
    sums = network.classify(features).sum(axis=0)  # [C]
    maps = []
    for logit_sum in sums:
        (gradient,) = paddle.grad(logit_sum, features, retain_graph=True)
        weights = gradient.sum(axis=[2, 3], keepdim=True)  # [N, channels, 1, 1]
        maps.append((weights * features.detach()).sum(axis=1).astype("float32").numpy())
    return np.stack(maps, axis=1)

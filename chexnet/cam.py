"""Class activation maps: what each place of an image adds to each finding's logit, and where that place is."""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from chexnet.backbones import Backbone, FeatureGrid
from chexnet.errors import InputError
from chexnet.framework import paddle
from chexnet.model import CheXNet
from chexnet.model.maps import DISPLAY_LIMIT, enlarged, for_display
from chexnet.transforms import Geometry

__all__ = [
    "DISPLAY_LIMIT",
    "display_limit",
    "for_display",
    "grad_class_maps",
    "probabilities",
    "to_image",
]


def display_limit(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> float:
    """The logit units that are shown at full strength for a checkpoint: `map_limit` of its metadata.

    Networks differ: one that is sure of everything reaches ten times what another does. Within one it is the same
    for all findings and images. DISPLAY_LIMIT if the metadata says nothing.

    Args:
        metadata: of the checkpoint.
        source: the file that it was read from, for the message.

    Raises:
        InputError: the limit is no number above 0.
    """
    limit = metadata.get("map_limit", DISPLAY_LIMIT)
    if type(limit) not in (int, float) or not (math.isfinite(limit) and limit > 0):
        raise InputError(f"{source}: map_limit is {repr(limit)[:60]}, expected a number above 0")
    return float(limit)


def probabilities(maps: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The network's outputs from its class maps: no second pass is needed.

    Args:
        maps: float32 [..., C, h, w], as `CheXNet.class_maps` gives them.
        bias: float32 [C], `CheXNet.bias`.

    Returns:
        float32 [..., C] in 0..1.
    """
    logits = maps.mean(axis=(-2, -1)) + bias
    return 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid, without overflow


def to_image(maps: np.ndarray, geometry: Geometry, grid: FeatureGrid = Backbone.grid) -> np.ndarray:
    """One finding's maps of an image's crops -> one map in the pixels of the original image.

    Each is enlarged bicubically to its crop, so that its maximum may lie between places. The centres of
    the places are those of `grid`; what lies outside the outermost ones takes the nearest value. `Geometry.restored`
    then puts the crops where they belong.

    Args:
        maps: float32 [K, h, w] of one finding, the crops in the order of `geometry`.
        geometry: `Preprocessing.geometry` of the image.
        grid: `CheXNet.grid`, by default DenseNet's.

    Returns:
        float32 [height, width], in the maps' own units; NaN where no crop looked.
    """
    return geometry.restored(np.stack([enlarged(one, geometry.side, grid) for one in maps]))


def grad_class_maps(network: CheXNet, images: np.ndarray) -> np.ndarray:
    """Grad-CAM of every output, for networks whose head is not linear in the pooled features.

    Selvaraju et al., Grad-CAM, ICCV 2017, section 3, with two changes that keep it in logit units: the gradients
    of a channel are summed over its places, where the paper takes their mean, and negative values stay, where the
    paper cuts them off. So for a linear head this is exactly the class map; the paper's is its positive part
    divided by the number of places.

    Args:
        network: put into evaluation mode; its weights get no gradients.
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
    for one in sums:
        (gradient,) = paddle.grad(one, features, retain_graph=True)
        weights = gradient.sum(axis=[2, 3], keepdim=True)  # [N, channels, 1, 1]
        maps.append((weights * features.detach()).sum(axis=1).astype("float32").numpy())
    return np.stack(maps, axis=1)

"""A network that returns its last feature map behind the class maps, for embeddings from the same pass."""

import numpy as np

from chexnet.device import paddle
from chexnet.model.backbones.base import cell_logits
from chexnet.model.feature_grid import FeatureGrid
from chexnet.model.network import CheXNet


class WithFeatureMap(paddle.nn.Layer):
    """A network in evaluation mode, for engines that compute class maps.

    Its class maps are [N, out_size + channels, h, w]: those of the network, then the channels of the last feature map.
    For a network without class maps, they are the feature map alone.
    """

    def __init__(self, network: CheXNet) -> None:
        super().__init__()
        self.network = network
        self.out_size, self.supports_cam = network.out_size, network.supports_cam

    @property
    def grid(self) -> FeatureGrid:
        """See `CheXNet.grid`."""
        return self.network.grid

    def bias(self) -> np.ndarray:
        """See `CheXNet.bias`."""
        return self.network.bias()

    def class_activation_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute class maps and feature map in one pass: images as for `CheXNet` -> float32."""
        features = self.network.features(images)
        if not self.supports_cam:
            return features.astype("float32")
        maps = cell_logits(features, self.network.backbone.classifier)
        return paddle.concat([maps, features.astype(maps.dtype)], axis=1).astype("float32")

    def predict_cam(self, images: np.ndarray) -> np.ndarray:
        """Compute class maps and feature map: uint8 [N, 1, H, W] -> float32."""
        self.eval()
        with paddle.no_grad():
            return self.class_activation_maps(paddle.to_tensor(images)).numpy()

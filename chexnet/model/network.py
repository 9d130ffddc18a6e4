"""CheXNet: a backbone, DenseNet-121 unless another is asked for, with one sigmoid output for each finding.

Rajpurkar et al., CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning,
arXiv:1711.05225, section 2.
"""

import numpy as np
import paddle
from paddle import nn

from chexnet.backbones import NETWORKS, Backbone, Grid
from chexnet.config import DEFAULT_BACKBONE, NORMALIZATIONS
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.model.initial import initialise
from chexnet.transforms import MEAN_AND_STD


class CheXNet(nn.Layer):
    """Frontal chest radiographs -> probabilities of findings.

    Images are either uint8 [N, 1, H, W], gray as the data set gives them, which are normalised here on
    the device, or float32 [N, 3, H, W], normalised already. H and W are at least 32 and usually 224.

    The names of its state dict begin with that of the backbone. For DenseNet-121 and 14 outputs it has 606 entries,
    named `densenet121.<paddle.vision name>`, with 7,051,854 values; the head is `densenet121.out.0.{weight,bias}`.

    Args:
        out_size: number of findings.
        backbone: one of `chexnet.config.BACKBONES`.
        scaling: one of `chexnet.config.NORMALIZATIONS`.
        backbone_pretrained: True takes Paddle's ImageNet weights for all but the head, and downloads them unless they
            are in Paddle's cache. The earlier Paddle-CheXNet did that unless it was told not to; here weights are
            random until something else is asked for, since nothing is downloaded that nobody asked for. Where it was
            the second argument, it still may be.

    Raises:
        InputError: the backbone or the scaling is unknown; or the ImageNet weights cannot be had.
    """

    def __init__(
        self,
        out_size: int = N_CLASSES,
        backbone: str | bool = DEFAULT_BACKBONE,
        scaling: str = NORMALIZATIONS[0],
        backbone_pretrained: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(backbone, bool):
            backbone_pretrained, backbone = backbone, DEFAULT_BACKBONE
        if backbone not in NETWORKS:
            raise InputError(f"CheXNet: backbone is {backbone!r}, expected one of {', '.join(NETWORKS)}")
        if scaling not in NORMALIZATIONS:
            raise InputError(f"CheXNet: normalization is {scaling!r}, expected one of {', '.join(NORMALIZATIONS)}")
        self.out_size = out_size
        self.backbone = backbone
        self.scaling = scaling
        self.add_sublayer(backbone, NETWORKS[backbone](out_size))
        if backbone_pretrained:
            initialise(self, "imagenet")

    @property
    def body(self) -> Backbone:
        """The backbone with its head."""
        return self._sub_layers[self.backbone]

    @property
    def has_class_maps(self) -> bool:
        """Whether there are `class_maps`; `chexnet.cam.grad_class_maps` serves all backbones."""
        return self.body.linear

    @property
    def grid(self) -> Grid:
        """Where the places of maps lie in the images."""
        return self.body.grid

    def forward(self, images: paddle.Tensor) -> paddle.Tensor | list[paddle.Tensor]:
        """Images -> probabilities in 0..1, float32 [N, out_size].

        While it trains, a backbone with auxiliary heads gives a list of those of all its heads, its own first.
        """
        if not self.training:
            return nn.functional.sigmoid(self.logits(images))
        logits = self.body.training_logits(self._normalised(images))
        probabilities = [nn.functional.sigmoid(one.astype("float32")) for one in logits]
        return probabilities if len(probabilities) > 1 else probabilities[0]

    def logits(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> logits, float32 [N, out_size], whatever precision the network computes in."""
        return self.classify(self.features(images))

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> the map before pooling, [N, 1024, H/32, W/32] of DenseNet-121."""
        return self.body.features(self._normalised(images))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """What `features` gives -> logits, float32 [N, out_size]."""
        return self.body.classify(features).astype("float32")

    def class_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Images -> class activation maps in logit units, float32 [N, out_size, h, w], where there are any.

        The features of each place weighted by the head's weights (Zhou et al., Learning Deep Features for
        Discriminative Localization, CVPR 2016; CheXNet, section 5). The head is linear, so a map's mean over
        all places plus the class's `bias` is its logit, up to rounding.
        """
        return self.body.class_maps(self._normalised(images)).astype("float32")

    def bias(self) -> np.ndarray:
        """The head's bias, float32 [out_size]: what the logits are where all class maps are 0."""
        return self.body.output.bias.astype("float32").numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, 1, H, W] -> probabilities float32 [N, out_size], in one pass, in evaluation mode."""
        self.eval()
        with paddle.no_grad():
            return self(paddle.to_tensor(images)).numpy()

    def predict_maps(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, 1, H, W] -> class maps float32 [N, out_size, h, w], as `predict` does."""
        self.eval()
        with paddle.no_grad():
            return self.class_maps(paddle.to_tensor(images)).numpy()

    def _normalised(self, images: paddle.Tensor) -> paddle.Tensor:
        if images.dtype != paddle.uint8:
            return images
        # The weights' precision, which is float16 under AMP O2, where evaluation runs outside autocast.
        dtype = self.parameters()[0].dtype
        channels = (paddle.to_tensor(one, dtype="float32") for one in MEAN_AND_STD[self.scaling])
        mean, std = (one.reshape([1, 3, 1, 1]) for one in channels)
        return ((images.astype("float32") / 255.0 - mean) / std).astype(dtype)  # [N, 1, H, W] -> [N, 3, H, W]

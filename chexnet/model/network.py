"""CheXNet: a backbone, by default DenseNet-121, with one sigmoid output per finding.

Rajpurkar et al., CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays with Deep Learning,
arXiv:1711.05225, section 2.
"""

import numpy as np

from chexnet.config import NORMALIZATIONS
from chexnet.config.backbone_registry import DEFAULT_BACKBONE, check_backbone
from chexnet.data.transforms import MEAN_AND_STD, Preprocessing
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.model.backbones import BACKBONES, Backbone, FeatureGrid
from chexnet.model.initial_weights import init_weights


class CheXNet(paddle.nn.Layer):
    """A classifier of frontal chest radiographs that returns the probability of each finding.

    Images are either gray uint8 [N, 1, H, W], as `ChestXrayDataSet` returns them, which the network normalizes on the
    device, or normalized float32 [N, 3, H, W]. H and W are at least 32 and usually 224.

    The names in the state dict begin with the name of the backbone. For DenseNet-121 and 14 outputs there are 606
    entries, `densenet121.<paddle.vision name>`, with 7,051,854 values; the head is `densenet121.out.0.{weight,bias}`.

    Args:
        out_size: number of findings.
        backbone: one of `chexnet.list_backbones()`.
        normalization: one of `chexnet.config.NORMALIZATIONS`.
        backbone_pretrained: True loads Paddle's ImageNet weights into all layers but the head, and downloads them
            unless they are in Paddle's cache. The default, unlike that of the earlier Paddle-CheXNet, is random weights
            without a download. There this was the second argument; a boolean in the second place still works.

    Attributes:
        backbone: the backbone with its head, a `chexnet.model.backbones.Backbone`.
        backbone_name: its name.
        classes: names of the findings, one per output, as `chexnet.load` read them; empty for a new network.
        preprocessing: parameters for resizing, cropping and normalizing images, as `chexnet.load` read them; the
            defaults for a new network.

    Raises:
        InputError: the backbone or the normalization is unknown, or the ImageNet weights are not available.

    Example:
        >>> network = CheXNet(2, "lenet")
        >>> network.predict(np.zeros((3, 1, 64, 64), np.uint8)).shape
        (3, 2)
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing

    def __init__(
        self,
        out_size: int = N_CLASSES,
        backbone: str | bool = DEFAULT_BACKBONE,
        normalization: str = NORMALIZATIONS[0],
        backbone_pretrained: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(backbone, bool):
            backbone_pretrained, backbone = backbone, DEFAULT_BACKBONE
        check_backbone(backbone, "CheXNet")
        if normalization not in NORMALIZATIONS:
            raise InputError(
                f"CheXNet: normalization is {normalization!r}, expected one of {', '.join(NORMALIZATIONS)}"
            )
        self.out_size = out_size
        self.backbone_name = backbone
        self.normalization = normalization
        self.classes = ()
        self.preprocessing = Preprocessing(scaling=normalization)
        for name, tensor in zip(("normalization_mean", "normalization_std"), self._statistics(), strict=True):
            self.register_buffer(name, tensor, persistable=False)
        self.add_sublayer(backbone, BACKBONES[backbone](out_size))
        if backbone_pretrained:
            init_weights(self, "imagenet")

    @property
    def backbone(self) -> Backbone:
        """Backbone with its head."""
        return self._sub_layers[self.backbone_name]

    @property
    def supports_cam(self) -> bool:
        """True if `class_activation_maps` works; `chexnet.inference.cam.grad_cam` works for every backbone."""
        return self.backbone.has_linear_head

    @property
    def grid(self) -> FeatureGrid:
        """Position of the feature map's cells in the image."""
        return self.backbone.grid

    def forward(self, images: paddle.Tensor) -> paddle.Tensor | list[paddle.Tensor]:
        """Compute probabilities in 0..1: images -> float32 [N, out_size].

        In training mode, a backbone with auxiliary heads returns a list with the probabilities of each head, the main
        head first.
        """
        if not self.training:
            return paddle.nn.functional.sigmoid(self.logits(images))
        probabilities = [paddle.nn.functional.sigmoid(logits) for logits in self.training_logits(images)]
        return probabilities if len(probabilities) > 1 else probabilities[0]

    def logits(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: images -> float32 [N, out_size], for any precision of the weights."""
        return self.classify(self.features(images))

    def training_logits(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Compute the logits of all heads, the main one first: images -> float32 [N, out_size] each."""
        return [logits.astype("float32") for logits in self.backbone.forward_train(self._normalize(images))]

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: images -> [N, 1024, H/32, W/32] for DenseNet-121."""
        return self.backbone.features(self._normalize(images))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map, as `features` returns it -> float32 [N, out_size]."""
        return self.backbone.classify(features).astype("float32")

    def class_activation_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute class activation maps in logit units: images -> float32 [N, out_size, h, w].

        A map is the feature map's channels weighted by the head's weights of one class (Zhou et al., Learning Deep
        Features for Discriminative Localization, CVPR 2016; CheXNet, section 5). The head is linear, so the spatial
        mean of a map plus the `bias` of its class is the logit, up to rounding. Only for networks with `supports_cam`.
        """
        return self.backbone.class_activation_maps(self._normalize(images)).astype("float32")

    def bias(self) -> np.ndarray:
        """Return the bias of the head, float32 [out_size]: the logits where all class activation maps are 0."""
        return self.backbone.classifier.bias.astype("float32").numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Compute probabilities in one pass, in evaluation mode: uint8 [N, 1, H, W] -> float32 [N, out_size]."""
        self.eval()
        with paddle.no_grad():
            return self(paddle.to_tensor(images)).numpy()

    def predict_cam(self, images: np.ndarray) -> np.ndarray:
        """Compute class activation maps in one pass: uint8 [N, 1, H, W] -> float32 [N, out_size, h, w]."""
        self.eval()
        with paddle.no_grad():
            return self.class_activation_maps(paddle.to_tensor(images)).numpy()

    def _normalize(self, images: paddle.Tensor) -> paddle.Tensor:
        if images.dtype != paddle.uint8:
            return images
        # Buffers save two copies to the device in each pass. Exported graphs contain constants instead, because buffers
        # would become weights whose names differ in each export.
        buffers = (self.normalization_mean, self.normalization_std)
        mean, std = buffers if paddle.in_dynamic_mode() else self._statistics()
        normalized = (images.astype("float32") / 255.0 - mean) / std  # [N, 1, H, W] -> [N, 3, H, W]
        _, weight = next(self.named_parameters())  # a list of all parameters would take a millisecond
        return normalized.astype(weight.dtype)  # float16 under AMP O2

    def _statistics(self) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return mean and standard deviation of the normalization, float32 [1, 3, 1, 1] each."""
        mean, std = (
            paddle.to_tensor(values, dtype="float32").reshape([1, 3, 1, 1])
            for values in MEAN_AND_STD[self.normalization]
        )
        return mean, std

"""The interface of a backbone."""

from typing import ClassVar

import paddle
from paddle import nn

from chexnet.config.backbone_registry import DEFAULT_MIN_INPUT_SIZE
from chexnet.model.feature_grid import DEFAULT_GRID, FeatureGrid


class Backbone(nn.Layer):
    """A network that computes a feature map of normalized images float32 [N, 3, H, W], and logits of the feature map.

    The constructor of a subclass takes the number of outputs as its only required argument. Decorate the subclass with
    `chexnet.register_backbone` to use it by name.

    Attributes:
        grid: position of the feature map's cells in the image.
        min_input_size: the smallest height and width, in pixels; smaller images leave no cell in the feature map.
        head_prefixes: name prefixes of the parameters whose shape depends on the number of outputs.
        has_linear_head: True if the logits are linear in the spatial mean of the feature map. The backbone then has
            `class_activation_maps`, as `GlobalPoolBackbone` does.
        weights_url: address and MD5 of Paddle's ImageNet weights, or None.
    """

    grid: ClassVar[FeatureGrid] = DEFAULT_GRID
    min_input_size: ClassVar[int] = DEFAULT_MIN_INPUT_SIZE
    head_prefixes: ClassVar[tuple[str, ...]]
    has_linear_head: ClassVar[bool] = False
    weights_url: ClassVar[tuple[str, str] | None] = None

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: normalized images [N, 3, H, W] -> [N, channels, h, w]."""
        raise NotImplementedError

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map [N, channels, h, w] -> [N, out_size]."""
        raise NotImplementedError

    def forward_train(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Return the logits, followed by those of auxiliary heads, which only training uses, if there are any."""
        return [self.classify(self.features(images))]


class GlobalPoolBackbone(Backbone):
    """A backbone whose head is one linear layer on the spatial mean of the last feature map.

    A subclass defines `features` and the layer `classifier`, which has a bias.
    """

    has_linear_head = True
    classifier: nn.Linear

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map [N, channels, h, w] -> [N, out_size]."""
        return self.classifier(global_avg_pool(features))

    def class_activation_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Apply the head's weights to each cell of the feature map: [N, 3, H, W] -> [N, out_size, h, w]."""
        return cell_logits(self.features(images), self.classifier)


def cell_logits(features: paddle.Tensor, head: nn.Linear) -> paddle.Tensor:
    """Apply a head's weights to each cell of a feature map: [N, channels, h, w] -> [N, out_size, h, w]."""
    cells = features.transpose([0, 2, 3, 1])  # [N, h, w, channels]
    return nn.functional.linear(cells, head.weight).transpose([0, 3, 1, 2])


def global_avg_pool(features: paddle.Tensor) -> paddle.Tensor:
    """Average over the cells of a feature map: [N, channels, h, w] -> [N, channels]."""
    return paddle.flatten(nn.functional.adaptive_avg_pool2d(features, 1), 1)

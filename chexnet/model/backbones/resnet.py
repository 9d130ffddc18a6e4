"""ResNet and ResNeXt.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Xie et al., Aggregated Residual Transformations
for Deep Neural Networks, CVPR 2017.
"""

from typing import ClassVar

import paddle
from paddle import nn
from paddle.vision import models
from paddle.vision.models.resnet import BottleneckBlock, model_urls

from chexnet.config.backbone_registry import register_backbone
from chexnet.model.backbones.base import GlobalPoolBackbone
from chexnet.model.feature_grid import FeatureGrid


class ResNet(GlobalPoolBackbone, models.ResNet):
    """Paddle's ResNet with bottlenecks. Parameter names are those of `paddle.vision.models.ResNet`; the head is `fc`.

    Each of its five downsampling steps keeps every second pixel, starting with the first, so that the first cell of
    the feature map is centered at the image's corner.
    """

    grid = FeatureGrid(stride=32, offset=0)
    head_prefixes = ("fc.",)
    depth: ClassVar[int] = 50
    base_width: ClassVar[int] = 64
    cardinality: ClassVar[int] = 1

    def __init__(self, out_size: int) -> None:
        super().__init__(
            BottleneckBlock, self.depth, width=self.base_width, num_classes=out_size, groups=self.cardinality
        )

    @property
    def classifier(self) -> nn.Linear:
        """Return the head."""
        return self.fc

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 2048, H/32, W/32], rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # [N, 64, H/4, W/4]
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


@register_backbone("resnet50")
class ResNet50(ResNet):
    """50 layers."""

    weights_url = model_urls["resnet50"]


@register_backbone("resnet101")
class ResNet101(ResNet):
    """101 layers."""

    depth = 101
    weights_url = model_urls["resnet101"]


@register_backbone("resnet152")
class ResNet152(ResNet):
    """152 layers."""

    depth = 152
    weights_url = model_urls["resnet152"]


@register_backbone("resnext50_32x4d")
class ResNeXt50(ResNet):
    """50 layers; the 3 x 3 convolutions have 32 groups of 4 channels in the first stage."""

    base_width = 4
    cardinality = 32
    weights_url = model_urls["resnext50_32x4d"]

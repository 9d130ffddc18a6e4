"""ResNet and ResNeXt.

He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Xie et al., Aggregated Residual Transformations
for Deep Neural Networks, CVPR 2017.
"""

from typing import ClassVar

import paddle
from paddle import nn
from paddle.vision import models
from paddle.vision.models.resnet import BottleneckBlock, model_urls

from chexnet.backbones.base import Grid, Pooled


class ResNet(Pooled, models.ResNet):
    """Paddle's ResNet of bottlenecks. Parameter names are those of `paddle.vision.models.ResNet`; the head is `fc`.

    Each of its five halvings keeps every second pixel and begins with the first, so that the first place of the map
    is centred at the image's corner.
    """

    grid = Grid(stride=32, first=0)
    head = ("fc.",)
    depth: ClassVar[int] = 50
    base_width: ClassVar[int] = 64
    cardinality: ClassVar[int] = 1

    def __init__(self, out_size: int) -> None:
        super().__init__(
            BottleneckBlock, self.depth, width=self.base_width, num_classes=out_size, groups=self.cardinality
        )

    @property
    def output(self) -> nn.Linear:
        """The head."""
        return self.fc

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the map before pooling [N, 2048, H/32, W/32], rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # [N, 64, H/4, W/4]
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class ResNet50(ResNet):
    """50 layers."""

    imagenet = model_urls["resnet50"]


class ResNet101(ResNet):
    """101 layers."""

    depth = 101
    imagenet = model_urls["resnet101"]


class ResNet152(ResNet):
    """152 layers."""

    depth = 152
    imagenet = model_urls["resnet152"]


class ResNeXt50(ResNet):
    """50 layers whose 3 x 3 convolutions are 32 groups of 4 channels, each with kernels of its own."""

    base_width = 4
    cardinality = 32
    imagenet = model_urls["resnext50_32x4d"]

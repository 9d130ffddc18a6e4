"""DenseNet. Huang et al., Densely Connected Convolutional Networks, CVPR 2017."""

from typing import ClassVar

import paddle
from paddle import nn
from paddle.vision import models
from paddle.vision.models.densenet import DenseBlock, TransitionLayer, model_urls

from chexnet.backbones.base import Grid, Pooled


class DenseNet(Pooled, models.DenseNet):
    """Paddle's DenseNet. Parameter names are those of `paddle.vision.models.DenseNet`; the head is `out.0`."""

    head = ("out.",)
    layers: ClassVar[int]

    def __init__(self, out_size: int) -> None:
        super().__init__(layers=self.layers)
        width = self.batch_norm.weight.shape[0]
        self.out = nn.Sequential(nn.Linear(width, out_size), nn.Sigmoid())

    @property
    def output(self) -> nn.Linear:
        """The head, without its sigmoid."""
        return self.out[0]

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the map before pooling [N, 1024, H/32, W/32] (DenseNet-121)."""
        x = self.conv1_func(images)  # [N, 64, H/2, W/2]
        x = self.pool2d_max(x)  # [N, 64, H/4, W/4]
        for index, transition in enumerate(self.transition_func_list):
            x = transition(self.dense_block_func_list[index](x))  # half the channels, half the height and width
        x = self.dense_block_func_list[-1](x)
        return self.batch_norm(x)


class DenseNet121(DenseNet):
    """Growth rate 32, 1024 final channels."""

    layers = 121
    imagenet = model_urls["densenet121"]


class DenseNet161(DenseNet):
    """Growth rate 48, 2208 final channels."""

    layers = 161
    imagenet = model_urls["densenet161"]


class DenseNet169(DenseNet):
    """Growth rate 32, 1664 final channels."""

    layers = 169
    imagenet = model_urls["densenet169"]


class DenseNet201(DenseNet):
    """Growth rate 32, 1920 final channels."""

    layers = 201
    imagenet = model_urls["densenet201"]


class DenseNet264(DenseNet):
    """Growth rate 32, 2688 final channels."""

    layers = 264
    imagenet = model_urls["densenet264"]


class DenseNetCIFAR(Pooled):
    """For small images, section 3 of the paper: 3 x 3 stem, nothing pooled before the first block, bottlenecks.

    With a growth rate of 32 this is DenseNet-121 for images of 32 x 32.

    Args:
        out_size: number of outputs.
        growth: channels that each layer adds.
        blocks: layers of each block.
    """

    grid = Grid(stride=8, first=4)
    min_side = 8
    head = ("fc.",)

    def __init__(self, out_size: int, growth: int = 12, blocks: tuple[int, ...] = (6, 12, 24, 16)) -> None:
        super().__init__()
        width = 2 * growth
        self.stem = nn.Conv2D(3, width, 3, padding=1, bias_attr=False)
        self.blocks = nn.LayerList()
        self.transitions = nn.LayerList()
        for number, layers in enumerate(blocks, start=1):
            self.blocks.append(DenseBlock(width, layers, bn_size=4, growth_rate=growth, dropout=0.0, name="layer"))
            width += layers * growth
            if number < len(blocks):
                self.transitions.append(TransitionLayer(width, width // 2))
                width //= 2
        self.norm = nn.BatchNorm2D(width)
        self.fc = nn.Linear(width, out_size)

    @property
    def output(self) -> nn.Linear:
        """The head."""
        return self.fc

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the map before pooling [N, 384, H/8, W/8]."""
        x = self.stem(images)  # [N, 24, H, W]
        for index, transition in enumerate(self.transitions):
            x = transition(self.blocks[index](x))  # half the channels, half the height and width
        return nn.functional.relu(self.norm(self.blocks[-1](x)))

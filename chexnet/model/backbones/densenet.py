"""DenseNet. Huang et al., Densely Connected Convolutional Networks, CVPR 2017."""

from typing import ClassVar

import paddle
from paddle import nn
from paddle.vision import models
from paddle.vision.models.densenet import DenseBlock, TransitionLayer, model_urls

from chexnet.config.backbone_registry import MIN_INPUT_SIZES, register_backbone
from chexnet.model.backbones.base import GlobalPoolBackbone
from chexnet.model.feature_grid import FeatureGrid


class DenseNet(GlobalPoolBackbone, models.DenseNet):
    """Paddle's DenseNet. Parameter names are those of `paddle.vision.models.DenseNet`; the head is `out.0`."""

    head_prefixes = ("out.",)
    layers: ClassVar[int]

    def __init__(self, out_size: int) -> None:
        super().__init__(layers=self.layers)
        width = self.batch_norm.weight.shape[0]
        self.out = nn.Sequential(nn.Linear(width, out_size), nn.Sigmoid())

    @property
    def classifier(self) -> nn.Linear:
        """Return the head without its sigmoid."""
        return self.out[0]

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 1024, H/32, W/32] (DenseNet-121)."""
        x = self.conv1_func(images)  # [N, 64, H/2, W/2]
        x = self.pool2d_max(x)  # [N, 64, H/4, W/4]
        for index, transition in enumerate(self.transition_func_list):
            x = transition(self.dense_block_func_list[index](x))  # half the channels, half the height and width
        x = self.dense_block_func_list[-1](x)
        return self.batch_norm(x)


@register_backbone("densenet121")
class DenseNet121(DenseNet):
    """Growth rate 32, 1024 final channels."""

    layers = 121
    weights_url = model_urls["densenet121"]


@register_backbone("densenet161")
class DenseNet161(DenseNet):
    """Growth rate 48, 2208 final channels."""

    layers = 161
    weights_url = model_urls["densenet161"]


@register_backbone("densenet169")
class DenseNet169(DenseNet):
    """Growth rate 32, 1664 final channels."""

    layers = 169
    weights_url = model_urls["densenet169"]


@register_backbone("densenet201")
class DenseNet201(DenseNet):
    """Growth rate 32, 1920 final channels."""

    layers = 201
    weights_url = model_urls["densenet201"]


@register_backbone("densenet264")
class DenseNet264(DenseNet):
    """Growth rate 32, 2688 final channels."""

    layers = 264
    weights_url = model_urls["densenet264"]


@register_backbone("densenet_cifar")
class DenseNetCIFAR(GlobalPoolBackbone):
    """DenseNet for small images, section 3 of the paper: 3 x 3 stem, no pooling before the first block, bottlenecks.

    A growth rate of 32 gives DenseNet-121 for images of 32 x 32 pixels.

    Args:
        out_size: number of outputs.
        growth: growth rate, the channels that each layer adds.
        blocks: number of layers per block.
    """

    grid = FeatureGrid(stride=8, offset=4)
    min_input_size = MIN_INPUT_SIZES["densenet_cifar"]
    head_prefixes = ("fc.",)

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
    def classifier(self) -> nn.Linear:
        """Return the head."""
        return self.fc

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 384, H/8, W/8]."""
        x = self.stem(images)  # [N, 24, H, W]
        for index, transition in enumerate(self.transitions):
            x = transition(self.blocks[index](x))  # half the channels, half the height and width
        return nn.functional.relu(self.norm(self.blocks[-1](x)))

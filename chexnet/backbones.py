"""Networks by name, over `paddle.vision.models`."""

import paddle
from paddle import nn
from paddle.vision import models


class DenseNet(models.DenseNet):
    """Paddle's DenseNet with the feature map before pooling, and an output size of its own.

    Huang et al., Densely Connected Convolutional Networks, CVPR 2017. Parameter names are those of
    `paddle.vision.models.DenseNet`; the head is `out.0`.

    Args:
        layers: 121, 161, 169, 201 or 264.
        out_size: number of sigmoid outputs.
    """

    def __init__(self, layers: int, out_size: int) -> None:
        super().__init__(layers=layers)
        width = self.batch_norm.weight.shape[0]
        self.out = nn.Sequential(nn.Linear(width, out_size), nn.Sigmoid())

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the map before pooling [N, 1024, H/32, W/32] (DenseNet-121)."""
        x = self.conv1_func(images)  # [N, 64, H/2, W/2]
        x = self.pool2d_max(x)  # [N, 64, H/4, W/4]
        for index, transition in enumerate(self.transition_func_list):
            x = transition(self.dense_block_func_list[index](x))  # half the channels, half the height and width
        x = self.dense_block_func_list[-1](x)
        return self.batch_norm(x)

    def logits(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> what the sigmoid is taken of [N, out_size]."""
        return self.classify(self.features(images))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The map before pooling [N, 1024, h, w] -> logits [N, out_size]."""
        pooled = paddle.flatten(self.pool2d_avg(features), 1)  # [N, 1024]
        return self.out[0](pooled)

    def class_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the head's weights on each place of the map [N, out_size, h, w]."""
        places = self.features(images).transpose([0, 2, 3, 1])  # [N, h, w, 1024]
        return nn.functional.linear(places, self.out[0].weight).transpose([0, 3, 1, 2])


def densenet121(out_size: int) -> DenseNet:
    """DenseNet-121: 121 layers, growth rate 32, 1024 final channels."""
    return DenseNet(layers=121, out_size=out_size)

"""A small network that replaces DenseNet-121, without anything of pytest."""

from chexnet.device import paddle
from chexnet.model.backbones import Backbone


class Miniature(Backbone):
    """One convolution, batch norm, and dropout, so that the weights depend on Paddle's random generator."""

    head_prefixes = ("out.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(3, 8, 7, stride=4)
        self.norm = paddle.nn.BatchNorm2D(8)
        self.dropout = paddle.nn.Dropout(0.3)
        self.out = paddle.nn.Sequential(paddle.nn.Linear(8, out_size), paddle.nn.Sigmoid())

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return paddle.nn.functional.relu(self.norm(self.stem(images)))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        return self.out[0](self.dropout(features.mean(axis=[2, 3])))

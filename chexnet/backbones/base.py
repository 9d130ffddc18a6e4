"""What every backbone answers."""

from typing import ClassVar, NamedTuple

import paddle
from paddle import nn


class Grid(NamedTuple):
    """Where the places of a map lie in the image that it was made of, in pixels.

    Attributes:
        stride: from the centre of one place to that of the next.
        first: from the upper left corner of the image to the centre of the first place, down and to the right.
    """

    stride: int = 32
    first: int = 16


class Backbone(nn.Layer):
    """A network that gives logits of normalised images float32 [N, 3, H, W], with the map that they are made of.

    A subclass is made with the number of outputs alone.

    Attributes:
        grid: where the places of the map lie.
        min_side: the smallest height and width; below one place of the map.
        head: what the names of the parameters begin with that depend on the number of outputs.
        linear: whether the logits are linear in the mean of the map over its places, so that there are class maps.
        imagenet: address and MD5 of Paddle's ImageNet weights, if there are any.
    """

    grid: ClassVar[Grid] = Grid()
    min_side: ClassVar[int] = 32
    head: ClassVar[tuple[str, ...]]
    linear: ClassVar[bool] = False
    imagenet: ClassVar[tuple[str, str] | None] = None

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the last map [N, channels, h, w]."""
        raise NotImplementedError

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        raise NotImplementedError

    def training_logits(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Normalised images -> logits, then those of auxiliary heads, if any, which only training uses."""
        return [self.classify(self.features(images))]


class Pooled(Backbone):
    """A backbone whose head is one linear layer on the mean of the last map over its places."""

    linear = True

    @property
    def output(self) -> nn.Linear:
        """The head."""
        raise NotImplementedError

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        return self.output(pooled(features))

    def class_maps(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images -> the head's weights on each place of the last map [N, out_size, h, w]."""
        places = self.features(images).transpose([0, 2, 3, 1])  # [N, h, w, channels]
        return nn.functional.linear(places, self.output.weight).transpose([0, 3, 1, 2])


def pooled(features: paddle.Tensor) -> paddle.Tensor:
    """A map [N, channels, h, w] -> its mean over the places [N, channels]."""
    return paddle.flatten(nn.functional.adaptive_avg_pool2d(features, 1), 1)

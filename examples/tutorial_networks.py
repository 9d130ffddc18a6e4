"""The networks of the tutorials that differ from those of `chexnet.model.backbones`."""

from collections.abc import Callable
from typing import ClassVar

import paddle
from paddle import nn
from paddle.nn.functional import dropout, relu, sigmoid

from chexnet.model.backbones import Backbone, GlobalPoolBackbone


class LeNet(Backbone):
    """The LeNet of the tutorials.

    It has 41,806 parameters for 28 x 28 gray pixels and ten outputs, 19,233,841 for 224 x 224 color pixels and one.

    LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998, with a third convolution of
    4 x 4 and a first linear layer on its whole feature map.

    Args:
        out_size: number of outputs.
        channels: number of channels of the images, 1 or 3.
        side: height and width of the images, pixels.
        activation: activation between the layers: sigmoid like in the tutorials, or ReLU for their exercise.
    """

    head_prefixes: ClassVar[tuple[str, ...]] = ("fc2.",)

    def __init__(
        self,
        out_size: int,
        channels: int = 3,
        side: int = 224,
        activation: Callable[[paddle.Tensor], paddle.Tensor] = sigmoid,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2D(channels, 6, 5)
        self.pool = nn.MaxPool2D(2, 2)
        self.conv2 = nn.Conv2D(6, 16, 5)
        self.conv3 = nn.Conv2D(16, 120, 4)
        map_side = ((side - 4) // 2 - 4) // 2 - 3
        self.fc1 = nn.Linear(120 * map_side**2, 64)
        self.fc2 = nn.Linear(64, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the feature map of images [N, channels, side, side].

        It is [N, 120, 50, 50] for images of 224 x 224 pixels and [N, 120, 1, 1] for 28 x 28.
        """
        x = self.pool(self.activation(self.conv1(images)))
        x = self.pool(self.activation(self.conv2(x)))
        return self.activation(self.conv3(x))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits [N, out_size] from the feature map."""
        return self.fc2(self.activation(self.fc1(paddle.flatten(features, 1))))


class AlexNet(Backbone):
    """The tutorial's AlexNet for 224 x 224 pixels: 71,916,929 parameters for one output.

    Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012, on one GPU, without its normalization, and
    pooled over 2 x 2.
    """

    head_prefixes: ClassVar[tuple[str, ...]] = ("fc3.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(3, 96, 11, stride=4, padding=5)
        self.conv2 = nn.Conv2D(96, 256, 5, padding=2)
        self.conv3 = nn.Conv2D(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2D(384, 384, 3, padding=1)
        self.conv5 = nn.Conv2D(384, 256, 3, padding=1)
        self.pool = nn.MaxPool2D(2, 2)
        self.fc1 = nn.Linear(256 * 7 * 7, 4096)
        self.fc2 = nn.Linear(4096, 4096)
        self.fc3 = nn.Linear(4096, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the feature map [N, 256, 7, 7] from normalized images [N, 3, 224, 224]."""
        x = self.pool(relu(self.conv1(images)))  # [N, 96, 28, 28]
        x = self.pool(relu(self.conv2(x)))  # [N, 256, 14, 14]
        return self.pool(relu(self.conv5(relu(self.conv4(relu(self.conv3(x)))))))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits [N, out_size] from the feature map."""
        x = dropout(relu(self.fc1(paddle.flatten(features, 1))), 0.5, training=self.training)
        return self.fc3(dropout(relu(self.fc2(x)), 0.5, training=self.training))


class Inception(nn.Layer):
    """Four parallel paths: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 5 x 5; pooling and 1 x 1.

    Args:
        channels: channels of the input.
        direct: channels of the first path.
        three: channels of the second path's convolutions.
        five: channels of the third path's convolutions.
        pooled: channels of the fourth path.
    """

    def __init__(self, channels: int, direct: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.direct = nn.Conv2D(channels, direct, 1)
        self.three = nn.Sequential(
            nn.Conv2D(channels, three[0], 1), nn.ReLU(), nn.Conv2D(three[0], three[1], 3, padding=1)
        )
        self.five = nn.Sequential(nn.Conv2D(channels, five[0], 1), nn.ReLU(), nn.Conv2D(five[0], five[1], 5, padding=2))
        self.pooled = nn.Sequential(nn.MaxPool2D(3, 1, padding=1), nn.Conv2D(channels, pooled, 1))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Compute [N, direct + three[1] + five[1] + pooled, h, w] from [N, channels, h, w]."""
        return relu(paddle.concat([path(x) for path in (self.direct, self.three, self.five, self.pooled)], axis=1))


class GoogLeNet(GlobalPoolBackbone):
    """The tutorial's GoogLeNet: 5,974,577 parameters for one output.

    Szegedy et al., Going Deeper with Convolutions, CVPR 2015, without auxiliary heads, normalization and dropout, and
    with a first convolution of stride 1.
    """

    head_prefixes: ClassVar[tuple[str, ...]] = ("fc.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        pool = nn.MaxPool2D(3, 2, padding=1)
        self.stem = nn.Sequential(
            *(nn.Conv2D(3, 64, 7, padding=3), nn.ReLU(), pool),
            *(nn.Conv2D(64, 64, 1), nn.ReLU(), nn.Conv2D(64, 192, 3, padding=1), nn.ReLU(), pool),
        )
        self.blocks = nn.Sequential(
            Inception(192, 64, (96, 128), (16, 32), 32),
            Inception(256, 128, (128, 192), (32, 96), 64),
            pool,
            Inception(480, 192, (96, 208), (16, 48), 64),
            Inception(512, 160, (112, 224), (24, 64), 64),
            Inception(512, 128, (128, 256), (24, 64), 64),
            Inception(512, 112, (144, 288), (32, 64), 64),
            Inception(528, 256, (160, 320), (32, 128), 128),
            pool,
            Inception(832, 256, (160, 320), (32, 128), 128),
            Inception(832, 384, (192, 384), (48, 128), 128),
        )
        self.fc = nn.Linear(1024, out_size)

    @property
    def classifier(self) -> nn.Linear:
        """The head."""
        return self.fc

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the feature map [N, 1024, 14, 14] from normalized images [N, 3, 224, 224]."""
        return self.blocks(self.stem(images))


def shapes(network: nn.Layer, size: tuple[int, ...]) -> list[str]:
    """Return a line per layer of a network: its name, the shape of its output and the shapes of its parameters.

    Args:
        network: a backbone.
        size: shape of the normalized images.
    """
    lines: list[str] = []

    def record_shapes(layer: nn.Layer, name: str) -> Callable[..., None]:
        parameters = ", ".join(str(list(parameter.shape)) for parameter in layer.parameters())
        return lambda _, inputs, output: lines.append(f"{name:8} {list(output.shape)!s:22} {parameters}".rstrip())

    layers = [(name, layer) for name, layer in network.named_sublayers() if not layer.sublayers()]
    hooks = [layer.register_forward_post_hook(record_shapes(layer, name)) for name, layer in layers]
    network.eval()
    with paddle.no_grad():
        network.classify(network.features(paddle.zeros(size)))
    for hook in hooks:
        hook.remove()
    total = sum(int(parameter.size) for parameter in network.parameters())
    return [f"{'layer':8} {'output':22} parameters", *lines, f"{total:,} parameters"]

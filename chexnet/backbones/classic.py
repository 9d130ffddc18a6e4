"""LeNet, AlexNet, VGG and GoogLeNet."""

import numpy as np
import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper
from paddle.nn.functional import relu
from paddle.vision import models
from paddle.vision.models.alexnet import model_urls as alexnet_urls
from paddle.vision.models.googlenet import model_urls as googlenet_urls
from paddle.vision.models.vgg import cfgs, make_layers
from paddle.vision.models.vgg import model_urls as vgg_urls

from chexnet.backbones.base import Backbone, Grid, Pooled, pooled


class LeNet(Backbone):
    """LeNet-5 on three channels, with sigmoids. LeCun et al., Gradient-Based Learning, Proc. IEEE 1998, section II.B.

    Of 32 x 32 pixels the last map has one place, as published; of more it has more, and their mean goes on. Max
    pooling stands in for the paper's trained subsampling, and a linear output for its radial basis functions.
    """

    grid = Grid(stride=4, first=16)
    head = ("fc2.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(3, 6, 5)
        self.conv2 = nn.Conv2D(6, 16, 5)
        self.conv3 = nn.Conv2D(16, 120, 5)
        self.pool = nn.MaxPool2D(2, 2)
        self.fc1 = nn.Linear(120, 84)
        self.fc2 = nn.Linear(84, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> [N, 120, (H - 28)/4, (W - 28)/4], rounded down."""
        x = self.pool(_sigmoid(self.conv1(images)))  # [N, 6, (H - 4)/2, (W - 4)/2]
        x = self.pool(_sigmoid(self.conv2(x)))  # [N, 16, (H - 12)/4, (W - 12)/4]
        return _sigmoid(self.conv3(x))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        return self.fc2(_sigmoid(self.fc1(pooled(features))))


class AlexNet(Backbone, models.AlexNet):
    """Paddle's AlexNet. Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012.

    Its first linear layer takes 6 x 6 places, those of 224 x 224 pixels; other maps are pooled to that.
    """

    grid = Grid(stride=32, first=32)
    min_side = 63
    head = ("_fc8.",)
    imagenet = alexnet_urls["alexnet"]

    def __init__(self, out_size: int) -> None:
        super().__init__(num_classes=out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> [N, 256, 6, 6] for 224 pixels."""
        x = self._conv2(self._conv1(images))  # [N, 192, 13, 13] for 224 pixels
        return self._conv5(relu(self._conv4(relu(self._conv3(x)))))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        x = paddle.flatten(_to_places(features, 6), 1)  # [N, 9216]
        x = relu(self._fc6(self._drop1(x)))
        x = relu(self._fc7(self._drop2(x)))
        return self._fc8(x)


class VGG16(Backbone, models.VGG):
    """Paddle's VGG-16 without batch norm. Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015.

    Its first linear layer takes 7 x 7 places, those of 224 x 224 pixels; other maps are pooled to that.
    """

    head = ("classifier.6.",)
    imagenet = vgg_urls["vgg16"]

    def __init__(self, out_size: int) -> None:
        super().__init__(make_layers(cfgs["D"]), num_classes=out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> [N, 512, H/32, W/32]."""
        return self._sub_layers["features"](images)  # Paddle's layers are called as this method is

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        return self.classifier(paddle.flatten(_to_places(features, 7), 1))


class GoogLeNet(Pooled, models.GoogLeNet):
    """Paddle's GoogLeNet with its auxiliary heads. Szegedy et al., Going Deeper with Convolutions, CVPR 2015.

    The auxiliary heads pool to 3 x 3 places, so that they fit maps of every size; Paddle's windows of 5 places, 3
    apart, are then 4 apart for 224 pixels.
    """

    grid = Grid(stride=32, first=30)
    min_side = 61
    head = ("_fc_out.", "_out1.", "_out2.")
    imagenet = googlenet_urls["googlenet"]

    def __init__(self, out_size: int) -> None:
        super().__init__(num_classes=out_size)
        self._pool_o1 = self._pool_o2 = nn.AdaptiveAvgPool2D(3)
        self._drop = nn.Dropout(0.4)  # Paddle's scales by 0.6 when it evaluates: the head would not be all of it

    @property
    def output(self) -> nn.Linear:
        """The head."""
        return self._fc_out

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Normalised images [N, 3, H, W] -> the map before pooling, [N, 1024, 6, 6] for 224 pixels."""
        return self._maps(images)[-1]

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """The last map -> logits [N, out_size]."""
        return self._fc_out(self._drop(pooled(features)))

    def training_logits(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Normalised images -> logits, and those of the two auxiliary heads."""
        first, second, last = self._maps(images)
        x = relu(self._fc_o1(paddle.flatten(self._conv_o1(self._pool_o1(first)), 1)))
        y = self._fc_o2(paddle.flatten(self._conv_o2(self._pool_o2(second)), 1))
        return [self.classify(last), self._out1(self._drop_o1(x)), self._out2(self._drop_o2(y))]

    def _maps(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """The maps that the two auxiliary heads and the head take: for 224 pixels 13 x 13, 13 x 13, 6 x 6."""
        x = self._pool(self._conv(images))  # [N, 64, 55, 55]
        x = self._pool(self._conv_2(self._conv_1(x)))  # [N, 192, 27, 27]
        x = self._pool(self._ince3b(self._ince3a(x)))  # [N, 480, 13, 13]
        first = self._ince4a(x)
        second = self._ince4d(self._ince4c(self._ince4b(first)))
        x = self._pool(self._ince4e(second))  # [N, 832, 6, 6]
        return first, second, self._ince5b(self._ince5a(x))


def _sigmoid(x: paddle.Tensor) -> paddle.Tensor:
    """The sigmoid. Paddle 3's own cannot be written in the program format of before, which OpenVINO reads."""
    if not isinstance(x, paddle.static.Variable):
        return nn.functional.sigmoid(x)
    helper = LayerHelper("sigmoid")
    found = helper.create_variable_for_type_inference(x.dtype)
    helper.append_op(type="sigmoid", inputs={"X": x}, outputs={"Out": found})
    return found


def _to_places(features: paddle.Tensor, side: int) -> paddle.Tensor:
    """Means over side x side windows that cover a map of any size: [N, C, h, w] -> [N, C, side * side].

    That is Paddle's adaptive average pooling as one product, which can be exported where the windows differ in size.
    """
    places = paddle.flatten(features, 2)
    height, width = features.shape[2:]
    if (height, width) == (side, side):
        return places
    windows = paddle.to_tensor(np.kron(_windows(height, side), _windows(width, side)))
    return nn.functional.linear(places, windows.astype(places.dtype))


def _windows(size: int, count: int) -> np.ndarray:
    """Which of `size` places each of `count` windows is the mean of: float32 [size, count]."""
    first = np.arange(count) * size // count
    end = -(-(np.arange(count) + 1) * size // count)
    inside = (first[:, None] <= np.arange(size)) & (np.arange(size) < end[:, None])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32).T

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

from chexnet.config.backbone_registry import MIN_INPUT_SIZES, register_backbone
from chexnet.model.backbones.base import Backbone, GlobalPoolBackbone, global_avg_pool
from chexnet.model.feature_grid import FeatureGrid


@register_backbone("lenet")
class LeNet(Backbone):
    """LeNet-5 on three channels, with sigmoids. LeCun et al., Gradient-Based Learning, Proc. IEEE 1998, section II.B.

    For 32 x 32 pixels the last feature map has one cell, as published. Larger images give more cells, which are
    averaged. Max pooling replaces the paper's trained subsampling, and a linear output its radial basis functions.
    """

    grid = FeatureGrid(stride=4, offset=16)
    head_prefixes = ("fc2.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(3, 6, 5)
        self.conv2 = nn.Conv2D(6, 16, 5)
        self.conv3 = nn.Conv2D(16, 120, 5)
        self.pool = nn.MaxPool2D(2, 2)
        self.fc1 = nn.Linear(120, 84)
        self.fc2 = nn.Linear(84, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 120, (H - 28)/4, (W - 28)/4], rounded down."""
        x = self.pool(_sigmoid(self.conv1(images)))  # [N, 6, (H - 4)/2, (W - 4)/2]
        x = self.pool(_sigmoid(self.conv2(x)))  # [N, 16, (H - 12)/4, (W - 12)/4]
        return _sigmoid(self.conv3(x))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map -> [N, out_size]."""
        return self.fc2(_sigmoid(self.fc1(global_avg_pool(features))))


@register_backbone("alexnet")
class AlexNet(Backbone, models.AlexNet):
    """Paddle's AlexNet. Krizhevsky et al., ImageNet Classification with Deep CNNs, NeurIPS 2012.

    Its first linear layer takes 6 x 6 cells, the feature map of 224 x 224 pixels; other sizes are pooled to that.
    """

    grid = FeatureGrid(stride=32, offset=32)
    min_input_size = MIN_INPUT_SIZES["alexnet"]
    head_prefixes = ("_fc8.",)
    weights_url = alexnet_urls["alexnet"]

    def __init__(self, out_size: int) -> None:
        super().__init__(num_classes=out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 256, 6, 6] for 224 pixels."""
        x = self._conv2(self._conv1(images))  # [N, 192, 13, 13] for 224 pixels
        return self._conv5(relu(self._conv4(relu(self._conv3(x)))))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map -> [N, out_size]."""
        x = paddle.flatten(_adaptive_avg_pool(features, 6), 1)  # [N, 9216]
        x = relu(self._fc6(self._drop1(x)))
        x = relu(self._fc7(self._drop2(x)))
        return self._fc8(x)


@register_backbone("vgg16")
class VGG16(Backbone, models.VGG):
    """Paddle's VGG-16 without batch norm. Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015.

    Its first linear layer takes 7 x 7 cells, the feature map of 224 x 224 pixels; other sizes are pooled to that.
    """

    head_prefixes = ("classifier.6.",)
    weights_url = vgg_urls["vgg16"]

    def __init__(self, out_size: int) -> None:
        super().__init__(make_layers(cfgs["D"]), num_classes=out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 512, H/32, W/32]."""
        return self._sub_layers["features"](images)  # Paddle's layers have the name of this method

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map -> [N, out_size]."""
        return self.classifier(paddle.flatten(_adaptive_avg_pool(features, 7), 1))


@register_backbone("googlenet")
class GoogLeNet(GlobalPoolBackbone, models.GoogLeNet):
    """Paddle's GoogLeNet with its auxiliary heads. Szegedy et al., Going Deeper with Convolutions, CVPR 2015.

    The auxiliary heads pool adaptively to 3 x 3 cells, so that they fit feature maps of every size. For 224 pixels
    these are windows of 5 cells with a stride of 4, where Paddle's own have a stride of 3.
    """

    grid = FeatureGrid(stride=32, offset=30)
    min_input_size = MIN_INPUT_SIZES["googlenet"]
    head_prefixes = ("_fc_out.", "_out1.", "_out2.")
    weights_url = googlenet_urls["googlenet"]

    def __init__(self, out_size: int) -> None:
        super().__init__(num_classes=out_size)
        self._pool_o1 = self._pool_o2 = nn.AdaptiveAvgPool2D(3)
        # Paddle's own scales by 0.6 in evaluation mode, so that the head would not be the linear layer alone.
        self._drop = nn.Dropout(0.4)

    @property
    def classifier(self) -> nn.Linear:
        """Return the head."""
        return self._fc_out

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the last feature map: [N, 3, H, W] -> [N, 1024, 6, 6] for 224 pixels."""
        return self._maps(images)[-1]

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        """Compute logits: the last feature map -> [N, out_size]."""
        return self._fc_out(self._drop(global_avg_pool(features)))

    def forward_train(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Return the logits and those of the two auxiliary heads, each [N, out_size]."""
        early, middle, last = self._maps(images)
        x = relu(self._fc_o1(paddle.flatten(self._conv_o1(self._pool_o1(early)), 1)))
        y = self._fc_o2(paddle.flatten(self._conv_o2(self._pool_o2(middle)), 1))
        return [self.classify(last), self._out1(self._drop_o1(x)), self._out2(self._drop_o2(y))]

    def _maps(self, images: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Compute the inputs of the two auxiliary heads and the head: for 224 pixels 13 x 13, 13 x 13 and 6 x 6."""
        x = self._pool(self._conv(images))  # [N, 64, 55, 55]
        x = self._pool(self._conv_2(self._conv_1(x)))  # [N, 192, 27, 27]
        x = self._pool(self._ince3b(self._ince3a(x)))  # [N, 480, 13, 13]
        early = self._ince4a(x)
        middle = self._ince4d(self._ince4c(self._ince4b(early)))
        x = self._pool(self._ince4e(middle))  # [N, 832, 6, 6]
        return early, middle, self._ince5b(self._ince5a(x))


def _sigmoid(x: paddle.Tensor) -> paddle.Tensor:
    """Apply the sigmoid. Paddle 3 cannot write its own in the older program format, which OpenVINO reads."""
    if paddle.in_dynamic_mode() or not isinstance(x, paddle.static.Variable):  # eager tensors also pass isinstance
        return nn.functional.sigmoid(x)
    helper = LayerHelper("sigmoid")
    output = helper.create_variable_for_type_inference(x.dtype)
    helper.append_op(type="sigmoid", inputs={"X": x}, outputs={"Out": output})
    return output


def _adaptive_avg_pool(features: paddle.Tensor, side: int) -> paddle.Tensor:
    """Pool a feature map of any size to side x side cells: [N, C, h, w] -> [N, C, side * side].

    This is Paddle's adaptive average pooling as one matrix product, which can be exported where window sizes differ.
    """
    cells = paddle.flatten(features, 2)  # [N, C, h * w]
    height, width = features.shape[2:]
    if (height, width) == (side, side):
        return cells
    matrix = paddle.to_tensor(np.kron(_pooling_matrix(height, side), _pooling_matrix(width, side)))
    return nn.functional.linear(cells, matrix.astype(cells.dtype))


def _pooling_matrix(size: int, count: int) -> np.ndarray:
    """Return the weights that average `size` cells over `count` adaptive windows: float32 [size, count]."""
    start = np.arange(count) * size // count
    end = -(-(np.arange(count) + 1) * size // count)
    inside = (start[:, None] <= np.arange(size)) & (np.arange(size) < end[:, None])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32).T

"""Networks by name, over `paddle.vision.models` where it has them. docs/backbones.md compares them."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.backbones.base import Backbone, Grid
from chexnet.backbones.classic import VGG16, AlexNet, GoogLeNet, LeNet
from chexnet.backbones.densenet import (
    DenseNet121,
    DenseNet161,
    DenseNet169,
    DenseNet201,
    DenseNet264,
    DenseNetCIFAR,
)
from chexnet.backbones.resnet import ResNet50, ResNet101, ResNet152, ResNeXt50

NETWORKS: dict[str, type[Backbone]] = {
    "densenet121": DenseNet121,
    "densenet161": DenseNet161,
    "densenet169": DenseNet169,
    "densenet201": DenseNet201,
    "densenet264": DenseNet264,
    "densenet_cifar": DenseNetCIFAR,
    "resnext50_32x4d": ResNeXt50,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
    "vgg16": VGG16,
    "googlenet": GoogLeNet,
    "alexnet": AlexNet,
    "lenet": LeNet,
}
"""By the names of `chexnet.config.BACKBONES`, each made with the number of outputs."""

__all__ = ["NETWORKS", "Backbone", "Grid"]

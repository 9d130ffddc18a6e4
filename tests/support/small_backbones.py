"""Backbones of few layers and parameters, for tests whose subject is neither their depth nor their size."""

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import paddle
import pytest

from chexnet.model.backbones import BACKBONES
from chexnet.model.backbones.densenet import DenseNetCIFAR
from chexnet.model.backbones.resnet import ResNet50, ResNeXt50

PUBLISHED_WIDTH, WIDTH = 4096, 64


class ShallowDenseNet(DenseNetCIFAR):
    """Two layers per block."""

    def __init__(self, out_size: int) -> None:
        super().__init__(out_size, blocks=(2, 2, 2, 2))


class ShallowResNet(ResNet50):
    """Two bottlenecks per stage."""

    depth = 18


class ShallowResNeXt(ResNeXt50):
    """Two bottlenecks per stage."""

    depth = 18


@pytest.fixture(scope="module")
def narrow_layers() -> Iterator[None]:
    """Give the hidden linear layers of AlexNet and VGG-16 64 values, which saves 54 and 118 million parameters."""
    linear = paddle.nn.Linear

    def narrow(in_features: int, out_features: int, *args: Any, **kwargs: Any) -> paddle.nn.Linear:
        sizes = (WIDTH if size == PUBLISHED_WIDTH else size for size in (in_features, out_features))
        return linear(*sizes, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("paddle.vision.models.alexnet"), "Linear", narrow)
        vgg = importlib.import_module("paddle.vision.models.vgg")
        patch.setattr(vgg, "nn", SimpleNamespace(**{**vars(paddle.nn), "Linear": narrow}))
        yield


@pytest.fixture(scope="module")
def small_backbones(narrow_layers: None) -> Iterator[None]:
    """Give ResNet-50, ResNeXt-50 and DenseNet for small images two layers per block, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "densenet_cifar", ShallowDenseNet)
        patch.setitem(BACKBONES, "resnet50", ShallowResNet)
        patch.setitem(BACKBONES, "resnext50_32x4d", ShallowResNeXt)
        yield

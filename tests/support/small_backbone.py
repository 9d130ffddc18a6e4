"""A network of one convolution in the place of DenseNet-121, for tests of what surrounds a network."""

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
import pytest
from paddle import nn

from chexnet.model.backbones import BACKBONES
from chexnet.model.backbones.base import GlobalPoolBackbone


class SmallBackbone(GlobalPoolBackbone):
    """One convolution on the grid of DenseNet-121: it is built, and its graphs compile, in a moment."""

    head_prefixes = ("classifier.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 24, 32, stride=32)
        self.classifier = nn.Linear(24, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(self.stem(images))


@contextmanager
def small_densenet121() -> Iterator[None]:
    """Replace DenseNet-121 by a `SmallBackbone` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "densenet121", SmallBackbone)
        yield

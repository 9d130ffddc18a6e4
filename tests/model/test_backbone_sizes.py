"""Every backbone with its published number of parameters, and with the weights of Paddle's own networks."""

from collections.abc import Iterator

import numpy as np
import paddle
import pytest

from chexnet import model
from chexnet.config.backbone_registry import list_backbones
from chexnet.labels import N_CLASSES
from chexnet.model import CheXNet, checkpoint
from chexnet.model.backbones import BACKBONES
from chexnet.model.backbones.densenet import DenseNetCIFAR

PARAMETERS = {
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
    "densenet_cifar": 1_381_768,
    "resnext50_32x4d": 25_028_904,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg16": 138_357_544,
    "googlenet": 11_535_736,
    "alexnet": 61_100_840,
    "lenet": 146_156,
}
"""Trained parameters for 1000 outputs, without the statistics of batch norm; torchvision's where it has the network.

Paddle's GoogLeNet pools to 3 x 3 cells before its auxiliary heads, where the paper has 4 x 4, and has no biases in its
convolutions.
"""

OUTPUTS = 3


def count_trained(layer) -> int:
    """Count the trained numbers."""
    return sum(int(np.prod(tensor.shape)) for tensor in layer.parameters() if not tensor.stop_gradient)


@pytest.fixture
def without_values() -> Iterator[None]:
    """Create parameters that have shapes only, which is all that is counted."""
    with paddle.LazyGuard():
        yield


def test_golden_counts(without_values):
    """CheXNet as published, with the statistics of batch norm; DenseNet-121 for 32 x 32 pixels and ten classes."""
    assert sum(int(np.prod(tensor.shape)) for tensor in CheXNet(N_CLASSES).state_dict().values()) == 7_051_854
    assert count_trained(DenseNetCIFAR(10, growth=32)) == 6_956_298
    assert count_trained(BACKBONES["densenet_cifar"](10)) == 1_000_618
    assert (
        count_trained(BACKBONES["lenet"](10)) == 61_706 + 2 * 6 * 25
    )  # LeNet-5 with three input channels instead of one


@pytest.mark.parametrize("backbone", list_backbones())
def test_parameter_count_is_the_published_one(without_values, backbone):
    network = CheXNet(OUTPUTS, backbone)
    prefixes = network.backbone.head_prefixes
    heads = [tensor for name, tensor in network.backbone.named_parameters() if name.startswith(prefixes)]
    assert {tensor.shape[-1] for tensor in heads} == {OUTPUTS}
    per_output = sum(int(np.prod(tensor.shape)) for tensor in heads) // OUTPUTS
    assert count_trained(network) + (1000 - OUTPUTS) * per_output == PARAMETERS[backbone]


@pytest.mark.parametrize("backbone", ["googlenet", "alexnet", "resnext50_32x4d"])
def test_paddles_own_weights_fill_all_but_the_heads(tmp_path, backbone):
    theirs = getattr(paddle.vision.models, backbone)().state_dict()
    checkpoint.save(theirs, tmp_path / "imagenet.pdparams")
    network = CheXNet(2, backbone)
    assert model.init_weights(network, str(tmp_path / "imagenet.pdparams")).description.endswith("random head")
    for name, value in network.backbone.state_dict().items():
        if not name.startswith(network.backbone.head_prefixes):
            np.testing.assert_array_equal(value.numpy(), theirs[name].numpy())

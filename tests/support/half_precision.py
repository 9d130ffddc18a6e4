"""Mixed precision O2 on the CPU, with real float16 weights and Paddle's own optimizer code.

Paddle has no float16 kernels for the CPU. So the network casts its weights to float32 where it uses them, which is what
autocast does to operations without a float16 kernel, and the kernel of the optimizer is replaced by what it does on a
GPU: it updates the float32 master weights and rounds them to the weights.
"""

from typing import Any

import paddle
import pytest
from miniature import Miniature
from paddle import nn
from paddle.amp.auto_cast import amp_initialize

from chexnet.model.backbones import BACKBONES
from chexnet.training import training_data


class HalfMiniature(Miniature):
    """The miniature for weights of any precision."""

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        weight, bias = (value.astype("float32") for value in (self.stem.weight, self.stem.bias))
        cells = nn.functional.conv2d(images.astype("float32"), weight, bias, stride=4)
        return nn.functional.relu(self.norm(cells))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        weight, bias = (value.astype("float32") for value in (self.out[0].weight, self.out[0].bias))
        return nn.functional.linear(self.dropout(features.mean(axis=[2, 3])), weight, bias)


@pytest.fixture
def half_precision(small_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--amp O2` train the miniature on the CPU."""
    monkeypatch.setitem(BACKBONES, "densenet121", HalfMiniature)
    monkeypatch.setattr(training_data, "_set_device", lambda config: paddle.set_device("cpu"))
    monkeypatch.setattr(paddle.amp, "decorate", _decorate)
    for kernel in ("merged_adam_", "merged_momentum_"):
        monkeypatch.setattr(paddle._C_ops, kernel, _with_master_weights(getattr(paddle._C_ops, kernel)))


def _decorate(network: nn.Layer, optimizer: Any, level: str, excluded_layers: list[type]) -> None:
    """Do what `paddle.amp.decorate` does on a GPU."""
    assert level == "O2"
    amp_initialize([network], "float16", excluded_layers)
    optimizer._multi_precision = True


def _with_master_weights(kernel: Any) -> Any:
    """Return an optimizer kernel that updates float16 weights through their master weights, and others itself."""

    def update(weights: list[paddle.Tensor], gradients: list[paddle.Tensor], *others: Any) -> Any:
        if weights[0].dtype != paddle.float16:
            return kernel(weights, gradients, *others)
        (place,) = (index for index, value in enumerate(others) if _are_master_weights(value))
        masters = others[place]
        # Without master weights, and without the argument True that announces them.
        plain = [None if index == place else value for index, value in enumerate(others)]
        plain[max(index for index, value in enumerate(plain) if value is True)] = False
        result = kernel(masters, [gradient.astype("float32") for gradient in gradients], *plain)
        for weight, master in zip(weights, masters, strict=True):
            weight.set_value(master.astype("float16"))
        return result

    return update


def _are_master_weights(value: Any) -> bool:
    return isinstance(value, list) and str(getattr(value[0], "name", "")).endswith("_fp32_master_0")

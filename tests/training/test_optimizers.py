"""Optimizers against their formulas in NumPy float64, and against PyTorch."""

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.optimizer.lr import MultiStepDecay

from chexnet.config import TrainConfig
from chexnet.training.optimizers import build_optimizer

RATE, STEPS = 0.01, 6
RNG = np.random.default_rng(0)
SHAPES = {"0.weight": (4, 3), "0.bias": (3,), "1.weight": (3,), "1.bias": (3,)}
WEIGHTS = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADIENTS = [{name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()} for _ in range(STEPS)]


def trained(**settings: object) -> dict[str, np.ndarray]:
    """Return the weights of a linear layer and a batch norm after some steps with fixed gradients."""
    config = TrainConfig(learning_rate=RATE, **settings)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1D(3))
    parameters = dict(network.named_parameters())
    for name, value in WEIGHTS.items():
        parameters[name].set_value(value)
    optimizer = build_optimizer(config, MultiStepDecay(RATE, []), network)
    for gradients in GRADIENTS:
        sum((parameters[name] * paddle.to_tensor(value)).sum() for name, value in gradients.items()).backward()
        optimizer.step()
        optimizer.clear_grad()
    return {name: parameters[name].numpy() for name in WEIGHTS}


def clipped(gradients: dict[str, np.ndarray], norm: float) -> dict[str, np.ndarray]:
    total = np.sqrt(sum((value.astype(np.float64) ** 2).sum() for value in gradients.values()))
    return {name: value * min(1, norm / total) if norm else value for name, value in gradients.items()}


def formula(optimizer: str, decay: float = 0.0, norm: float = 0.0) -> dict[str, np.ndarray]:
    weights = {name: value.astype(np.float64) for name, value in WEIGHTS.items()}
    first, second = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    for step, gradients in enumerate(GRADIENTS, start=1):
        for name, gradient in clipped(gradients, norm).items():
            if optimizer != "adamw":
                gradient = gradient + decay * weights[name]
            elif len(SHAPES[name]) > 1:
                weights[name] *= 1 - RATE * decay
            if optimizer == "sgd":
                first[name] = 0.9 * first[name] + gradient
                weights[name] -= RATE * first[name]
                continue
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            corrected = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            weights[name] -= RATE * first[name] / (1 - 0.9**step) / corrected
    return weights


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("norm", [0.0, 0.5, 100.0])
def test_weights_are_those_of_the_formula(optimizer, decay, norm):
    found = trained(optimizer=optimizer, weight_decay=decay, clip_grad_norm=norm)
    for name, expected in formula(optimizer, decay, norm).items():
        np.testing.assert_allclose(found[name], expected, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(("optimizer", "name"), [("adam", "Adam"), ("sgd", "SGD")])
def test_weights_are_those_of_pytorch_with_weight_decay(optimizer, name):
    torch = pytest.importorskip("torch")
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in WEIGHTS.items()}
    momentum = {"momentum": 0.9} if optimizer == "sgd" else {}
    theirs = getattr(torch.optim, name)(weights.values(), lr=RATE, weight_decay=0.3, **momentum)
    for gradients in GRADIENTS:
        for key, value in gradients.items():
            weights[key].grad = torch.tensor(value)
        theirs.step()
    for key, value in trained(optimizer=optimizer, weight_decay=0.3).items():
        np.testing.assert_allclose(value, weights[key].detach().numpy(), rtol=2e-5, atol=2e-6)

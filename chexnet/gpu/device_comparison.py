"""One training step and one evaluation on two devices, from the same weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from chexnet import device
from chexnet.device import paddle
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import BinaryCrossEntropy
from chexnet.training.training_step import TrainingModel

BATCH, SIZE = 4, 224
RATE = 0.01

Weights = dict[str, np.ndarray]


def compare_devices(choice: str) -> Iterator[dict[str, Any]]:
    """Train DenseNet-121 for one step and evaluate it, on the CPU and on the chosen device, in float32.

    Both start from the same random weights, with the same images of noise and plain SGD, so that a change of the
    weights is the gradient times the learning rate. To be called in a child process, because it sets the device.

    Yields:
        `compared`: name of the device. `loss`: relative difference of the losses. `weights`: Euclidean length of the
        difference of the weight changes, relative to that of the changes. `probabilities`: largest difference of the
        probabilities before and after the step.

    Raises:
        InputError: the device is not available.
    """
    device.set_device("cpu")
    paddle.seed(0)
    start = {name: value.numpy() for name, value in CheXNet().state_dict().items()}
    expected = _train_and_evaluate(start)
    device.set_device(choice)
    yield {"compared": f"DenseNet-121, {BATCH} images, {device.device_name()} and CPU, float32 without TF32"}
    loss, changes, probabilities = _train_and_evaluate(start)
    yield {"loss": abs(loss / expected[0] - 1)}
    yield {"weights": float(np.linalg.norm(changes - expected[1]) / np.linalg.norm(expected[1]))}
    yield {"probabilities": float(np.abs(probabilities - expected[2]).max())}


def _train_and_evaluate(start: Weights) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss of a step, the changes of all weights in one vector, and probabilities before and after it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, 1, SIZE, SIZE), np.uint8)
    labels = rng.integers(0, 2, (BATCH, len(CLASS_NAMES))).astype(np.float32)
    network = CheXNet()
    network.set_state_dict(start)
    optimizer = paddle.optimizer.SGD(RATE, parameters=network.parameters())
    model = TrainingModel(network, BinaryCrossEntropy(), AUROC(), optimizer, "off")
    before = network.predict(images)
    (loss,), _ = model.train_batch([images], [labels])
    end = network.state_dict()
    changes = np.concatenate([(end[name].numpy() - value).ravel() for name, value in start.items()])
    return float(loss), changes, np.stack([before, network.predict(images)])

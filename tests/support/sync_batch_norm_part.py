"""One process's part of the batches of tests/model/test_sync_batch_norm.py."""

from pathlib import Path
from typing import Any

import numpy as np
from first_process import await_first_process

from chexnet.device import paddle
from chexnet.model.sync_batch_norm import convert_sync_batch_norm


def network(kind: str) -> Any:
    """Return a network with fixed weights, by the name of the class of its first batch normalization."""
    paddle.seed(0)
    if kind == "deep":  # in float64, because its depth multiplies rounding errors
        resnet = paddle.vision.models.resnet
        return resnet.ResNet(resnet.BottleneckBlock, 50, width=4, num_classes=3).to(dtype="float64")
    first, options = {
        "BatchNorm": (paddle.nn.BatchNorm, {"act": "relu"}),
        "BatchNorm2D": (paddle.nn.BatchNorm2D, {"momentum": 0.7, "epsilon": 1e-3}),
        "no_affine": (paddle.nn.BatchNorm2D, {"weight_attr": False, "bias_attr": False}),
    }[kind]
    layers = [paddle.nn.Conv2D(3, 4, 3), first(4, **options), paddle.nn.Flatten(), paddle.nn.Linear(144, 5)]
    return paddle.nn.Sequential(*layers, paddle.nn.BatchNorm1D(5))


def step(net: Any, images: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return outputs, gradients and the state after a forward and a backward pass; the loss is weights * outputs."""
    x = paddle.to_tensor(images, stop_gradient=False)
    outputs = net(x)
    (outputs * paddle.to_tensor(weights)).sum().backward()
    gradients = {f"grad {name}": p.grad.numpy() for name, p in net.named_parameters() if p.grad is not None}
    state = {f"state {name}": value.numpy() for name, value in net.state_dict().items()}
    return {"outputs": outputs.numpy(), "input": x.grad.numpy(), **gradients, **state}


def main(folder: Path) -> None:
    """Compute the part of every case in arrays.npz of a folder and write it to RANK.npz there."""
    paddle.set_device("cpu")
    await_first_process()
    paddle.distributed.init_parallel_env()
    rank = paddle.distributed.get_rank()
    arrays, results = np.load(folder / "arrays.npz"), {}
    for case in sorted({name.split("/")[0] for name in arrays.files}):
        kind = case.split("-")[0]
        own = [int(count) for count in case.split("-")[1].split(",")]
        images, weights = arrays[f"{case}/images"], arrays[f"{case}/weights"]
        rows, start = max(own), sum(own[:rank])
        # The padding is extreme and has no weight.
        part = np.full((rows, *images.shape[1:]), 1e3, images.dtype)
        part_weights = np.zeros((rows, weights.shape[1]), weights.dtype)
        part[: own[rank]] = images[start : start + own[rank]]
        part_weights[: own[rank]] = weights[start : start + own[rank]]
        net = network(kind)
        real = convert_sync_batch_norm(net)
        if min(own) < rows:
            real.own, real.total = own[rank], sum(own)
        results.update({f"{case}/{name}": value for name, value in step(net, part, part_weights).items()})
    np.savez(folder / f"{rank}.npz", **results)

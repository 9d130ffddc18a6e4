"""Batch normalization with the statistics of the whole batch, of which each of several processes has a part.

Paddle's `convert_sync_batchnorm` skips `paddle.nn.BatchNorm`, of which its DenseNets consist, and the layer that it
inserts has no CPU kernel. Its GPU kernel counts every image, including those that pad a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from chexnet.device import is_gpu, paddle

_BATCH_NORM = (paddle.nn.BatchNorm, paddle.nn.BatchNorm1D, paddle.nn.BatchNorm2D, paddle.nn.BatchNorm3D)


@dataclass
class RealImages:
    """Number of real images in the batch of the present step. The others are padding and do not count.

    Attributes:
        own: images at the beginning of this process's part that are real, possibly none; None if all are.
        total: real images in the parts of all processes, at least one; None if all are. All processes set the same.
    """

    own: int | None = None
    total: int | None = None


def convert_sync_batch_norm(network: paddle.nn.Layer) -> RealImages:
    """Make all batch normalization of a network use the statistics of the whole batch, over all processes.

    Layers, parameters, their names and their values stay as they are. Only the forward pass in training mode changes:
    each process is given a part of the batch, all of one shape, and the running statistics become the same in all.
    Gradients of the layers' parameters are those of the own part, as for any other layer; their sum over the
    processes is the gradient of the whole batch. Layers that always use their running statistics are left alone.

    On a GPU, a batch without padding goes through Paddle's SyncBatchNorm kernel. It cannot leave out images, so a
    batch with padding is computed as on a CPU, with the same collectives on the GPU.

    Args:
        network: the network, on the device where it is trained.

    Returns:
        The numbers of real images that the layers count. Set them before every step, or once if they are
        always the same.
    """
    real = RealImages()
    for layer in network.sublayers(include_self=True):
        if isinstance(layer, _BATCH_NORM) and layer._use_global_stats is not True:
            layer.forward = partial(_forward, layer, layer.forward, _gpu_layer(layer) if is_gpu() else None, real)
    return real


def _forward(
    layer: Any, own_forward: Callable[..., paddle.Tensor], gpu_layer: Any, real: RealImages, x: paddle.Tensor
) -> paddle.Tensor:
    if not layer.training:
        return own_forward(x)
    images = x.shape[0] * paddle.distributed.get_world_size()
    total = images if real.total is None else real.total
    if gpu_layer is not None and total == images:
        y = gpu_layer(x)
    else:
        with paddle.amp.auto_cast(enable=False):
            y = _normalize(layer, x, x.shape[0] if real.own is None else real.own, total)
    activation = getattr(layer, "_act", None)  # of `nn.BatchNorm` only
    return getattr(paddle.nn.functional, activation)(y) if activation else y


def _gpu_layer(layer: Any) -> paddle.nn.SyncBatchNorm:
    """Return Paddle's SyncBatchNorm with the parameters of a layer."""
    gpu_layer = paddle.nn.SyncBatchNorm(
        layer._mean.shape[0], layer._momentum, layer._epsilon, data_format=_layout(layer)
    )
    for name in ("weight", "bias"):
        if getattr(layer, name) is None:
            getattr(gpu_layer, name).stop_gradient = True
        else:
            setattr(gpu_layer, name, getattr(layer, name))
    gpu_layer._mean, gpu_layer._variance = layer._mean, layer._variance
    return gpu_layer


def _layout(layer: Any) -> str:
    return getattr(layer, "_data_layout", None) or layer._data_format


def _normalize(layer: Any, x: paddle.Tensor, own: int, total: int) -> paddle.Tensor:
    """Normalize [N, C, ...], scale and shift; update the running statistics by the rule of Paddle's layers."""
    channel = 1 if _layout(layer).startswith("NC") else x.ndim - 1
    values = x.astype("float32") if x.dtype in (paddle.float16, paddle.bfloat16) else x
    normalized, mean, variance = _Normalize.apply(values, own, total, channel, layer._epsilon)
    with paddle.no_grad():
        for running, batch in ((layer._mean, mean), (layer._variance, variance)):  # the variance is the biased one
            paddle.assign(running * layer._momentum + batch.astype(running.dtype) * (1 - layer._momentum), running)
    shape = [-1 if axis == channel else 1 for axis in range(x.ndim)]
    if layer.weight is not None:
        normalized = normalized * layer.weight.reshape(shape)
    if layer.bias is not None:
        normalized = normalized + layer.bias.reshape(shape)
    return normalized.astype(x.dtype)


class _Normalize(paddle.autograd.PyLayer):
    """(x - mean) / sqrt(variance + epsilon), with the mean and variance of the real images of all processes."""

    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, own: int, total: int, channel: int, epsilon: float
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != channel]
        cells = x.size // (x.shape[0] * x.shape[channel])  # per image and channel
        shape = [-1 if axis == channel else 1 for axis in range(x.ndim)]
        own_mean = squares = paddle.zeros([x.shape[channel]], x.dtype)
        if own:
            images = x[:own]
            own_mean = images.mean(axes)
            squares = (images - own_mean.reshape(shape)).square().sum(axes)
        # Squares around the own mean, combined in float64: no digits cancel.
        own_mean, squares = own_mean.astype("float64"), squares.astype("float64")
        sums = paddle.stack([own_mean * (own * cells), squares + own_mean.square() * (own * cells)])
        mean, second_moment = _sum_over_processes(sums) / (total * cells)
        variance = second_moment - mean.square()
        deviation = (variance + epsilon).sqrt()
        y = (x - mean.astype(x.dtype).reshape(shape)) / deviation.astype(x.dtype).reshape(shape)
        ctx.save_for_backward(y, deviation)
        ctx.own, ctx.count, ctx.axes, ctx.shape = own, total * cells, axes, shape
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, dy: paddle.Tensor, *_: paddle.Tensor) -> paddle.Tensor:
        y, deviation = ctx.saved_tensor()
        sums = paddle.stack([dy.sum(ctx.axes), (dy * y).sum(ctx.axes)]).astype("float64")
        dmean, dscale = (value.astype(dy.dtype).reshape(ctx.shape) for value in _sum_over_processes(sums) / ctx.count)
        dx = dy - dmean - y * dscale
        if ctx.own < dy.shape[0]:  # the statistics do not depend on padding
            dx = paddle.concat([dx[: ctx.own], dy[ctx.own :]]) if ctx.own else dy
        return dx / deviation.astype(dy.dtype).reshape(ctx.shape)


def _sum_over_processes(values: paddle.Tensor) -> paddle.Tensor:
    if paddle.distributed.get_world_size() > 1:
        paddle.distributed.all_reduce(values)
    return values

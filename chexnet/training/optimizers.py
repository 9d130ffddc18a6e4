"""Optimizers of a run."""

from typing import Any

import paddle
from paddle.nn import ClipGradByGlobalNorm
from paddle.optimizer import Adam, AdamW, Momentum
from paddle.optimizer.lr import LRScheduler

from chexnet.config import TrainConfig


def build_optimizer(config: TrainConfig, schedule: LRScheduler, network: paddle.nn.Layer) -> paddle.optimizer.Optimizer:
    """Return the optimizer of a run; its other parameters are Paddle's defaults.

    - `adam`: Kingma and Ba, ICLR 2015. `weight_decay` times the weight is added to each gradient, as PyTorch's Adam
      does: L2 regularization of all parameters.
    - `adamw`: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019. Each step subtracts learning
      rate times `weight_decay` times the weight. Biases and batch norm, which have one axis, do not decay.
    - `sgd`: with momentum 0.9, and L2 regularization of all parameters.

    With `clip_grad_norm`, gradients are scaled down to that norm over all parameters, before L2 regularization (Pascanu
    et al., ICML 2013).
    """
    parameters = network.parameters()
    shared: dict[str, Any] = {"parameters": parameters}
    if config.clip_grad_norm:
        shared["grad_clip"] = ClipGradByGlobalNorm(config.clip_grad_norm)
    if config.optimizer == "adamw":
        decaying = {parameter.name for parameter in parameters if len(parameter.shape) > 1}
        return AdamW(schedule, weight_decay=config.weight_decay, apply_decay_param_fun=decaying.__contains__, **shared)
    if config.weight_decay:
        shared["weight_decay"] = config.weight_decay
    # One call updates all parameters; Paddle selects them in the first step, so none may be frozen then.
    shared["use_multi_tensor"] = not config.freeze_backbone
    return Adam(schedule, **shared) if config.optimizer == "adam" else Momentum(schedule, **shared)

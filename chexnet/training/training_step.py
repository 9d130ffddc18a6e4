"""The training step and the validation step that `paddle.Model.fit` runs for each batch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paddle
from paddle.nn.functional import sigmoid

from chexnet import device
from chexnet.errors import InputError
from chexnet.model import CheXNet
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import Loss, loss_of_heads
from chexnet.training.run_state import RunState
from chexnet.training.state_checks import check_fits

StepResult = tuple[list[float], list[None]]
"""Return value of a step in `paddle.Model`: the losses, and one value per metric, which it does not use."""

_AUTOCAST: Mapping[str, Mapping[str, Any]] = {
    "off": {"enable": False},
    "O1": {"level": "O1", "dtype": "float16"},
    "O2": {"level": "O2", "dtype": "float16"},
    "bf16": {"level": "O1", "dtype": "bfloat16"},
}
"""Level of mixed precision, one of `chexnet.config.AMP_LEVELS` -> arguments of `paddle.amp.auto_cast`."""


class TrainingModel(paddle.Model):
    """A CheXNet with loss, metric and optimizer. `fit` calls `train_batch` and `eval_batch` for each batch.

    The steps are overridden, because those of `paddle.Model`

    - compute the loss of probabilities, whereas losses take logits,
    - create the loss scaler in the first step, whereas a resumed run restores it,
    - know neither bfloat16 nor autocast in validation,
    - set gradients to zero, one kernel per parameter, instead of releasing them,
    - wait for the GPU in every step to copy the loss and the probabilities. Here these stay on the GPU until they are
      used: `fit` gets a loss of NaN in a step whose metric is not computed either, unless `fetch_always` is set.

    Args:
        network: the network. With O2, its weights become float16 except those of batch norm.
        loss: the loss of one head.
        metric: receives the probabilities and labels of every batch.
        optimizer: optimizer of the network's parameters.
        amp: mixed precision, one of `chexnet.config.AMP_LEVELS`.

    Attributes:
        optimizer: the optimizer. With O2, it updates float32 copies of the float16 weights, the master weights.
        scaler: loss scaler of mixed precision with float16. Otherwise it does nothing and its state is empty.
        fetch_always: whether every step returns its loss; True on the CPU.
    """

    def __init__(
        self, network: CheXNet, loss: Loss, metric: AUROC, optimizer: paddle.optimizer.Optimizer, amp: str
    ) -> None:
        if amp == "O2":
            # Before the constructor of `paddle.Model`, which prepares the parameters for several devices.
            # Excluding the class CheXNet keeps the constants of the normalization, its only own values, in float32.
            paddle.amp.decorate(network, optimizer, level="O2", excluded_layers=[CheXNet])
        super().__init__(network)
        self.prepare(optimizer, loss, metric)
        self.loss = loss
        self.metric = metric
        self.optimizer = optimizer
        self.scaler = paddle.amp.GradScaler(enable=amp in ("O1", "O2"))
        self.fetch_always = not device.is_gpu()
        self._autocast = _AUTOCAST[amp]
        self._losses: list[paddle.Tensor] = []

    def restore(self, saved: RunState) -> None:
        """Restore the optimizer, the loss scaler and the metric. Raises InputError if the state does not fit them."""
        check_fits(saved, self.network.parameters(), self.network.out_size)
        try:
            self.optimizer.set_state_dict(_named_master_weights(saved.optimizer))
            self.scaler.load_state_dict(dict(saved.scaler))
            if saved.metric_state:
                self.metric.update(saved.metric_state["probabilities"], saved.metric_state["labels"])
        except Exception as error:  # Paddle raises various types
            reason = (str(error) or type(error).__name__)[:200]
            raise InputError(f"the saved state does not fit the network and its optimizer: {reason}") from error

    def train_batch(self, inputs: Sequence[Any], labels: Sequence[Any], update: bool = True) -> StepResult:
        """Train on one batch: forward, loss, backward, update.

        Args:
            inputs: the images, see `CheXNet`.
            labels: the labels, float32 [B, C].
            update: whether to update the parameters; always True in this package.
        """
        self.network.train()
        images, targets = device.to_device(inputs[0]), device.to_device(labels[0])
        with paddle.amp.auto_cast(**self._autocast):
            logits = self.network.training_logits(images)
        loss = loss_of_heads(self.loss, logits, targets)
        scaled = self.scaler.scale(loss)
        scaled.backward()
        if update:
            self.scaler.minimize(self.optimizer, scaled)
            self.optimizer.clear_grad(set_to_zero=False)
        return self._result(loss, logits[0], labels[0])

    @paddle.no_grad()  # type: ignore[untyped-decorator]
    def eval_batch(self, inputs: Sequence[Any], labels: Sequence[Any]) -> StepResult:
        """Compute the loss and the metric of one batch of the validation set; arguments as for `train_batch`."""
        self.network.eval()
        images, targets = device.to_device(inputs[0]), device.to_device(labels[0])
        with paddle.amp.auto_cast(**self._autocast):
            logits = self.network.logits(images)
        return self._result(loss_of_heads(self.loss, [logits], targets), logits, labels[0])

    @property
    def fetches_losses(self) -> bool:
        """Whether the current step returns its loss."""
        return self.fetch_always or self.metric.compute_now

    def take_losses(self) -> list[float]:
        """Return the losses of all batches since the last call, in order, in one copy from the device."""
        losses, self._losses = self._losses, []
        return paddle.stack(losses).tolist() if losses else []

    def _result(self, loss: paddle.Tensor, logits: paddle.Tensor, labels: Any) -> StepResult:
        self.metric.update(sigmoid(logits.detach()), labels)
        self._losses.append(loss.detach())
        return [float(loss) if self.fetches_losses else math.nan], [None]


def _named_master_weights(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an optimizer whose master weights are tensors with the names that Paddle gives them.

    Paddle names the moments of a master weight after its tensor, and finds them by this name.
    """
    state = dict(optimizer)
    if "master_weights" in state:
        state["master_weights"] = {
            name: _named_tensor(array, f"{name}_fp32_master_0") for name, array in state["master_weights"].items()
        }
    return state


def _named_tensor(array: np.ndarray, name: str) -> paddle.Tensor:
    tensor = paddle.to_tensor(array)
    tensor.name = name
    return tensor

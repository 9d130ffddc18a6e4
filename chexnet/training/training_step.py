"""The training step and the validation step that `paddle.Model.fit` runs for each batch."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import paddle
from paddle.nn.functional import sigmoid

from chexnet import device, distributed
from chexnet.device import launched
from chexnet.errors import InputError
from chexnet.model import CheXNet
from chexnet.model.sync_batch_norm import convert_sync_batch_norm
from chexnet.training.agreement import Agreement
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
        agreement: exchanges the losses of several processes; None in one process.
        sync_bn: whether batch normalization uses the statistics of the whole batch in several processes.
        may_freeze: whether parameters may stop and start being trained.

    Attributes:
        optimizer: the optimizer. With O2, it updates float32 copies of the float16 weights, the master weights.
        scaler: loss scaler of mixed precision with float16. Otherwise it does nothing and its state is empty.
        fetch_always: whether every step returns its loss; True on the CPU.
        validated: network that is validated; the one that is trained, unless it is set to another.
        frozen_layers: layers that compute as in validation while the others are trained.
    """

    def __init__(
        self,
        network: CheXNet,
        loss: Loss,
        metric: AUROC,
        optimizer: paddle.optimizer.Optimizer,
        amp: str,
        agreement: Agreement | None = None,
        sync_bn: bool = False,
        may_freeze: bool = False,
    ) -> None:
        if amp == "O2":
            # Before the constructor of `paddle.Model`, which prepares the parameters for several devices.
            # Excluding the class CheXNet keeps the constants of the normalization, its only own values, in float32.
            paddle.amp.decorate(network, optimizer, level="O2", excluded_layers=[CheXNet])
        with distributed.as_one_process():  # `paddle.Model` would wrap the network with another forward pass
            super().__init__(network)
        self.validated = network
        self.frozen_layers: Sequence[paddle.nn.Layer] = ()
        self._real_images = convert_sync_batch_norm(network) if sync_bn and launched() > 1 else None
        logits = _TrainingLogits(network)
        self._training_logits = (
            paddle.DataParallel(logits, find_unused_parameters=may_freeze) if launched() > 1 else logits
        )
        self.agreement = agreement
        self.prepare(optimizer, loss, metric)
        self.loss = loss
        self.metric = metric
        self.optimizer = optimizer
        self.scaler = paddle.amp.GradScaler(enable=amp in ("O1", "O2"))
        self.fetch_always = not device.is_gpu()
        self._autocast = _AUTOCAST[amp]
        self._losses: list[tuple[paddle.Tensor, int]] = []
        self._taken: list[float] = []

    def restore(self, saved: RunState) -> None:
        """Restore the optimizer, the loss scaler and the metric. Raises InputError if the state does not fit them."""
        check_fits(saved, self.network.parameters(), self.network.out_size)
        try:
            self.optimizer.set_state_dict(_named_master_weights(saved.optimizer))
            self.scaler.load_state_dict(dict(saved.scaler))
            if saved.metric_state:
                self.metric.load_state_dict(saved.metric_state)
        except Exception as error:  # Paddle raises various types
            reason = (str(error) or type(error).__name__)[:200]
            raise InputError(f"the saved state does not fit the network and its optimizer: {reason}") from error

    def train_batch(self, inputs: Sequence[Any], labels: Sequence[Any], update: bool = True) -> StepResult:
        """Train on one batch: forward and backward for each of its parts, then one update.

        The gradient is that of the mean loss of the whole batch: of all its parts, and in all processes.

        Args:
            inputs: the images, see `CheXNet`.
            labels: the labels, float32 [B, C], and the sizes of the parts, see `PieceLoader`; without sizes, the batch
                is whole.
            update: whether to update the parameters; always True in this package.
        """
        images, targets, sizes = device.to_device(inputs[0]), device.to_device(labels[0]), _sizes(labels)
        total, end, losses = int(sizes[:, 2].sum()), 0, []
        for own, given, in_part in sizes.tolist():
            start, end = end, end + given
            last = end == len(labels[0])
            with nullcontext() if last or launched() == 1 else self._training_logits.no_sync():
                logits = self._forward_part(images, start, own, given, in_part)
                loss = self._loss_of_part(logits, _rows(targets, start, start + own))
                share = own * launched() / total  # Paddle averages the gradients of the processes
                scaled = self.scaler.scale(loss if share == 1 else loss * share)
                scaled.backward()
            losses.append((loss.detach(), own))
            self._update_metric(logits[0].detach(), labels[0], start, own)
        if update:
            self.scaler.minimize(self.optimizer, scaled)
            self.optimizer.clear_grad(set_to_zero=False)
        return self._result(*_mean(losses))

    @paddle.no_grad()  # type: ignore[untyped-decorator]
    def eval_batch(self, inputs: Sequence[Any], labels: Sequence[Any]) -> StepResult:
        """Compute the loss and the metric of one batch of the validation set; arguments as for `train_batch`.

        A batch has one part. Its images are computed together, so the results do not depend on other processes.
        """
        self.validated.eval()
        images, targets = device.to_device(inputs[0]), device.to_device(labels[0])
        own = int(_sizes(labels)[0, 0])
        with paddle.amp.auto_cast(**self._autocast):
            logits = self.validated.logits(_rows(images, 0, max(own, 1)))
        self._update_metric(logits, labels[0], 0, own)
        return self._result(self._loss_of_part([logits], _rows(targets, 0, own)), own)

    @property
    def fetches_losses(self) -> bool:
        """True if the current step returns its loss."""
        return self.fetch_always or self.metric.compute_now

    def take_losses(self) -> list[float]:
        """Return the losses of all batches since the last call, in order.

        They are copied from the device at once and exchanged between the processes, which all call this method after
        the same steps.
        """
        self._collect()
        taken, self._taken = self._taken, []
        return taken

    def _forward_part(
        self, images: paddle.Tensor, start: int, own: int, given: int, in_part: int
    ) -> Sequence[paddle.Tensor]:
        """Return the logits of all heads for the images of a part, beginning with the `own` ones that count."""
        self.network.train()
        for layer in self.frozen_layers:
            layer.eval()
        if self._real_images is not None:
            self._real_images.own, self._real_images.total = own, in_part
        elif not own:  # the running statistics must not count a repeated image either
            self.network.eval()
        rows = given if self._real_images is not None else max(own, 1)
        with paddle.amp.auto_cast(**self._autocast):
            logits: Sequence[paddle.Tensor] = self._training_logits(_rows(images, start, start + rows))
        return logits

    def _loss_of_part(self, logits: Sequence[paddle.Tensor], targets: paddle.Tensor) -> paddle.Tensor:
        """Return the mean loss of the images that have targets; without any, 0, which has a gradient of zeros."""
        if not len(targets):
            return 0.0 * sum(head.sum() for head in logits)
        return loss_of_heads(self.loss, [_rows(head, 0, len(targets)) for head in logits], targets)

    def _update_metric(self, logits: paddle.Tensor, labels: Any, start: int, own: int) -> None:
        self.metric.update(sigmoid(_rows(logits, 0, own)), _rows(labels, start, start + own))

    def _result(self, loss: paddle.Tensor, images: int) -> StepResult:
        self._losses.append((loss.detach(), images))
        if not self.fetches_losses:
            return [math.nan], [None]
        self._collect()
        return [self._taken[-1]], [None]

    def _collect(self) -> None:
        if not self._losses:
            return
        losses, images = zip(*self._losses, strict=True)
        self._losses = []
        values = paddle.stack(losses).tolist()
        if self.agreement is not None and launched() > 1:
            values = self.agreement.exchange(np.array(values), np.array(images, float)).tolist()
        self._taken += values


class _TrainingLogits(paddle.nn.Layer):
    """The forward pass that `paddle.DataParallel` prepares for a backward pass."""

    def __init__(self, network: CheXNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """Return the logits of all heads, the main one first."""
        return self.network.training_logits(images)


def _sizes(labels: Sequence[Any]) -> np.ndarray:
    """Return the sizes of the parts of a batch, see `PieceLoader`."""
    return np.asarray(labels[1]) if len(labels) > 1 else np.full((1, 3), len(labels[0]))


def _rows(array: Any, start: int, end: int) -> Any:
    """Return rows of an array or a tensor; without a copy if these are all rows."""
    return array if (start, end) == (0, len(array)) else array[start:end]


def _mean(losses: Sequence[tuple[paddle.Tensor, int]]) -> tuple[paddle.Tensor, int]:
    """Return the mean loss of parts, and the number of their images; the arguments are these of each part."""
    if len(losses) == 1:
        return losses[0]
    images = sum(count for _, count in losses)
    return sum(loss * (count / max(images, 1)) for loss, count in losses), images


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

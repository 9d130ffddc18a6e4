"""The training step and the validation step that `paddle.Model.fit` runs for each batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle.nn.functional import sigmoid

from chexnet.errors import InputError
from chexnet.model import CheXNet
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import Loss, loss_of_heads
from chexnet.training.run_state import RunState
from chexnet.training.state_checks import check_fits

StepResult = tuple[list[np.ndarray], list[None]]
"""Return value of a step in `paddle.Model`: the losses, and one value per metric, which it does not use."""


class TrainingModel(paddle.Model):
    """A CheXNet with loss, metric and optimizer. `fit` calls `train_batch` and `eval_batch` for each batch.

    The steps are overridden for two reasons. Losses take logits, whereas the network returns probabilities. A resumed
    run restores the loss scaler, which `paddle.Model` would create in the first step.

    Args:
        network: the network.
        loss: the loss of one head.
        metric: receives the probabilities and labels of every batch.
        optimizer: optimizer of the network's parameters.
        amp: mixed precision, `off`, `O1` or `O2`.

    Attributes:
        optimizer: the optimizer.
        scaler: loss scaler of mixed precision. Without mixed precision it does nothing and its state is empty.
    """

    def __init__(
        self, network: CheXNet, loss: Loss, metric: AUROC, optimizer: paddle.optimizer.Optimizer, amp: str
    ) -> None:
        super().__init__(network)
        self.amp_level = "O0" if amp == "off" else amp
        self.prepare(optimizer, loss, metric, amp_configs=self.amp_level)
        self.loss = loss
        self.metric = metric
        self.optimizer = optimizer
        self.scaler = paddle.amp.GradScaler(enable=self.amp_level != "O0")

    def restore(self, saved: RunState) -> None:
        """Restore the optimizer, the loss scaler and the metric. Raises InputError if the state does not fit them."""
        shapes = {parameter.name: tuple(parameter.shape) for parameter in self.network.parameters()}
        check_fits(saved, shapes, self.network.out_size)
        try:
            self.optimizer.set_state_dict(dict(saved.optimizer))
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
        images, targets = paddle.to_tensor(inputs[0]), paddle.to_tensor(labels[0])
        with paddle.amp.auto_cast(enable=self.amp_level != "O0", level=self.amp_level):
            logits = self.network.training_logits(images)
        loss = loss_of_heads(self.loss, logits, targets)
        scaled = self.scaler.scale(loss)
        scaled.backward()
        if update:
            self.scaler.minimize(self.optimizer, scaled)
            self.network.clear_gradients()
        return self._result(loss, logits[0], targets)

    @paddle.no_grad()  # type: ignore[untyped-decorator]
    def eval_batch(self, inputs: Sequence[Any], labels: Sequence[Any]) -> StepResult:
        """Compute the loss and the metric of one batch of the validation set; arguments as for `train_batch`."""
        self.network.eval()
        logits, targets = self.network.logits(paddle.to_tensor(inputs[0])), paddle.to_tensor(labels[0])
        return self._result(loss_of_heads(self.loss, [logits], targets), logits, targets)

    def _result(self, loss: paddle.Tensor, logits: paddle.Tensor, labels: paddle.Tensor) -> StepResult:
        self.metric.update(sigmoid(logits.detach()).numpy(), labels.numpy())
        return [loss.numpy()], [None]

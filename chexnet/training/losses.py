"""Losses: binary cross-entropy, and the sum of a loss over auxiliary heads."""

from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from chexnet.errors import InputError

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]
"""Logits float32 [B, C] and labels float32 [B, C], 0 or 1 -> the loss of the batch, one number. Any callable, such as
`paddle.nn.BCEWithLogitsLoss()`."""

AUXILIARY_WEIGHT = 0.3
"""Weight of the loss of each auxiliary head (Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 5)."""


class BinaryCrossEntropy(nn.Layer):
    """Mean binary cross-entropy of the sigmoid of logits; NaN where a logit is NaN.

    `paddle.nn.BCELoss` gives the same values, but its kernels raise an error at a NaN. On a GPU the process cannot
    recover from it.
    """

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the loss, of shape [], of logits and labels [B, C]."""
        probabilities = nn.functional.sigmoid(logits)
        safe = paddle.where(paddle.isfinite(probabilities), probabilities, paddle.full_like(probabilities, 0.5))
        nan_guard = (probabilities - probabilities).mean()  # NaN if any probability is, else 0, as is its gradient
        return nn.functional.binary_cross_entropy(safe, labels) + nan_guard


def loss_of_heads(loss: Loss, logits: Sequence[paddle.Tensor], labels: paddle.Tensor) -> paddle.Tensor:
    """Return the loss of the main head plus AUXILIARY_WEIGHT times that of each auxiliary head.

    Args:
        loss: computes the loss of one head.
        logits: logits of the main head, then those of the auxiliary heads, which GoogLeNet has in training.
        labels: labels of the batch, float32 [B, C].

    Raises:
        InputError: the loss did not return one number.
    """
    total, *auxiliary = (_checked(loss, head, labels) for head in logits)
    for value in auxiliary:
        total = total + AUXILIARY_WEIGHT * value
    return total


def _checked(loss: Loss, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    value = loss(logits, labels)
    if not isinstance(value, paddle.Tensor) or value.size != 1:
        found = f"shape {value.shape}" if isinstance(value, paddle.Tensor) else f"a {type(value).__name__}"
        raise InputError(f"loss: returned {found}, expected a tensor of one number per batch")
    return value.reshape([])

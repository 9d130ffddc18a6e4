"""The loss of the recipe, safe to compute when a network has diverged."""

import paddle
from paddle import nn


class BinaryCrossEntropy(nn.Layer):
    """Mean binary cross-entropy of probabilities; NaN where a probability is NaN.

    `paddle.nn.BCELoss` gives the same values, but its kernels stop the program at a NaN, on a GPU for good.
    """

    def forward(self, probabilities: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Probabilities and labels [B, C] -> a loss of no dimensions."""
        harmless = paddle.full_like(probabilities, 0.5)
        finite = paddle.where(paddle.isfinite(probabilities), probabilities, harmless)
        nan_if_any = (probabilities - probabilities).mean()  # else 0, as is its gradient
        return nn.functional.binary_cross_entropy(finite, labels) + nan_if_any

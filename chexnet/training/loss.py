"""The loss of the recipe, safe to compute when a network has diverged."""

import paddle
from paddle import nn

AUXILIARY_WEIGHT = 0.3
"""Of the loss of each auxiliary head (Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 5)."""


class BinaryCrossEntropy(nn.Layer):
    """Mean binary cross-entropy of probabilities; NaN where a probability is NaN.

    That of auxiliary heads, which GoogLeNet has while it trains, is added with AUXILIARY_WEIGHT each.

    `paddle.nn.BCELoss` gives the same values, but its kernels stop the program at a NaN, on a GPU for good.
    """

    def forward(self, *outputs_and_labels: paddle.Tensor) -> paddle.Tensor:
        """Probabilities, those of auxiliary heads, if any, and labels, [B, C] each -> a loss of no dimensions."""
        probabilities, *auxiliary, labels = outputs_and_labels
        loss = self._of_one(probabilities, labels)
        for one in auxiliary:
            loss = loss + AUXILIARY_WEIGHT * self._of_one(one, labels)
        return loss

    def _of_one(self, probabilities: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        harmless = paddle.full_like(probabilities, 0.5)
        finite = paddle.where(paddle.isfinite(probabilities), probabilities, harmless)
        nan_if_any = (probabilities - probabilities).mean()  # else 0, as is its gradient
        return nn.functional.binary_cross_entropy(finite, labels) + nan_if_any

"""Losses on logits, each the mean over images and classes, and the sum of a loss over auxiliary heads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
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


class WeightedBinaryCrossEntropy(nn.Layer):
    """Mean binary cross-entropy with a weight per class for positives and one for negatives.

    Rajpurkar et al., CheXNet, arXiv:1711.05225, section 2.1, for the network with one output: the weight of positives
    is the fraction of negatives in the training list, and that of negatives the fraction of positives.

    The best output for a probability p is then q with logit(q) = logit(p) + log(weight of positives / weight of
    negatives), so the outputs are not calibrated.

    Args:
        labels: labels of the training list, 0 or 1 [N, C].

    Attributes:
        positive: weights of positives, float64 [C].
        negative: weights of negatives, float64 [C].
    """

    def __init__(self, labels: np.ndarray) -> None:
        super().__init__()
        self.negative: np.ndarray = np.asarray(labels, np.float64).mean(axis=0)
        self.positive: np.ndarray = 1 - self.negative

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the loss, of shape [], of logits and labels [B, C]."""
        positive, negative = (paddle.to_tensor(weights, dtype="float32") for weights in (self.positive, self.negative))
        log_p, log_not_p = _log_probabilities(logits)
        return -(positive * labels * log_p + negative * (1 - labels) * log_not_p).mean()


class FocalLoss(nn.Layer):
    """Mean focal loss, Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5.

    Args:
        gamma: exponent of the factor that reduces the loss of well classified labels.
        alpha: weight of positives; that of negatives is 1 - alpha. The defaults are the best ones of the paper.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the loss, of shape [], of logits and labels [B, C]."""
        log_p, log_not_p = _log_probabilities(logits)
        positive = self.alpha * _power(log_not_p.exp(), self.gamma) * log_p
        negative = (1 - self.alpha) * _power(log_p.exp(), self.gamma) * log_not_p
        return -(labels * positive + (1 - labels) * negative).mean()


class AsymmetricLoss(nn.Layer):
    """Mean asymmetric loss, Ridnik et al., Asymmetric Loss for Multi-Label Classification, ICCV 2021, equation 7.

    The paper adds up the classes instead. The defaults are those of its experiments on MS-COCO.

    Args:
        gamma_negative: exponent of the factor that reduces the loss of negatives with a low probability.
        gamma_positive: the same for positives with a high probability.
        margin: probability up to which a negative has no loss.
    """

    def __init__(self, gamma_negative: float = 4.0, gamma_positive: float = 0.0, margin: float = 0.05) -> None:
        super().__init__()
        self.gamma_negative = gamma_negative
        self.gamma_positive = gamma_positive
        self.margin = margin

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Return the loss, of shape [], of logits and labels [B, C]."""
        log_p, log_not_p = _log_probabilities(logits)
        shifted = nn.functional.relu(log_p.exp() - self.margin)
        positive = _power(log_not_p.exp(), self.gamma_positive) * log_p
        negative = _power(shifted, self.gamma_negative) * paddle.log1p(-shifted)
        return -(labels * positive + (1 - labels) * negative).mean()


def build_loss(name: str, labels: np.ndarray) -> nn.Layer:
    """Return a loss by its name, one of `chexnet.config.LOSSES`; `labels` are those of the training list, [N, C]."""
    if name == "weighted_bce":
        return WeightedBinaryCrossEntropy(labels)
    losses: Mapping[str, type[nn.Layer]] = {"bce": BinaryCrossEntropy, "focal": FocalLoss, "asl": AsymmetricLoss}
    return losses[name]()


def loss_metadata(name: str, loss: Loss, classes: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of weights that were trained with a loss of this name; nothing for `bce`."""
    if name == "bce":
        return {}
    metadata: dict[str, Any] = {
        "loss": name,
        "notice": f"Trained with the loss {name}: the probabilities are not calibrated (docs/recipes.md).",
    }
    if isinstance(loss, WeightedBinaryCrossEntropy):
        weights = zip(classes, loss.positive.tolist(), loss.negative.tolist(), strict=True)
        metadata["class_weights"] = {
            name: {"positive": positive, "negative": negative} for name, positive, negative in weights
        }
    return metadata


def format_weights(loss: Loss, classes: Sequence[str]) -> list[str]:
    """Return the class weights of a loss as a line of text; none if it has no such weights."""
    if not isinstance(loss, WeightedBinaryCrossEntropy):
        return []
    pairs = zip(classes, loss.positive, loss.negative, strict=True)
    weights = ", ".join(f"{name} {positive:.4f}/{negative:.4f}" for name, positive, negative in pairs)
    return [f"=> weights of positives/negatives: {weights}"]


def _log_probabilities(logits: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Return the logarithms of p and 1 - p."""
    return nn.functional.log_sigmoid(logits), nn.functional.log_sigmoid(-logits)


def _power(base: paddle.Tensor, exponent: float) -> paddle.Tensor | float:
    """Return a power of numbers of at least 0; without the gradient of x ** 0, which is NaN at 0."""
    return base**exponent if exponent else 1.0


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

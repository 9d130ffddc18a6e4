"""AUROC as `paddle.Model` asks for it."""

import warnings
from collections.abc import Sequence

import numpy as np
import paddle

from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc


class AUROC(paddle.metric.Metric):
    """The exact AUROC of every class, over all samples since the last reset.

    Its values are called `AUROC_<class>` and, last, `AUROC_avg`: the mean over the classes that have an
    AUROC. A class without positives or without negatives has none (NaN).

    `paddle.Model` asks for the values after every batch, and ranking all samples each time would cost more
    than the network. While `due` is False, `accumulate` answers NaN at once; the training callbacks make it
    True for the steps whose values are shown or used. It is True until someone sets it.

    Args:
        num_classes: number of columns of labels and probabilities.
        class_names: their names.

    Raises:
        ValueError: the two do not agree.
    """

    def __init__(self, num_classes: int = N_CLASSES, class_names: Sequence[str] = CLASS_NAMES) -> None:
        super().__init__()
        if len(class_names) != num_classes:
            raise ValueError(f"{len(class_names)} class names for {num_classes} classes")
        self.class_names = tuple(class_names)
        self.due = True
        self.reset()

    def name(self) -> list[str]:
        """`AUROC_<class>` for each class, then `AUROC_avg`."""
        return [*(f"AUROC_{name}" for name in self.class_names), "AUROC_avg"]

    def reset(self) -> None:
        """Forgets all samples."""
        self._labels: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []

    def compute(self, probabilities: paddle.Tensor, *others: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """What `update` takes of a network's outputs and the labels: auxiliary heads are left out."""
        return probabilities, others[-1]

    def update(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Takes a batch: probabilities and labels, 0 or 1, [B, C] each."""
        self._probabilities.append(np.asarray(probabilities))
        self._labels.append(np.asarray(labels).astype(np.uint8))  # a quarter of float32 to read through

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels uint8 and probabilities of all samples since the last reset, [N, C] each; N is at least 1."""
        # Kept joined, so that a later call joins its own batches only.
        self._labels = [np.concatenate(self._labels)]
        self._probabilities = [np.concatenate(self._probabilities)]
        return self._labels[0], self._probabilities[0]

    def accumulate(self) -> list[float]:
        """The values in the order of `name()`; all NaN if not due, or if a probability is not finite."""
        undefined = [float("nan")] * (len(self.class_names) + 1)
        if not self.due or not self._labels:
            return undefined
        labels, probabilities = self.seen()
        if not np.isfinite(probabilities).all():
            return undefined
        aurocs = class_aurocs(labels, probabilities)
        with warnings.catch_warnings():
            # Expected while few batches are seen; train() names classes that the whole list leaves undefined.
            warnings.simplefilter("ignore", UndefinedAUROCWarning)
            return [*aurocs.tolist(), mean_auroc(aurocs)]

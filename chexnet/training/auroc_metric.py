"""AUROC as a metric of `paddle.Model`."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import paddle

from chexnet import distributed
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import UndefinedAUROCWarning, class_aurocs, mean_auroc


class AUROC(paddle.metric.Metric):
    """The exact AUROC of every class, over all samples since the last reset.

    The values are named `AUROC_<class>` and, last, `AUROC_avg`: the mean over the classes that have an AUROC. A class
    with only positives or only negatives has none (NaN).

    `paddle.Model` asks for the values after every batch, and ranking all samples each time would take longer than the
    network. While `compute_now` is False, `accumulate` returns NaN at once. The callbacks of a training run set it to
    True for the steps whose values are shown or used; it is True by default.

    Args:
        num_classes: number of columns of labels and probabilities.
        class_names: names of the classes.

    Raises:
        ValueError: `class_names` has another length than `num_classes`.
    """

    def __init__(self, num_classes: int = N_CLASSES, class_names: Sequence[str] = CLASS_NAMES) -> None:
        super().__init__()
        if len(class_names) != num_classes:
            raise ValueError(f"{len(class_names)} class names for {num_classes} classes")
        self.class_names = tuple(class_names)
        self.compute_now = True
        self.reset()

    def name(self) -> list[str]:
        """Return `AUROC_<class>` for each class, then `AUROC_avg`."""
        return [*(f"AUROC_{name}" for name in self.class_names), "AUROC_avg"]

    def reset(self) -> None:
        """Forget all samples."""
        self._labels: list[np.ndarray] = []
        self._probabilities: list[np.ndarray | paddle.Tensor] = []

    def compute(self, probabilities: paddle.Tensor, *others: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return the probabilities of the main head and the labels, without the outputs of auxiliary heads."""
        return probabilities, others[-1]

    def update(self, probabilities: np.ndarray | paddle.Tensor, labels: np.ndarray) -> None:
        """Add a batch: probabilities and labels, 0 or 1, [B, C] each. Tensors stay on their device until needed."""
        self._probabilities.append(probabilities)
        self._labels.append(np.asarray(labels).astype(np.uint8))  # a quarter of the memory of float32

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return `labels` uint8 and `probabilities` of all samples since the last reset, [N, C] each; N is above 0."""
        # Stored concatenated, so that the next call concatenates only the batches since this one.
        self._labels = [np.concatenate(self._labels)]
        probabilities = np.concatenate([np.asarray(batch) for batch in self._probabilities])
        self._probabilities = [probabilities]
        return {"labels": self._labels[0], "probabilities": probabilities}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the samples that `state_dict` returned."""
        self._labels.append(state["labels"])
        self._probabilities.append(state["probabilities"])

    def accumulate(self) -> list[float]:
        """Return the values in the order of `name()`; all NaN unless `compute_now`, or if some input is not finite."""
        undefined = [float("nan")] * (len(self.class_names) + 1)
        if not self.compute_now or not self._labels:
            return undefined
        labels, probabilities = self.state_dict().values()
        if not np.isfinite(probabilities).all():
            return undefined
        aurocs = class_aurocs(labels, probabilities)
        with warnings.catch_warnings():
            # Expected after few batches. train() logs the classes that are undefined over the whole list.
            warnings.simplefilter("ignore", UndefinedAUROCWarning)
            return [*aurocs.tolist(), mean_auroc(aurocs)]


class SharedAUROC(AUROC):
    """The AUROC over the samples of all processes, in the order of the list; every process adds its own.

    `update` is called equally often in all processes, possibly with empty arrays. `accumulate`, if `compute_now`, and
    `state_dict` are called in all of them after the same step.
    """

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._own: list[tuple[np.ndarray | paddle.Tensor, np.ndarray]] = []

    def update(self, probabilities: np.ndarray | paddle.Tensor, labels: np.ndarray) -> None:
        """Add a piece of a batch: probabilities and labels, [B, C] each."""
        self._own.append((probabilities, labels))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return `labels` and `probabilities` of all samples of all processes since the last reset, [N, C] each."""
        self._gather()
        return super().state_dict()

    def accumulate(self) -> list[float]:
        """Return the values in the order of `name()`, see `AUROC`."""
        if self.compute_now:
            self._gather()
        return super().accumulate()

    def _gather(self) -> None:
        own, self._own = self._own, []
        rows = [np.concatenate([np.asarray(values, np.float32) for values in pair], axis=1) for pair in own]
        for batch in distributed.gathered_rows(rows, 2 * len(self.class_names)):
            probabilities, labels = np.split(batch, 2, axis=1)
            super().update(probabilities, labels)

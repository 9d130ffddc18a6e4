"""Operating points: select thresholds on validation images and count their errors on others."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.proportions import wilson

SENSITIVITY = 0.9
"""Minimum sensitivity for the rule `sensitivity`."""


@dataclass(frozen=True)
class Proportion:
    """A proportion of images with its 95 % Wilson interval; NaN if `total` is 0."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The proportion, 0..1."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The lower and upper end of the interval, 0..1."""
        return wilson(self.count, self.total)


@dataclass(frozen=True)
class ConfusionCounts:
    """Confusion counts of one finding at a threshold.

    Attributes:
        threshold: lowest score at which the finding is called present.
        true_positives: number of images with the finding that are called positive.
        false_positives: number of images without the finding that are called positive.
        false_negatives: number of images with the finding that are called negative.
        true_negatives: number of images without the finding that are called negative.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> Proportion:
        """The proportion of images with the finding that are called positive."""
        return Proportion(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Proportion:
        """The proportion of images without the finding that are called negative."""
        return Proportion(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def ppv(self) -> Proportion:
        """The proportion of positive calls that have the finding. It depends on the prevalence."""
        return Proportion(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> Proportion:
        """The proportion of negative calls that do not have the finding. It depends on the prevalence."""
        return Proportion(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and PPV; NaN where neither a label nor a call is positive."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else float("nan")


def confusion_at_threshold(labels: np.ndarray, scores: np.ndarray, threshold: float) -> ConfusionCounts:
    """Count true and false positives and negatives at a threshold: labels [N] of 0 or 1, scores [N]."""
    called, positive = scores >= threshold, labels == 1
    return ConfusionCounts(
        threshold=float(threshold),
        true_positives=int((called & positive).sum()),
        false_positives=int((called & ~positive).sum()),
        false_negatives=int((~called & positive).sum()),
        true_negatives=int((~called & ~positive).sum()),
    )


def select_threshold(labels: np.ndarray, scores: np.ndarray, rule: str) -> float:
    """Select one of the scores [N] as threshold by a rule of RULES; of equally good ones, the highest.

    Integer counts make ties between equally good thresholds exact. The rates of scikit-learn's `roc_curve` do not.

    Raises:
        ValueError: `labels` [N] are only positives or only negatives.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError("only positives or only negatives: no threshold can be selected")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores pass a threshold together
    true_positives = np.cumsum(positive[order])[last]
    false_positives = last + 1 - true_positives
    best = RULES[rule].select(true_positives, false_positives, int(positive.sum()), int((~positive).sum()))
    return float(scores[order][last[best]])


@dataclass(frozen=True)
class Rule:
    """A rule that selects a threshold.

    Attributes:
        description: text for users.
        select: returns the index of the best of K thresholds. Its arguments are the true and the false positives at
            each threshold, int [K], highest threshold first, and the numbers of positives and negatives.
    """

    description: str
    select: Callable[[np.ndarray, np.ndarray, int, int], int]


RULES = {
    "youden": Rule(
        "highest Youden index (sensitivity + specificity - 1)",
        lambda tp, fp, positives, negatives: int(np.argmax(tp * negatives - fp * positives)),
    ),
    "sensitivity": Rule(
        f"highest threshold with a sensitivity of at least {SENSITIVITY:g}",
        lambda tp, fp, positives, negatives: int(np.argmax(tp >= SENSITIVITY * positives)),
    ),
    "f1": Rule(
        "highest F1 score",
        lambda tp, fp, positives, negatives: int(np.argmax(2 * tp / (tp + fp + positives))),
    ),
}
"""Rules by name. Sources: Youden, Cancer 3, 1950; Rajpurkar et al., 2017, section 3, compare CheXNet with radiologists
by their F1 scores."""

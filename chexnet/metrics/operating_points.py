"""Operating points: thresholds that are selected on some images, and their confusion counts on others."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.proportions import wilson

SENSITIVITY = 0.9
"""The least sensitivity of the rule `sensitivity`."""


@dataclass(frozen=True)
class Proportion:
    """`count` of `total` images, with Wilson's 95 % interval; NaN where `total` is 0."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The proportion, 0..1."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the interval, 0..1."""
        return wilson(self.count, self.total)


@dataclass(frozen=True)
class ConfusionCounts:
    """The confusion counts of one finding at a threshold.

    Attributes:
        threshold: the finding is called present at this score and above.
        true_positives: images with the finding that are called positive.
        false_positives: images without it that are called positive.
        false_negatives: images with it that are called negative.
        true_negatives: images without it that are called negative.
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
    """Count the calls of a threshold on images: labels [N] of 0 or 1, scores [N]."""
    called, positive = scores >= threshold, labels == 1
    return ConfusionCounts(
        threshold=float(threshold),
        true_positives=int((called & positive).sum()),
        false_positives=int((called & ~positive).sum()),
        false_negatives=int((~called & positive).sum()),
        true_negatives=int((~called & ~positive).sum()),
    )


def select_threshold(labels: np.ndarray, scores: np.ndarray, rule: str) -> float:
    """Select a threshold, one of the scores [N], by a rule of RULES; of equally good ones the highest.

    Counts are whole numbers here, in which equally good is equal; scikit-learn's `roc_curve` returns rates.

    Raises:
        ValueError: `labels` [N] are only positives or only negatives.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError("only positives or only negatives: no threshold can be selected")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores are called together
    hits = np.cumsum(positive[order])[last]
    alarms = last + 1 - hits
    best = RULES[rule].select(hits, alarms, int(positive.sum()), int((~positive).sum()))
    return float(scores[order][last[best]])


@dataclass(frozen=True)
class Rule:
    """A rule that selects a threshold.

    Attributes:
        words: a description for people.
        select: the index of the best threshold, from the hits and false alarms at each, int [K], highest threshold
            first, and the numbers of positives and negatives.
    """

    words: str
    select: Callable[[np.ndarray, np.ndarray, int, int], int]


RULES = {
    "youden": Rule(
        "highest Youden index (sensitivity + specificity - 1)",
        lambda hits, alarms, positives, negatives: int(np.argmax(hits * negatives - alarms * positives)),
    ),
    "sensitivity": Rule(
        f"highest threshold with a sensitivity of at least {SENSITIVITY:g}",
        lambda hits, alarms, positives, negatives: int(np.argmax(hits >= SENSITIVITY * positives)),
    ),
    "f1": Rule(
        "highest F1 score",
        lambda hits, alarms, positives, negatives: int(np.argmax(2 * hits / (hits + alarms + positives))),
    ),
}
"""Youden, Cancer 3, 1950. By F1, CheXNet is compared with radiologists (Rajpurkar et al., 2017, section 3)."""

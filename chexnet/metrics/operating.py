"""Operating points: thresholds chosen on some images, and what they decide on others."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.proportions import wilson

SENSITIVITY = 0.9
"""That the rule `sensitivity` asks for."""


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95 % interval; NaN where there are none to be a share of."""

    found: int
    of: int

    @property
    def value(self) -> float:
        """0..1."""
        return self.found / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Its ends, 0..1."""
        return wilson(self.found, self.of)


@dataclass(frozen=True)
class Decisions:
    """What a threshold decides.

    Attributes:
        threshold: the finding is called present from this score on.
        true_positives: images with the finding that are called.
        false_positives: images without it that are called.
        false_negatives: images with it that are not called.
        true_negatives: images without it that are not called.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> Share:
        """Of the images with the finding, those that are called."""
        return Share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Share:
        """Of the images without it, those that are not called."""
        return Share(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def ppv(self) -> Share:
        """Of the images that are called, those that have it. It depends on how frequent the finding is."""
        return Share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> Share:
        """Of the images that are not called, those that do not have it. It depends on how frequent the finding is."""
        return Share(self.true_negatives, self.true_negatives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and PPV; NaN where neither a label nor a decision is positive."""
        either = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / either if either else float("nan")


def decide(labels: np.ndarray, scores: np.ndarray, threshold: float) -> Decisions:
    """What a threshold decides on images: labels [N] of 0 or 1, scores [N]."""
    called, positive = scores >= threshold, labels == 1
    return Decisions(
        threshold=float(threshold),
        true_positives=int((called & positive).sum()),
        false_positives=int((called & ~positive).sum()),
        false_negatives=int((~called & positive).sum()),
        true_negatives=int((~called & ~positive).sum()),
    )


def choose(labels: np.ndarray, scores: np.ndarray, rule: str) -> float:
    """The threshold, one of the scores, that a rule of RULES wants; of equally good ones the highest.

    Raises:
        ValueError: `labels` [N] holds one kind only.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError("labels of one kind only: no threshold can be chosen")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of equal scores, all are called or none
    hits = np.cumsum(positive[order])[last]
    alarms = last + 1 - hits
    best = RULES[rule].best(hits, alarms, int(positive.sum()), int((~positive).sum()))
    return float(scores[order][last[best]])


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        words: what it is, for a person.
        best: hits and false alarms of each threshold, int [K], from the highest threshold on, and how many
            positives and negatives there are -> which threshold.
    """

    words: str
    best: Callable[[np.ndarray, np.ndarray, int, int], int]


RULES = {
    "youden": Rule(
        "highest Youden index (sensitivity + specificity - 1)",
        # In whole numbers, in which equally good is equal.
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
"""Youden, Cancer 3, 1950. F1 is by what CheXNet (Rajpurkar et al., 2017, section 3) is compared with radiologists."""

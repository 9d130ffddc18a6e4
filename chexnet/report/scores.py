"""How good predictions are, class by class and in the mean, with intervals."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from chexnet.metrics import UndefinedAUROCWarning, mean_auroc
from chexnet.metrics.bootstrap import REPLICATES, mean_over_classes, percentile_interval, resampled_aurocs
from chexnet.metrics.calibration import Bin, brier, expected_error, reliability
from chexnet.metrics.delong import Difference, Estimate, difference, estimate
from chexnet.metrics.proportions import holm
from chexnet.predictions import Predictions

SEED = 0

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassScores:
    """One class.

    Attributes:
        name: of the finding.
        positives: images that have it.
        negatives: images that do not.
        auroc: with its interval, patients as clusters.
        images: the same with all images as if of different patients, DeLong's own interval.
        bootstrap: the AUROC's interval by resampling patients.
        auprc: average precision; NaN where the AUROC is.
        brier: mean squared error of the probabilities.
        bins: of the reliability diagram.
        ece: expected calibration error.
    """

    name: str
    positives: int
    negatives: int
    auroc: Estimate
    images: Estimate
    bootstrap: Interval
    auprc: float
    brier: float
    bins: list[Bin]
    ece: float

    @property
    def prevalence(self) -> float:
        """Share of the images that have it; a classifier that knows nothing has this AUPRC."""
        return self.positives / (self.positives + self.negatives)

    @property
    def defined(self) -> bool:
        """Whether there are both kinds of label, without which there is no AUROC."""
        return self.positives > 0 and self.negatives > 0


@dataclass(frozen=True)
class Scores:
    """All classes of one set of predictions.

    Attributes:
        classes: in the order of the predictions.
        mean: AUROC over the classes that have one, with the interval by resampling patients, NaN for one patient.
        auprc: mean over the same classes.
        resampled: AUROCs of the resamples, float64 [R, C].
    """

    classes: tuple[ClassScores, ...]
    mean: Estimate
    auprc: float
    resampled: np.ndarray

    @property
    def undefined(self) -> list[str]:
        """Classes without an AUROC."""
        return [one.name for one in self.classes if not one.defined]


@dataclass(frozen=True)
class Comparison:
    """Two sets of predictions of the same images, the first minus the second.

    Attributes:
        classes: DeLong's paired test of each class, in the order of the predictions.
        adjusted: float64 [C], its p-values after Holm.
        mean: difference of the mean AUROCs with its interval by resampling patients; it has no p.
    """

    classes: tuple[Difference, ...]
    adjusted: np.ndarray
    mean: Difference


def score(predictions: Predictions) -> Scores:
    """Everything that one set of predictions says of itself."""
    patients = predictions.patients.clusters
    resampled = resampled_aurocs(predictions.labels, predictions.probabilities, patients, REPLICATES, SEED)
    classes = tuple(
        _score_class(name, labels, probabilities, patients, own)
        for name, labels, probabilities, own in zip(
            predictions.classes, predictions.labels.T, predictions.probabilities.T, resampled.T, strict=True
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # Scores.undefined names them
        mean = mean_auroc(np.array([one.auroc.auroc for one in classes]))
    return Scores(
        classes=classes,
        mean=Estimate(mean, *percentile_interval(mean_over_classes(resampled))),
        auprc=float(np.mean([one.auprc for one in classes if one.defined] or [np.nan])),
        resampled=resampled,
    )


def compare(first: Predictions, second: Predictions, scores: tuple[Scores, Scores]) -> Comparison:
    """The paired comparison of two sets of predictions, the same images in the same order, with their scores."""
    patients = first.patients.clusters
    classes = tuple(
        difference(labels, one, other, patients)
        for labels, one, other in zip(first.labels.T, first.probabilities.T, second.probabilities.T, strict=True)
    )
    means = [mean_over_classes(one.resampled) for one in scores]
    return Comparison(
        classes=classes,
        adjusted=holm(np.array([one.p for one in classes])),
        mean=Difference(
            scores[0].mean.auroc - scores[1].mean.auroc, *percentile_interval(means[0] - means[1]), p=float("nan")
        ),
    )


def _score_class(
    name: str, labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, resampled: np.ndarray
) -> ClassScores:
    positives = int(labels.sum())
    defined = 0 < positives < len(labels)
    bins = reliability(labels, probabilities)
    return ClassScores(
        name=name,
        positives=positives,
        negatives=len(labels) - positives,
        auroc=estimate(labels, probabilities, patients),
        images=estimate(labels, probabilities),
        bootstrap=percentile_interval(resampled),
        auprc=float(average_precision_score(labels, probabilities)) if defined else float("nan"),
        brier=brier(labels, probabilities),
        bins=bins,
        ece=expected_error(bins),
    )

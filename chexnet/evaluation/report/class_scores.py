"""Per-class and mean scores of predictions, with confidence intervals."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from chexnet.evaluation.predictions import Predictions
from chexnet.metrics import UndefinedAUROCWarning, mean_auroc
from chexnet.metrics.bootstrap import REPLICATES, nanmean_over_classes, percentile_interval, resampled_aurocs
from chexnet.metrics.calibration import Bin, brier, expected_calibration_error, reliability
from chexnet.metrics.delong import AUROCEstimate, compare_aurocs, estimate_auroc
from chexnet.metrics.differences import Difference
from chexnet.metrics.proportions import holm

SEED = 0

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class.

    Attributes:
        name: name of the finding.
        positives: number of images with the finding.
        negatives: number of images without it.
        auroc: AUROC with its 95 % interval, patients as clusters.
        images: AUROC with DeLong's own 95 % interval, which treats images as independent.
        bootstrap: 95 % interval of the AUROC from resampling patients.
        auprc: average precision; NaN where the AUROC is undefined.
        brier: mean squared error of the probabilities.
        bins: bins of the reliability diagram.
        ece: expected calibration error.
    """

    name: str
    positives: int
    negatives: int
    auroc: AUROCEstimate
    images: AUROCEstimate
    bootstrap: Interval
    auprc: float
    brier: float
    bins: list[Bin]
    ece: float

    @property
    def prevalence(self) -> float:
        """Fraction of images with the finding, which is also the AUPRC of an uninformative classifier."""
        return self.positives / (self.positives + self.negatives)

    @property
    def defined(self) -> bool:
        """True if there are positives and negatives, so that the AUROC is defined."""
        return self.positives > 0 and self.negatives > 0


@dataclass(frozen=True)
class Scores:
    """Scores of all classes of one set of predictions.

    Attributes:
        classes: scores per class, in the order of the predictions.
        mean: mean AUROC over the classes with a defined AUROC; its 95 % interval is from resampling patients and NaN
            for a single patient.
        auprc: mean AUPRC over the same classes.
        resampled: AUROCs of the resamples, float64 [R, C].
    """

    classes: tuple[ClassScores, ...]
    mean: AUROCEstimate
    auprc: float
    resampled: np.ndarray

    @property
    def undefined(self) -> list[str]:
        """Names of the classes without an AUROC."""
        return [scores.name for scores in self.classes if not scores.defined]


@dataclass(frozen=True)
class Comparison:
    """Differences between two sets of predictions of the same images, first minus second.

    Attributes:
        classes: DeLong's paired test per class, in the order of the predictions.
        adjusted: p-values after Holm's correction, float64 [C].
        mean: difference of the mean AUROCs; its 95 % interval is from resampling patients, its p is NaN.
    """

    classes: tuple[Difference, ...]
    adjusted: np.ndarray
    mean: Difference


def score_predictions(predictions: Predictions) -> Scores:
    """Compute the scores of one set of predictions."""
    patients = predictions.patients.clusters
    resampled = resampled_aurocs(predictions.labels, predictions.probabilities, patients, REPLICATES, SEED)
    classes = tuple(
        _score_class(name, labels, probabilities, patients, replicates)
        for name, labels, probabilities, replicates in zip(
            predictions.classes, predictions.labels.T, predictions.probabilities.T, resampled.T, strict=True
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedAUROCWarning)  # Scores.undefined names the classes
        mean = mean_auroc(np.array([scores.auroc.auroc for scores in classes]))
    return Scores(
        classes=classes,
        mean=AUROCEstimate(mean, *percentile_interval(nanmean_over_classes(resampled))),
        auprc=float(np.mean([scores.auprc for scores in classes if scores.defined] or [np.nan])),
        resampled=resampled,
    )


def compare_predictions(first: Predictions, second: Predictions, scores: tuple[Scores, Scores]) -> Comparison:
    """Compare two sets of predictions of the same images in the same order, given their scores."""
    patients = first.patients.clusters
    columns = zip(first.labels.T, first.probabilities.T, second.probabilities.T, strict=True)
    classes = tuple(compare_aurocs(*column, patients) for column in columns)
    means = [nanmean_over_classes(model.resampled) for model in scores]
    return Comparison(
        classes=classes,
        adjusted=holm(np.array([test.p for test in classes])),
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
        auroc=estimate_auroc(labels, probabilities, patients),
        images=estimate_auroc(labels, probabilities),
        bootstrap=percentile_interval(resampled),
        auprc=float(average_precision_score(labels, probabilities)) if defined else float("nan"),
        brier=brier(labels, probabilities),
        bins=bins,
        ece=expected_calibration_error(bins),
    )

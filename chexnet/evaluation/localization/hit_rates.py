"""Hit rates: fractions of the cases in which a finding was localized, with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chexnet.data.lists import Patients
from chexnet.evaluation.localization.cases import Case, MaskScores
from chexnet.metrics.proportions import wilson

THRESHOLDS = (0.1, 0.25, 0.5)
"""Thresholds of IoBB and IoU; values above them are hits."""

MEASURES = ("pointing", *(f"iobb>{t:g}" for t in THRESHOLDS), *(f"iou>{t:g}" for t in THRESHOLDS))

MASK_MEASURES = tuple(f"mask {measure}" for measure in MEASURES)
"""The same measures on rasterized polygons, see `MaskScores`."""

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class HitRate:
    """The hit rate of one finding.

    Attributes:
        hits: number of cases that were hits.
        cases: number of cases.
        rate: hits / cases.
        low: lower end of the 95 % Wilson interval.
        high: upper end of the interval.
    """

    hits: int
    cases: int
    rate: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return the hit rate, ready for JSON."""
        return {"found": self.hits, "cases": self.cases, "share": self.rate, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class MeanHitRate:
    """The mean hit rate over the findings.

    Attributes:
        rate: mean over the findings with cases.
        low: lower end of the 95 % interval from resampling patients; NaN for a single patient.
        high: upper end of the interval.
        findings: number of findings with cases.
    """

    rate: float
    low: float
    high: float
    findings: int

    def to_dict(self) -> dict[str, Any]:
        """Return the mean, ready for JSON; undefined values are None."""
        low, high = (None if math.isnan(end) else end for end in (self.low, self.high))
        return {"share": self.rate, "low": low, "high": high, "findings": self.findings}


@dataclass(frozen=True)
class LocalizationScores:
    """All hit rates, in the order of `measures`.

    Attributes:
        measures: MEASURES, followed by MASK_MEASURES if all cases have polygons.
        findings: hit rates by finding, in the order of their first cases.
        mean: mean hit rates over the findings.
        patients: number of known patients.
        unknown_patients: number of images of unknown patients; each counts as a separate patient.
    """

    measures: tuple[str, ...]
    findings: dict[str, tuple[HitRate, ...]]
    mean: tuple[MeanHitRate, ...]
    patients: int
    unknown_patients: int

    def to_dict(self) -> dict[str, Any]:
        """Return the scores, ready for JSON."""
        return {
            "patients": self.patients,
            "unknown_patients": self.unknown_patients,
            "mean": {measure: mean.to_dict() for measure, mean in zip(self.measures, self.mean, strict=True)},
            "findings": {
                finding: {measure: rate.to_dict() for measure, rate in zip(self.measures, rates, strict=True)}
                for finding, rates in self.findings.items()
            },
            "intervals": {
                "findings": "Wilson, 95 %",
                "mean": f"percentiles of {RESAMPLES} bootstrap samples of the patients, seed {SEED}, 95 %",
            },
        }


def score_cases(cases: Sequence[Case], patients: Patients | None = None) -> LocalizationScores:
    """Compute the hit rates of cases.

    Args:
        cases: at least one case.
        patients: patients of these images and possibly of others; None to derive them from the image names.
    """
    measures = (*MEASURES, *MASK_MEASURES) if all(case.mask for case in cases) else MEASURES
    outcomes = np.array([_outcomes(case)[: len(measures)] for case in cases])  # [N, M]
    findings = list(dict.fromkeys(case.finding for case in cases))
    column = np.array([findings.index(case.finding) for case in cases])
    images = tuple(dict.fromkeys(case.image for case in cases))
    if patients is None:
        patients = Patients(images)
    rows = {name: row for row, name in enumerate(patients.names)}
    patients = patients.select([rows[name] for name in images])
    numbers = dict(zip(images, patients.clusters.tolist(), strict=True))
    patient = np.array([numbers[case.image] for case in cases])
    shape = (int(patient.max()) + 1, len(findings))
    counts = np.zeros(shape)  # [P, F]
    np.add.at(counts, (patient, column), 1)
    hits = np.zeros((*shape, len(measures)))  # [P, F, M]
    np.add.at(hits, (patient, column), outcomes)

    low, high = _bootstrap(counts, hits)
    means = _mean_rates(np.ones(shape[0]), counts, hits)
    total_cases, total_hits = counts.sum(axis=0).astype(int).tolist(), hits.sum(axis=0).astype(int).tolist()
    return LocalizationScores(
        measures=measures,
        findings={
            name: tuple(_hit_rate(count, total_cases[c]) for count in total_hits[c]) for c, name in enumerate(findings)
        },
        mean=tuple(
            MeanHitRate(*values, findings=len(findings))
            for values in zip(means.tolist(), low.tolist(), high.tolist(), strict=True)
        ),
        patients=len(patients.known),
        unknown_patients=patients.unknown,
    )


def _outcomes(case: Case) -> list[bool]:
    scored: list[Case | MaskScores] = [case, *([case.mask] if case.mask else [])]
    return [
        hit
        for one in scored
        for hit in (one.pointing, *(one.iobb > t for t in THRESHOLDS), *(one.iou > t for t in THRESHOLDS))
    ]


def _hit_rate(hits: int, cases: int) -> HitRate:
    return HitRate(hits, cases, hits / cases, *wilson(hits, cases))


def _bootstrap(counts: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95 % interval of the mean hit rates by resampling patients.

    Args:
        counts: number of cases, [P, F].
        hits: number of hits, [P, F, M].

    Returns:
        Lower and upper ends, [M] each; NaN for a single patient.
    """
    rng = np.random.default_rng(SEED)
    n = len(counts)
    if n < 2:
        return np.full(hits.shape[-1], np.nan), np.full(hits.shape[-1], np.nan)
    means = [
        _mean_rates(np.bincount(rng.integers(0, n, n), minlength=n).astype(float), counts, hits)
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return low, high


def _mean_rates(weights: np.ndarray, counts: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Average the hit rates over the findings with cases, each patient weighted by `weights` [P] -> [M]."""
    cases = weights @ counts  # [F]
    weighted_hits = np.tensordot(weights, hits, axes=1)  # [F, M]
    return (weighted_hits[cases > 0] / cases[cases > 0, None]).mean(axis=0)

"""Shares of cases that were localised, with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chexnet.data.lists import Patients
from chexnet.evaluation.localization.cases import Case
from chexnet.metrics.proportions import wilson

THRESHOLDS = (0.1, 0.25, 0.5)
"""Of IoBB and IoU: a case is found above one."""

MEASURES = ("pointing", *(f"iobb>{t:g}" for t in THRESHOLDS), *(f"iou>{t:g}" for t in THRESHOLDS))

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class HitRate:
    """So many of a finding's cases were found.

    Attributes:
        found: how many.
        cases: of how many.
        share: the quotient.
        low: of Wilson's 95 % interval.
        high: likewise.
    """

    found: int
    cases: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class MeanHitRate:
    """The mean of the findings' shares.

    Attributes:
        share: over the findings that have cases.
        low: of the 95 % interval, by resampling patients; NaN for one patient.
        high: likewise.
        findings: how many have cases.
    """

    share: float
    low: float
    high: float
    findings: int


@dataclass(frozen=True)
class Scores:
    """All shares, in the order of MEASURES.

    Attributes:
        findings: by name, in the order of their first cases.
        mean: over them.
        patients: how many known ones there are.
        unknown_patients: images of which it is not known whose they are; each counts as of a patient of its own.
    """

    findings: dict[str, tuple[HitRate, ...]]
    mean: tuple[MeanHitRate, ...]
    patients: int
    unknown_patients: int

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "patients": self.patients,
            "unknown_patients": self.unknown_patients,
            "mean": {
                name: {key: None if math.isnan(value) else value for key, value in asdict(one).items()}
                for name, one in zip(MEASURES, self.mean, strict=True)
            },
            "findings": {
                finding: {name: asdict(one) for name, one in zip(MEASURES, shares, strict=True)}
                for finding, shares in self.findings.items()
            },
            "intervals": {
                "findings": "Wilson, 95 %",
                "mean": f"percentiles of {RESAMPLES} bootstrap samples of the patients, seed {SEED}, 95 %",
            },
        }


def score_cases(cases: Sequence[Case], patients: Patients | None = None) -> Scores:
    """The shares of cases, of which there is at least one.

    Args:
        cases: each an image with a finding.
        patients: of these images and maybe others; None for what their names say.
    """
    outcomes = np.array([_outcomes(case) for case in cases])  # [N, M]
    findings = list(dict.fromkeys(case.finding for case in cases))
    column = np.array([findings.index(case.finding) for case in cases])
    images = tuple(dict.fromkeys(case.image for case in cases))
    if patients is None:
        patients = Patients(images)
    row_of = {name: row for row, name in enumerate(patients.names)}
    patients = patients.select([row_of[name] for name in images])
    number_of = dict(zip(images, patients.clusters.tolist(), strict=True))
    patient = np.array([number_of[case.image] for case in cases])
    number = int(patient.max()) + 1
    shape = (number, len(findings))
    counts = np.zeros(shape)
    np.add.at(counts, (patient, column), 1)  # [P, C]
    found = np.zeros((*shape, len(MEASURES)))
    np.add.at(found, (patient, column), outcomes)  # [P, C, M]

    low, high = _bootstrap(counts, found)
    means = _mean_shares(np.ones(number), counts, found)
    totals, hits = counts.sum(axis=0).astype(int).tolist(), found.sum(axis=0).astype(int).tolist()
    return Scores(
        findings={name: tuple(_share(hit, totals[c]) for hit in hits[c]) for c, name in enumerate(findings)},
        mean=tuple(
            MeanHitRate(share, below, above, len(findings))
            for share, below, above in zip(means.tolist(), low.tolist(), high.tolist(), strict=True)
        ),
        patients=len(patients.known),
        unknown_patients=patients.unknown,
    )


def _outcomes(case: Case) -> list[bool]:
    return [case.pointing, *(case.iobb > t for t in THRESHOLDS), *(case.iou > t for t in THRESHOLDS)]


def _share(found: int, cases: int) -> HitRate:
    return HitRate(found, cases, found / cases, *wilson(found, cases))


def _bootstrap(counts: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of the mean shares: [P, F] cases and [P, F, M] found ones -> two of [M].

    NaN for one patient.
    """
    rng = np.random.default_rng(SEED)
    n = len(counts)
    if n < 2:
        return np.full(len(MEASURES), np.nan), np.full(len(MEASURES), np.nan)
    means = [
        _mean_shares(np.bincount(rng.integers(0, n, n), minlength=n).astype(float), counts, found)
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return low, high


def _mean_shares(times: np.ndarray, counts: np.ndarray, found: np.ndarray) -> np.ndarray:
    """[M]: over the findings that have cases when each patient is taken so many times."""
    cases = times @ counts  # [F]
    hits = np.tensordot(times, found, axes=1)  # [F, M]
    return (hits[cases > 0] / cases[cases > 0, None]).mean(axis=0)

"""Planned variances against sums over all pairs of images, planned power against simulation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from chexnet.metrics.clustered_means import effective_patients
from chexnet.metrics.sample_size import (
    Design,
    clusters_of_counts,
    clusters_of_labels,
    detectable_difference,
    difference_variance,
    growth,
    half_width,
    mean_difference_variance,
    power_of,
)
from chexnet.metrics.simulated_power import simulate_power


def small_list(seed: int = 0):
    rng = np.random.default_rng(seed)
    return (rng.random(14) < 0.4).astype(np.uint8), rng.integers(0, 6, 14)


def brute_force(labels, patients, areas, design) -> float:
    """Sum the covariance of the kernels of all pairs of (positive, negative) pairs, for two models."""

    def of_scores(i, j, same_model):
        if patients[i] != patients[j]:
            return 0.0
        correlation = 1.0 if i == j else design.patient_correlation
        return correlation * (1.0 if same_model else design.model_correlation)

    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    pairs = list(product(positives, negatives))
    cache = {}

    def kernel(correlation, a, b):
        key = round(correlation, 12), a, b
        if key not in cache:
            matrix = [[1, correlation], [correlation, 1]]
            both = multivariate_normal([0, 0], matrix, allow_singular=True).cdf([norm.ppf(a), norm.ppf(b)])
            cache[key] = both - a * b
        return cache[key]

    total = 0.0
    for first, second, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -2)):
        if first != second and not design.paired:
            continue
        for (i, j), (k, h) in product(pairs, pairs):
            same = first == second
            cross = of_scores(i, k, same) - of_scores(i, h, same) - of_scores(j, k, same) + of_scores(j, h, same)
            total += sign * kernel(cross / 2, areas[first], areas[second])
    return total / len(pairs) ** 2


@pytest.mark.parametrize("paired", [True, False])
def test_the_variance_is_the_sum_over_all_pairs_of_pairs(paired):
    """Without clusters it is exact; with them only pairs that share an image and a patient are approximated."""
    labels, _ = small_list()
    design = Design(paired=paired, model_correlation=0.7, patient_correlation=0.4)
    alone = np.arange(14)
    found = sum(difference_variance(clusters_of_labels(labels, alone), 0.85, 0.1, design))
    assert found == pytest.approx(brute_force(labels, alone, (0.85, 0.75), design), rel=1e-6)
    labels, patients = small_list(3)
    found = sum(difference_variance(clusters_of_labels(labels, patients), 0.85, 0.1, design))
    assert found == pytest.approx(brute_force(labels, patients, (0.85, 0.75), design), rel=0.15)


def test_half_widths_are_near_those_of_hanley_and_mcneil():
    """Their exponential model (Radiology 143, 1982) differs most where positives are few."""
    for positives, negatives, area in ((40, 400, 0.8), (200, 2000, 0.7), (60, 60, 0.9)):
        labels = np.repeat([1, 0], [positives, negatives])
        clusters = clusters_of_labels(labels, np.arange(len(labels)))
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
        expected = 1.96 * np.sqrt(variance / (positives * negatives))
        assert half_width([clusters], [area], Design()) == pytest.approx(expected, rel=0.2)


def planned_list():
    """Return 600 images of 200 patients with three findings, one of which clusters in patients."""
    rng = np.random.default_rng(4)
    patients = rng.integers(0, 200, 600)
    labels = (rng.random((600, 3)) < (0.15, 0.3, 0.2)).astype(np.uint8)
    labels[:, 2] = rng.normal(size=200)[patients] + 0.7 * rng.normal(size=600) > 1
    return labels, patients, np.array([0.85, 0.75, 0.9])


@pytest.mark.parametrize("paired", [True, False])
def test_the_planned_power_is_reached_in_simulations(paired):
    labels, patients, aurocs = planned_list()
    design = Design(paired=paired, model_correlation=0.7, patient_correlation=0.5, finding_correlation=0)
    clusters = [clusters_of_labels(column, patients) for column in labels.T]
    own = np.array(
        [detectable_difference([counts], [area], design) for counts, area in zip(clusters, aurocs, strict=True)]
    )
    same = detectable_difference(clusters, aurocs, design)
    found = simulate_power(labels, patients, aurocs, own, design, 500)
    np.testing.assert_allclose(found.findings, 0.8, atol=0.055)  # three standard errors of 500 simulations
    by_mean = simulate_power(labels, patients, aurocs, np.full(3, same), design, 500)
    assert by_mean.mean == pytest.approx(0.8, abs=0.055)
    without = simulate_power(labels, patients, aurocs, np.zeros(3), design, 500)
    assert max(without.findings) < 0.09
    ignored = replace(design, patient_correlation=0)
    assert power_of(clusters[2:], aurocs[2:], own[2], ignored) > 0.85  # a plan without clusters is too optimistic


def test_a_difference_and_the_list_that_shows_it_belong_together():
    labels, patients, aurocs = planned_list()
    clusters, design = [clusters_of_labels(column, patients) for column in labels.T], Design()
    for chosen in ([0], [1], [0, 1, 2]):
        data = [clusters[i] for i in chosen], [aurocs[i] for i in chosen]
        found = detectable_difference(*data, design)
        assert power_of(*data, found, design) == pytest.approx(0.8, abs=1e-3)
        assert growth(*data, found, design) == pytest.approx(1, abs=1e-6)
        assert growth(*data, found / 2, design) > 3.5
    tiled = clusters_of_labels(np.tile(labels[:, 0], 4), np.concatenate([patients + 1000 * k for k in range(4)]))
    needed = growth([tiled], aurocs[:1], 0.05, design)
    assert 4 * needed == pytest.approx(growth(clusters[:1], aurocs[:1], 0.05, design), rel=1e-9)


def test_pairing_helps_and_correlated_findings_hurt():
    labels, patients, aurocs = planned_list()
    clusters = [clusters_of_labels(column, patients) for column in labels.T]
    by_correlation = [
        detectable_difference(clusters, aurocs, Design(model_correlation=value)) for value in (0, 0.5, 0.9)
    ]
    assert by_correlation == sorted(by_correlation, reverse=True)
    assert detectable_difference(clusters, aurocs, Design(paired=False)) == pytest.approx(by_correlation[0], rel=1e-6)
    assert sum(mean_difference_variance(clusters, aurocs, 0.02, Design(finding_correlation=0.5))) > 1.5 * sum(
        mean_difference_variance(clusters, aurocs, 0.02, Design(finding_correlation=0))
    )


def test_counts_describe_equal_patients_with_one_label():
    labels = np.repeat([1, 0], [30, 90])
    counted = clusters_of_labels(labels, np.arange(120) // 3)
    assert clusters_of_counts(120, 40, 0.25).__dict__ == pytest.approx(counted.__dict__)


def test_a_list_that_shows_nothing_has_no_detectable_difference():
    clusters = clusters_of_labels(np.array([1, 0, 0, 1]), np.arange(4))
    assert np.isnan(detectable_difference([clusters], [0.8], Design()))


def test_effective_patients_are_those_of_the_images():
    labels, patients, _ = planned_list()
    found = clusters_of_labels(labels[:, 2], patients).effective_patients
    chosen = labels[:, 2] == 1
    assert found == pytest.approx((effective_patients(patients[chosen]), effective_patients(patients[~chosen])))

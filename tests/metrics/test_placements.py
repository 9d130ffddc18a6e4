"""Covariance of AUROCs of different groups and different labels, against its definition and against resampling."""

import numpy as np
import pytest

from chexnet.metrics import auroc
from chexnet.metrics.delong import compare_curves
from chexnet.metrics.placements import covariance, placements


def sample(seed: int, images: int = 240, patients: int = 80):
    """Return labels, scores, patients and a group per image; scores of a patient are correlated."""
    rng = np.random.default_rng(seed)
    patient = np.concatenate([np.arange(patients), rng.integers(0, patients, images - patients)])
    labels = (rng.random(images) < 0.3).astype(np.uint8)
    scores = rng.normal(size=patients)[patient] + rng.normal(size=images) + 1.3 * labels
    return labels, scores.round(1), patient, rng.random(images) < 0.5


def contributions(labels, scores, patient, n_patients):
    """Compute the sums of the placements of each patient over all pairs, and the numbers of patients."""
    over, under = np.zeros(n_patients), np.zeros(n_patients)
    area = auroc(labels, scores)
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    for i in positives:
        wins = [(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for j in negatives]
        over[patient[i]] += (np.mean(wins) - area) / len(positives)
    for j in negatives:
        wins = [(scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for i in positives]
        under[patient[j]] += (np.mean(wins) - area) / len(negatives)
    return over, under, [len(set(patient[positives])), len(set(patient[negatives])), len(set(patient))]


@pytest.mark.parametrize("seed", range(3))
def test_the_covariance_of_two_groups_with_shared_patients_is_obuchowskis(seed):
    labels, scores, patient, group = sample(seed)
    sides = [contributions(labels[side], scores[side], patient[side], 80) for side in (group, ~group)]
    curves = [placements(labels[side], scores[side], patient[side], 80) for side in (group, ~group)]
    expected = np.zeros((2, 2))
    for i, (over_a, under_a, counts_a) in enumerate(sides):
        for j, (over_b, under_b, counts_b) in enumerate(sides):
            f10, f01, f = (np.sqrt(a / (a - 1) * b / (b - 1)) for a, b in zip(counts_a, counts_b, strict=True))
            for k in range(80):
                expected[i, j] += f10 * over_a[k] * over_b[k] + f01 * under_a[k] * under_b[k]
                expected[i, j] += f * (over_a[k] * under_b[k] + under_a[k] * over_b[k])
    np.testing.assert_allclose(covariance(curves), expected, rtol=1e-10, atol=1e-15)
    assert abs(covariance(curves)[0, 1]) > 1e-6


def resampled(curve, patient, replicates=3000):
    """Compute a statistic of images in resamples of the patients."""
    rng = np.random.default_rng(0)
    images = [np.flatnonzero(patient == number) for number in range(patient.max() + 1)]
    return np.array(
        [
            curve(np.concatenate([images[k] for k in rng.integers(0, len(images), len(images))]))
            for _ in range(replicates)
        ]
    )


def test_the_standard_error_of_a_difference_between_groups_agrees_with_resampled_patients():
    labels, scores, patient, group = sample(7, images=600, patients=150)

    def gap(rows):
        first, second = rows[group[rows]], rows[~group[rows]]
        return auroc(labels[first], scores[first]) - auroc(labels[second], scores[second])

    curves = [placements(labels[side], scores[side], patient[side], 150) for side in (group, ~group)]
    test = compare_curves(*curves)
    assert test.difference == pytest.approx(gap(np.arange(600)))
    assert (test.high - test.low) / (2 * 1.96) == pytest.approx(resampled(gap, patient).std(), rel=0.08)


def test_the_standard_error_of_a_difference_between_labels_agrees_with_resampled_patients():
    labels, scores, patient, _ = sample(8, images=500, patients=150)
    others = np.where(np.random.default_rng(1).random(500) < 0.15, 1 - labels, labels)

    def gap(rows):
        return auroc(labels[rows], scores[rows]) - auroc(others[rows], scores[rows])

    test = compare_curves(*(placements(given, scores, patient, 150) for given in (labels, others)))
    error = (test.high - test.low) / (2 * 1.96)
    assert error == pytest.approx(resampled(gap, patient).std(), rel=0.08)
    variances = covariance([placements(given, scores, patient, 150) for given in (labels, others)])
    assert error < 0.8 * np.sqrt(np.trace(variances))  # the same scores and patients: errors cancel in part


def test_groups_without_common_patients_are_independent():
    labels, scores, patient, _ = sample(2)
    side = patient < 40
    curves = [placements(labels[chosen], scores[chosen], patient[chosen], 80) for chosen in (side, ~side)]
    assert covariance(curves)[0, 1] == 0


def test_a_curve_without_positives_or_with_one_positive_patient_has_no_covariance():
    labels, scores, patient, _ = sample(2)
    none = placements(np.zeros(240, np.uint8), scores, patient, 80)
    one = placements((np.arange(240) == 3).astype(np.uint8), scores, patient, 80)
    found = covariance([placements(labels, scores, patient, 80), none, one])
    assert found[0, 0] > 0
    assert np.isnan(found[1:]).all()
    assert np.isnan(found[:, 1:]).all()

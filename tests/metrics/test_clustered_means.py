"""Means and proportions with patients as clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chexnet.metrics.clustered_means import clustered_mean, compare_means, effective_patients
from chexnet.metrics.proportions import wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (17, 400), (1, 1)])
def test_with_one_image_per_patient_the_interval_is_wilsons(successes, trials):
    found = clustered_mean(np.arange(trials) < successes, np.arange(trials), trials)
    assert found.value == successes / trials
    assert found.wilson == pytest.approx(wilson(successes, trials), abs=1e-12)


def test_the_variance_is_that_of_a_ratio_of_cluster_totals():
    rng = np.random.default_rng(0)
    patient, values = rng.integers(0, 25, 90), rng.normal(size=90)
    found = clustered_mean(values, patient, 30)
    totals = [(values[patient == k].sum(), (patient == k).sum()) for k in sorted(set(patient))]
    residuals = [total - values.mean() * size for total, size in totals]
    n = len(totals)
    assert found.patients == n
    assert found.variance == pytest.approx(n / (n - 1) * sum(r**2 for r in residuals) / 90**2)
    low, high = found.interval
    assert (low + high) / 2 == pytest.approx(values.mean())


def test_repeated_images_do_not_narrow_the_interval():
    values = np.arange(40) < 12
    once = clustered_mean(values, np.arange(40), 40)
    thrice = clustered_mean(np.tile(values, 3), np.tile(np.arange(40), 3), 40)
    assert thrice.wilson == pytest.approx(once.wilson, abs=5e-3)
    assert np.ptp(clustered_mean(np.tile(values, 3), np.arange(120), 120).wilson) < 0.7 * np.ptp(once.wilson)


def test_intervals_of_clustered_proportions_cover_the_truth():
    """95 % of 1,000 samples of 60 patients with 1 to 6 images whose values nearly agree."""
    rng = np.random.default_rng(1)
    covered, naive = 0, 0
    for _ in range(1000):
        patient = np.repeat(np.arange(60), rng.integers(1, 7, 60))
        own = rng.random(60) < 0.2
        values = np.where(rng.random(len(patient)) < 0.8, own[patient], rng.random(len(patient)) < 0.2)
        low, high = clustered_mean(values, patient, 60).wilson
        covered += low <= 0.2 <= high
        low, high = wilson(int(values.sum()), len(values))
        naive += low <= 0.2 <= high
    assert 0.925 <= covered / 1000 <= 0.975
    assert naive / 1000 < 0.85


def test_a_difference_between_groups_of_the_same_patients_agrees_with_resampling():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(120), 4)
    group = np.tile([True, True, False, False], 120)
    values = rng.normal(size=120)[patient] + 0.5 * rng.normal(size=480)
    sides = [clustered_mean(values[side], patient[side], 120) for side in (group, ~group)]
    test = compare_means(*sides)
    draws = [rng.integers(0, 120, 120) for _ in range(2000)]
    table = values.reshape(120, 4)
    gaps = [table[draw, :2].mean() - table[draw, 2:].mean() for draw in draws]
    error = (test.high - test.low) / (2 * 1.96)
    assert error == pytest.approx(np.std(gaps), rel=0.06)
    assert error < 0.6 * np.sqrt(sides[0].variance + sides[1].variance)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12))
def test_intervals_contain_the_proportion(rows):
    values, patient = np.array([row[0] for row in rows], bool), np.array([row[1] for row in rows], np.int64)
    found = clustered_mean(values, patient, 6)
    low, high = found.wilson
    if not rows:
        assert np.isnan([found.value, low, high]).all()
    else:
        assert 0 <= low <= found.value <= high <= 1
        assert high - low > 0.2  # six patients give no certainty
        test = compare_means(found, found)
        assert test.difference == 0
        assert np.isnan(test.p) or test.p == 1


def test_effective_patients_are_patients_with_equally_many_images():
    assert effective_patients(np.repeat(np.arange(7), 5)) == pytest.approx(7)
    assert effective_patients(np.array(["a"] * 90 + ["b"] * 10)) == pytest.approx(100**2 / (90**2 + 10**2))
    assert effective_patients(np.zeros(0)) == 0

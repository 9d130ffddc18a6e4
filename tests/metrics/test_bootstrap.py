import numpy as np
import pytest

from chexnet.metrics import auroc
from chexnet.metrics.bootstrap import nanmean_over_classes, percentile_interval, resampled_aurocs
from chexnet.metrics.delong import estimate_auroc


def clustered(seed: int, n_patients: int, images: int, classes: int = 2):
    """Return labels, scores and patients; the scores of a patient's images are strongly correlated."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), images)
    labels = (rng.random((n_patients, classes)) < 0.3)[patients].astype(np.uint8)
    scores = labels + 1.5 * rng.normal(size=(n_patients, classes))[patients] + 0.3 * rng.normal(size=labels.shape)
    return labels, scores, patients


def test_resampled_aurocs_equal_those_of_copied_images():
    labels, scores, patients = clustered(0, 12, 3)
    scores = scores.round(1)  # ties
    shuffled = np.random.default_rng(1).permutation(len(patients))
    labels, scores, patients = labels[shuffled], scores[shuffled], patients[shuffled]
    rng = np.random.default_rng(7)
    expected = []
    for _ in range(20):
        drawn = np.concatenate([np.flatnonzero(patients == patient) for patient in rng.integers(0, 12, 12)])
        expected.append([auroc(labels[drawn, c], scores[drawn, c]) for c in range(2)])
    found = resampled_aurocs(labels, scores, patients, replicates=20, seed=7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    names = np.array([f"{patient:08d}" for patient in patients])
    np.testing.assert_array_equal(resampled_aurocs(labels, scores, names, replicates=20, seed=7), found)
    assert (resampled_aurocs(labels, scores, patients, replicates=20, seed=8) != found).any()


def test_a_resample_without_positives_is_nan_for_that_class_only():
    labels = np.array([[1, 1], [0, 1], [0, 0], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.3], [0.3, 0.2]])
    found = resampled_aurocs(labels, scores, np.arange(4), replicates=300)
    missing = np.isnan(found[:, 0])
    assert 0.2 < missing.mean() < 0.45  # (3/4)^4 of the resamples lack the only positive
    means = nanmean_over_classes(found)
    alone = missing & ~np.isnan(found[:, 1])
    np.testing.assert_array_equal(means[alone], found[alone, 1])
    assert percentile_interval(found[:, 0]) == (1, 1)
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()


@pytest.mark.parametrize("images", [1, 4])
def test_the_bootstrap_agrees_with_delong_on_many_patients(images):
    labels, scores, patients = clustered(5, 1500, images, classes=1)
    low, high = percentile_interval(resampled_aurocs(labels, scores, patients, replicates=1500)[:, 0])
    found = estimate_auroc(labels[:, 0], scores[:, 0], patients)
    width = found.high - found.low
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.1 * width)
    if images > 1:  # treating the images as independent gives a narrower interval
        assert width > 1.5 * np.subtract(
            *[getattr(estimate_auroc(labels[:, 0], scores[:, 0]), end) for end in ("high", "low")]
        )


def test_clustered_intervals_cover_the_truth():
    """95 % within 1.5 points needs 1,500 repetitions: too slow for the bootstrap, so the formula is tested."""
    truth = np.mean([auroc(y[:, 0], s[:, 0]) for y, s, _ in (clustered(seed, 4000, 1, 1) for seed in range(40))])
    covered = naive = 0
    for seed in range(1500):
        labels, scores, patients = clustered(1000 + seed, 100, 3, classes=1)
        clustered_estimate = estimate_auroc(labels[:, 0], scores[:, 0], patients)
        naive_estimate = estimate_auroc(labels[:, 0], scores[:, 0])
        covered += clustered_estimate.low <= truth <= clustered_estimate.high
        naive += naive_estimate.low <= truth <= naive_estimate.high
    assert 0.935 <= covered / 1500 <= 0.965
    assert naive / 1500 < 0.85

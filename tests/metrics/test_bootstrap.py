import numpy as np
import pytest

from chexnet.metrics import auroc
from chexnet.metrics.bootstrap import nanmean_over_classes, percentile_interval, resampled_aurocs
from chexnet.metrics.delong import estimate_auroc


def clustered(seed: int, patients: int, images: int, classes: int = 2):
    """Labels, scores and patients; all images of a patient have much in common."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(patients), images)
    labels = (rng.random((patients, classes)) < 0.3)[whose].astype(np.uint8)
    scores = labels + 1.5 * rng.normal(size=(patients, classes))[whose] + 0.3 * rng.normal(size=labels.shape)
    return labels, scores, whose


def test_it_is_what_copying_the_drawn_patients_images_gives():
    labels, scores, whose = clustered(0, 12, 3)
    scores = scores.round(1)  # ties
    shuffled = np.random.default_rng(1).permutation(len(whose))
    labels, scores, whose = labels[shuffled], scores[shuffled], whose[shuffled]
    rng = np.random.default_rng(7)
    expected = []
    for _ in range(20):
        drawn = np.concatenate([np.flatnonzero(whose == one) for one in rng.integers(0, 12, 12)])
        expected.append([auroc(labels[drawn, c], scores[drawn, c]) for c in range(2)])
    found = resampled_aurocs(labels, scores, whose, replicates=20, seed=7)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    names = np.array([f"{one:08d}" for one in whose])
    np.testing.assert_array_equal(resampled_aurocs(labels, scores, names, replicates=20, seed=7), found)
    assert (resampled_aurocs(labels, scores, whose, replicates=20, seed=8) != found).any()


def test_a_resample_without_positives_has_no_auroc_and_leaves_the_others_alone():
    labels = np.array([[1, 1], [0, 1], [0, 0], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.3], [0.3, 0.2]])
    found = resampled_aurocs(labels, scores, np.arange(4), replicates=300)
    missing = np.isnan(found[:, 0])
    assert 0.2 < missing.mean() < 0.45  # the only positive's patient is left out in (3/4)^4 of the resamples
    means = nanmean_over_classes(found)
    alone = missing & ~np.isnan(found[:, 1])
    np.testing.assert_array_equal(means[alone], found[alone, 1])
    assert percentile_interval(found[:, 0]) == (1, 1)
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()


@pytest.mark.parametrize("images", [1, 4])
def test_on_many_patients_it_agrees_with_the_formula(images):
    labels, scores, whose = clustered(5, 1500, images, classes=1)
    low, high = percentile_interval(resampled_aurocs(labels, scores, whose, replicates=1500)[:, 0])
    found = estimate_auroc(labels[:, 0], scores[:, 0], whose)
    width = found.high - found.low
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.1 * width)
    if images > 1:  # which images as if independent do not
        assert width > 1.5 * np.subtract(
            *[getattr(estimate_auroc(labels[:, 0], scores[:, 0]), end) for end in ("high", "low")]
        )


def test_it_covers_the_truth_where_patients_have_several_images():
    """95 % within 1.5 points would need thousands of bootstraps: the formula, which agrees, has 1,500 of them."""
    truth = np.mean([auroc(y[:, 0], s[:, 0]) for y, s, _ in (clustered(seed, 4000, 1, 1) for seed in range(40))])
    covered = naive = 0
    for seed in range(1500):
        labels, scores, whose = clustered(1000 + seed, 100, 3, classes=1)
        found, fooled = (estimate_auroc(labels[:, 0], scores[:, 0], one) for one in (whose, None))
        covered += found.low <= truth <= found.high
        naive += fooled.low <= truth <= fooled.high
    assert 0.935 <= covered / 1500 <= 0.965
    assert naive / 1500 < 0.85

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from chexnet.metrics import auroc
from chexnet.metrics.calibration import (
    brier,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    reliability,
)
from chexnet.metrics.platt import PlattScaling, sigmoid, to_logits


def calibrated(n: int, classes: int = 3, seed: int = 0):
    """Return logits and labels with exactly these probabilities."""
    logits = np.random.default_rng(seed).normal(-1, 2, (n, classes))
    return logits, (np.random.default_rng(seed + 1).random((n, classes)) < expit(logits)).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitting_recovers_a_known_temperature(temperature):
    logits, labels = calibrated(20_000)
    assert fit_temperature(labels, expit(logits * temperature)) == pytest.approx(temperature, rel=0.03)


def test_platt_scaling_recovers_a_known_slope_and_offset():
    logits, labels = calibrated(20_000, classes=1)
    distorted = expit((logits[:, 0] + 1.5) / 0.4)
    slope, offset = fit_platt(labels[:, 0], distorted)
    assert (slope, offset) == pytest.approx((0.4, -1.5), abs=0.05)
    fixed = expit(slope * to_logits(distorted) + offset)
    before, after = (expected_calibration_error(reliability(labels[:, 0], p)) for p in (distorted, fixed))
    assert before > 0.1
    assert after < 0.02
    assert auroc(labels[:, 0], fixed) == pytest.approx(auroc(labels[:, 0], distorted), abs=1e-3)


def test_platt_scaling_equals_logistic_regression_on_many_images():
    logits, labels = calibrated(20_000, classes=1)
    oracle = LogisticRegression(C=1e9).fit(logits, labels[:, 0])
    expected = (oracle.coef_[0, 0], oracle.intercept_[0])
    assert fit_platt(labels[:, 0], expit(logits[:, 0])) == pytest.approx(expected, abs=2e-3)


def test_platt_scaling_of_separable_classes_is_finite():
    labels = np.repeat([0, 1], 5)
    slope, offset = fit_platt(labels, np.linspace(0.1, 0.9, 10))
    assert 0 < slope < 100
    assert np.isfinite(offset)
    assert offset == pytest.approx(0, abs=1e-3)  # the classes are symmetric
    with pytest.raises(ValueError, match="only positives or only negatives"):
        fit_platt(np.zeros(3), np.array([0.1, 0.2, 0.3]))


def test_bins_equal_those_of_scikit_learn():
    logits, labels = calibrated(1000, classes=1)
    probabilities = expit(logits[:, 0])
    found = reliability(labels[:, 0], probabilities)
    observed, mean = calibration_curve(labels[:, 0], probabilities, n_bins=10, strategy="quantile")
    assert [group.images for group in found] == [100] * 10
    np.testing.assert_allclose([group.observed for group in found], observed)
    np.testing.assert_allclose([group.mean for group in found], mean)
    assert expected_calibration_error(found) == pytest.approx(np.mean(np.abs(observed - mean)))
    assert brier(labels[:, 0], probabilities) == pytest.approx(brier_score_loss(labels[:, 0], probabilities))


@pytest.mark.parametrize("probabilities", [[0.3] * 7, [0.1] * 15 + [0.2] * 3 + [0.9], [0.5], np.linspace(0, 1, 12)])
def test_equal_probabilities_share_a_bin(probabilities):
    probabilities = np.random.default_rng(0).permutation(np.array(probabilities, np.float32))
    found = reliability(np.ones(len(probabilities)), probabilities)
    assert sum(group.images for group in found) == sum(group.positives for group in found) == len(probabilities)
    means = [group.mean for group in found]
    assert means == sorted(set(means))
    assert len(found) <= len(set(probabilities.tolist()))


def test_certainties_have_finite_logits():
    np.testing.assert_allclose(to_logits(np.array([0, 0.5, 1], np.float32)), [-15.942385, 0, 15.942385])


def test_platt_scaling_is_the_formula_in_float64():
    probabilities = np.array([0.001, 0.25, 0.5, 0.999], np.float32)
    p = probabilities.astype(np.float64)
    found = PlattScaling(1.7, -0.3).apply(probabilities)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expit(1.7 * np.log(p / (1 - p)) - 0.3), rtol=1e-12)
    assert PlattScaling(1.7, -0.3).apply(0.25) == found[1]


def test_platt_scaling_of_one_and_nought_is_finite_and_in_order():
    found = PlattScaling(0.8, 1.5).apply([0, 1e-30, 0.5, 1])
    assert np.isfinite(found).all()
    assert found[0] == found[1] < found[2] < found[3] < 1
    edges = PlattScaling(1e6, -1e6).apply([0, 0.5, 1])
    assert edges.tolist() == [0, 0, 1]


def test_sigmoid_equals_scipys():
    logits = np.array([-800, -40, -1, 0, 1, 40, 800.0])
    np.testing.assert_allclose(sigmoid(logits), expit(logits), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize(
    ("slope", "offset"), [(0, 0), (-1, 0), (1e7, 0), (1, -1e7), (np.nan, 0), (1, np.nan), (np.inf, 0), (1, np.inf)]
)
def test_a_slope_that_reverses_the_order_or_a_huge_number_is_not_usable(slope, offset):
    assert not PlattScaling(slope, offset).is_usable
    assert PlattScaling(0.5, -2).is_usable

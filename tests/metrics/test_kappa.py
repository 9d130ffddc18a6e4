"""Cohen's kappa against scikit-learn, the formula of its variance, and resampled patients."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from chexnet.metrics.differences import Z_95
from chexnet.metrics.kappa import cohen_kappa


def sample(seed: int, images: int = 300):
    rng = np.random.default_rng(seed)
    first = (rng.random(images) < 0.3).astype(np.uint8)
    return first, np.where(rng.random(images) < 0.2, rng.integers(0, 2, images), first).astype(np.uint8)


def fleiss_variance(first, second) -> float:
    """Compute the formula of Fleiss, Cohen and Everitt (1969) over the cells of the table."""
    table = np.array([[np.mean((first == i) & (second == j)) for j in (0, 1)] for i in (0, 1)])
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    agreement, chance = np.trace(table), rows @ columns
    kappa = (agreement - chance) / (1 - chance)
    total = 0.0
    for i in (0, 1):
        total += table[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2
    for i, j in ((0, 1), (1, 0)):
        total += (1 - kappa) ** 2 * table[i, j] * (columns[i] + rows[j]) ** 2
    return (total - (kappa - chance * (1 - kappa)) ** 2) / (len(first) * (1 - chance) ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_kappa_and_its_variance(seed):
    first, second = sample(seed)
    kappa, (low, high) = cohen_kappa(first, second)
    assert kappa == pytest.approx(cohen_kappa_score(first, second))
    expected = 2 * Z_95 * np.sqrt(fleiss_variance(first, second) * 300 / 299)
    assert high - low == pytest.approx(expected)
    swapped, ends = cohen_kappa(second, first)
    assert (swapped, *ends) == pytest.approx((kappa, low, high))


def test_clustered_interval_agrees_with_resampled_patients():
    rng = np.random.default_rng(5)
    first, second = (np.repeat(values, 3) for values in sample(5, 150))
    second = np.where(rng.random(450) < 0.05, 1 - second, second)
    patient = np.repeat(np.arange(150), 3)
    draws = [rng.integers(0, 150, 150) for _ in range(1500)]
    tables = first.reshape(150, 3), second.reshape(150, 3)
    kappas = [cohen_kappa_score(*(table[draw].ravel() for table in tables)) for draw in draws]
    _, (low, high) = cohen_kappa(first, second, patient)
    assert (high - low) / (2 * Z_95) == pytest.approx(np.std(kappas), rel=0.08)
    _, (narrow_low, narrow_high) = cohen_kappa(first, second)
    assert narrow_high - narrow_low < 0.75 * (high - low)


def test_undefined_cases():
    ones = np.ones(5, np.uint8)
    assert np.isnan(cohen_kappa(ones, ones)[0])
    kappa, interval = cohen_kappa(np.array([0, 1, 1]), np.array([0, 1, 1]))
    assert kappa == 1
    assert np.isnan(interval).all()  # the images show no variance
    assert np.isnan(cohen_kappa(np.array([0, 1]), np.array([1, 1]), np.array([3, 3]))[1]).all()

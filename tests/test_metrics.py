import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.metrics import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

samples = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


def pair_counting(labels, scores) -> float:
    """The definition: the share of (positive, negative) pairs in the right order, ties half."""
    wins = [
        (p > n) + 0.5 * (p == n)
        for p, positive in zip(scores, labels, strict=True)
        if positive
        for n, other in zip(scores, labels, strict=True)
        if not other
    ]
    return sum(wins) / len(wins) if wins else math.nan


@given(samples)
def test_auroc_is_pair_counting(pairs):
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    assert auroc(labels, scores) == pytest.approx(pair_counting(labels, scores), abs=1e-12, nan_ok=True)


@given(samples)
def test_auroc_ignores_monotone_rescaling_and_mirrors_when_reversed(pairs):
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    value = auroc(labels, scores)
    assert auroc(labels, np.exp(scores) - 7) == pytest.approx(value, nan_ok=True)
    assert auroc(labels, -scores) == pytest.approx(1 - value, nan_ok=True)


def test_an_undefined_class_is_nan_and_leaves_its_neighbours_alone():
    labels = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 1]])
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.9, 0.1], [0.2, 0.1, 0.2]])
    aurocs = class_aurocs(labels, scores)
    np.testing.assert_array_equal(aurocs, [np.nan, 0.5, np.nan])
    with pytest.warns(UndefinedAUROCWarning, match="1 of 3 classes"):
        assert mean_auroc(aurocs) == 0.5
    with pytest.warns(UndefinedAUROCWarning, match="0 of 2 classes"):
        assert math.isnan(mean_auroc(np.array([np.nan, np.nan])))


def test_scores_that_are_not_numbers_never_become_a_number():
    with pytest.raises(ValueError, match="NaN"):
        auroc(np.array([0, 1, 1]), np.array([0.1, np.nan, 0.3]))
    with pytest.raises(ValueError, match="differ in shape"):
        class_aurocs(np.zeros((3, 2)), np.zeros((2, 2)))

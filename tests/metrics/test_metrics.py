import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import roc_auc_score

from chexnet.metrics import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

samples = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)


def pair_counting(labels, scores) -> float:
    """Compute the definition: the fraction of (positive, negative) pairs in the right order, ties half."""
    wins = [
        (p > n) + 0.5 * (p == n)
        for p, positive in zip(scores, labels, strict=True)
        if positive
        for n, other in zip(scores, labels, strict=True)
        if not other
    ]
    return sum(wins) / len(wins) if wins else math.nan


@given(samples)
def test_auroc_equals_pair_counting(pairs):
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    assert auroc(labels, scores) == pytest.approx(pair_counting(labels, scores), abs=1e-12, nan_ok=True)


@given(samples)
def test_auroc_ignores_monotone_rescaling_and_flips_with_the_sign(pairs):
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    value = auroc(labels, scores)
    assert auroc(labels, np.exp(scores) - 7) == pytest.approx(value, nan_ok=True)
    assert auroc(labels, -scores) == pytest.approx(1 - value, nan_ok=True)


def any_scores(kind: str) -> st.SearchStrategy[np.ndarray]:
    """Generate finite scores of one type, many of them equal, some extreme."""
    limits = np.finfo(kind)
    extremes = [0, -0.0, limits.smallest_subnormal, limits.tiny, 1, 1 + limits.eps, limits.max, limits.min]
    finite = st.floats(allow_nan=False, allow_infinity=False, width=limits.bits)
    return arrays.arrays(kind, st.integers(2, 60), elements=st.sampled_from([float(x) for x in extremes]) | finite)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # scikit-learn adds the largest and the smallest
@given(st.sampled_from(["f4", "f8"]).flatmap(any_scores), st.data())
def test_auroc_equals_scikit_learns(scores, data):
    labels = np.zeros(len(scores), data.draw(st.sampled_from(["u1", "f4", "?"])))
    labels[data.draw(st.integers(1, len(scores) - 1)) :] = 1
    labels = np.random.default_rng(data.draw(st.integers(0, 9))).permutation(labels)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_aurocs_equal_scikit_learns_at_any_prevalence():
    rng = np.random.default_rng(0)
    labels = rng.random((30_000, 6)) < [0.0005, 0.02, 0.1, 0.5, 0.9, 0.9995]
    for scores in (rng.random(labels.shape, np.float32), rng.normal(size=labels.shape).round(2)):
        oracle = [roc_auc_score(labels[:, c], scores[:, c]) for c in range(6)]
        np.testing.assert_allclose(class_aurocs(labels, scores), oracle, rtol=0, atol=1e-12)


def test_an_undefined_class_is_nan_and_does_not_affect_the_others():
    labels = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 1]])
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.9, 0.1], [0.2, 0.1, 0.2]])
    aurocs = class_aurocs(labels, scores)
    np.testing.assert_array_equal(aurocs, [np.nan, 0.5, np.nan])
    with pytest.warns(UndefinedAUROCWarning, match="1 of 3 classes"):
        assert mean_auroc(aurocs) == 0.5
    with pytest.warns(UndefinedAUROCWarning, match="0 of 2 classes"):
        assert math.isnan(mean_auroc(np.array([np.nan, np.nan])))


def test_invalid_scores_are_an_error():
    with pytest.raises(ValueError, match="NaN"):
        auroc(np.array([0, 1, 1]), np.array([0.1, np.nan, 0.3]))
    with pytest.raises(ValueError, match="differ in shape"):
        class_aurocs(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="differ in shape"):
        auroc(np.array([0, 1]), np.array([0.1, 0.2, 0.3]))


def test_labels_other_than_0_and_1_are_an_error():
    with pytest.raises(ValueError, match="other than 0 and 1"):
        auroc(np.array([0, 1, -1]), np.array([0.1, 0.2, 0.3]))

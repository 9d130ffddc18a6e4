import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.metrics.operating_points import RULES, confusion_at_threshold, select_threshold

samples = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda pairs: len({positive for positive, _ in pairs}) == 2
)


def best_threshold(rule: str, labels, scores) -> float:
    """Try every threshold and return the highest of the best."""
    tried = [confusion_at_threshold(labels, scores, threshold) for threshold in sorted(set(scores), reverse=True)]
    if rule == "sensitivity":
        return next(counts.threshold for counts in tried if counts.sensitivity.value >= 0.9 - 1e-12)
    criteria = {
        "youden": lambda counts: counts.sensitivity.value + counts.specificity.value,
        "f1": lambda counts: counts.f1,
    }
    values = list(map(criteria[rule], tried))
    return next(counts.threshold for counts, value in zip(tried, values, strict=True) if value > max(values) - 1e-12)


@pytest.mark.parametrize("rule", RULES)
@given(samples)
def test_the_selected_threshold_is_the_best_of_all(rule, pairs):
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    assert select_threshold(labels, scores, rule) == best_threshold(rule, labels, scores)


def test_confusion_counts_of_a_worked_example():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    scores = np.array([0.9, 0.5, 0.4, 0.5, 0.3, 0.2, 0.1, 0.1], np.float32)
    found = confusion_at_threshold(labels, scores, 0.5)
    assert (found.true_positives, found.false_positives, found.false_negatives, found.true_negatives) == (2, 1, 1, 4)
    values = [getattr(found, name).value for name in ("sensitivity", "specificity", "ppv", "npv")]
    assert values == [2 / 3, 4 / 5, 2 / 3, 4 / 5]
    assert found.f1 == 2 / 3
    assert found.sensitivity.interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert np.isnan(confusion_at_threshold(labels, scores, 1.1).ppv.value)
    assert np.isnan(confusion_at_threshold(labels, scores, 1.1).ppv.interval).all()


def test_a_float32_threshold_survives_json():
    """predict.py compares a threshold from JSON with Python floats of float32 probabilities."""
    rng = np.random.default_rng(0)
    scores = rng.random(500, np.float32)
    labels = rng.random(500) < scores
    threshold = select_threshold(labels, scores, "youden")
    called = [value >= json.loads(json.dumps(threshold)) for value in scores.tolist()]
    found = confusion_at_threshold(labels, scores, threshold)
    assert sum(called) == found.true_positives + found.false_positives
    assert threshold in scores.tolist()


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_only_positives_or_only_negatives_have_no_threshold(labels):
    with pytest.raises(ValueError, match="only positives or only negatives"):
        select_threshold(np.array(labels), np.array([0.1, 0.2]), "youden")

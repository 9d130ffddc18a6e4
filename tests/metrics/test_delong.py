"""DeLong's variance against its definition, intervals and tests against simulation, Holm's correction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from chexnet.metrics import auroc
from chexnet.metrics.delong import compare_aurocs, estimate_auroc
from chexnet.metrics.differences import Z_95
from chexnet.metrics.proportions import holm, wilson


def kernel_covariance(labels, scores) -> np.ndarray:
    """Compute the formulas of DeLong, DeLong and Clarke-Pearson literally: a kernel over all pairs, O(m n)."""
    over, under = [], []
    for row in scores:
        pairs = row[labels == 1][:, None] - row[labels == 0][None]
        kernel = (pairs > 0) + 0.5 * (pairs == 0)
        over.append(kernel.mean(axis=1))
        under.append(kernel.mean(axis=0))
    return np.cov(over) / (labels == 1).sum() + np.cov(under) / (labels == 0).sum()


def clustered_variance(labels, scores, patients) -> float:
    """Compute Obuchowski's formulas patient by patient."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    m, n = len(positives), len(negatives)

    def wins(a, b):
        return np.mean([(x > b) + 0.5 * (x == b) for x in a], axis=1) if len(a) else np.zeros(0)

    area = wins(positives, negatives).mean()
    sums = []
    for patient in sorted(set(patients)):
        own = patients == patient
        over = wins(scores[own & (labels == 1)], negatives) - area
        under = 1 - wins(scores[own & (labels == 0)], positives) - area
        sums.append((len(over), len(under), over.sum(), under.sum()))
    i10, i01, i = sum(s[0] > 0 for s in sums), sum(s[1] > 0 for s in sums), len(sums)
    s10 = i10 / ((i10 - 1) * m) * sum(s[2] ** 2 for s in sums)
    s01 = i01 / ((i01 - 1) * n) * sum(s[3] ** 2 for s in sums)
    s11 = i / (i - 1) * sum(s[2] * s[3] for s in sums)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def logit_interval(area: float, variance: float) -> tuple[float, float]:
    """Return the 95 % interval that is symmetric in the logit."""
    center, reach = np.log(area / (1 - area)), Z_95 * np.sqrt(variance) / (area * (1 - area))
    return tuple(1 / (1 + np.exp(-(center + np.array([-reach, reach])))))


def sample(seed: int, n: int = 60, ties: bool = True):
    """Return labels and two correlated rows of scores, better than chance and not perfect."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 == 0).astype(np.uint8)
    common = rng.normal(size=n) + labels
    scores = np.stack([common + rng.normal(size=n), common + 0.5 * rng.normal(size=n)])
    return labels, scores.round(1) if ties else scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [True, False])
def test_interval_and_test_equal_delongs_definition(seed, ties):
    labels, scores = sample(seed, ties=ties)
    covariance = kernel_covariance(labels, scores)
    for row, variance in zip(scores, np.diag(covariance), strict=True):
        found = estimate_auroc(labels, row)
        assert found.auroc == pytest.approx(auroc(labels, row), abs=1e-12)
        assert (found.low, found.high) == pytest.approx(logit_interval(found.auroc, variance), abs=1e-12)
    found = compare_aurocs(labels, *scores)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference == pytest.approx(auroc(labels, scores[0]) - auroc(labels, scores[1]), abs=1e-12)
    assert found.p == pytest.approx(2 * norm.sf(abs(found.difference) / error), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * Z_95 * error, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_clustered_intervals_equal_obuchowskis_formulas(seed):
    labels, scores = sample(seed)
    patients = np.random.default_rng(seed + 9).integers(0, 20, len(labels))
    found = estimate_auroc(labels, scores[0], patients)
    expected = logit_interval(found.auroc, clustered_variance(labels, scores[0], patients))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    names = np.array([f"patient {number}" for number in patients])
    assert estimate_auroc(labels, scores[0], names).__dict__ == pytest.approx(found.__dict__, abs=1e-12)


def test_duplicated_images_of_a_patient_do_not_narrow_the_interval():
    labels, scores = sample(0)
    twice = estimate_auroc(np.tile(labels, 2), np.tile(scores[0], 2), np.tile(np.arange(60), 2))
    once = estimate_auroc(labels, scores[0])
    assert (twice.auroc, twice.low, twice.high) == pytest.approx((once.auroc, once.low, once.high), abs=2e-3)
    independent = estimate_auroc(np.tile(labels, 2), np.tile(scores[0], 2))
    assert independent.high - independent.low < 0.75 * (once.high - once.low)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=1))
def test_intervals_contain_the_auroc_and_stay_within_0_and_1(rows):
    labels, first, second, patients = (np.array(column) for column in zip(*rows, strict=True))
    for clusters in (None, patients):
        found = estimate_auroc(labels, first, clusters)
        if np.isnan(auroc(labels, first)):
            assert np.isnan([found.auroc, found.low, found.high]).all()
        else:
            assert 0 <= found.low <= found.auroc <= found.high <= 1
            assert found.high - found.low > 0.01  # a few images never give certainty
        test = compare_aurocs(labels, first, second, clusters)
        assert np.isnan(test.p) or (0 <= test.p <= 1 and -1 <= test.low <= test.difference <= test.high <= 1)


def test_order_of_images_and_monotone_rescaling_do_not_matter():
    labels, scores = sample(3)
    again = np.random.default_rng(0).permutation(len(labels))
    found = estimate_auroc(labels, scores[0])
    assert estimate_auroc(labels[again], np.exp(scores[0][again]) - 7).__dict__ == pytest.approx(found.__dict__)
    other = estimate_auroc(1 - labels, scores[0])  # inverted labels
    assert (other.auroc, other.low, other.high) == pytest.approx((1 - found.auroc, 1 - found.high, 1 - found.low))
    test, swapped = compare_aurocs(labels, *scores), compare_aurocs(labels, *scores[::-1])
    assert (swapped.difference, swapped.low, swapped.high, swapped.p) == pytest.approx(
        (-test.difference, -test.high, -test.low, test.p)
    )
    assert compare_aurocs(labels, scores[0], 3 * scores[0]).p == 1


def test_perfect_separation_still_has_an_interval():
    """A few images do not prove that all others are separated."""
    widths = []
    for n in (6, 60, 600):
        labels = np.arange(n) % 2
        found = estimate_auroc(labels, labels + 0.0)
        assert (found.auroc, found.high) == (1, 1)
        widths.append(1 - found.low)
    assert 0.3 < widths[0] < 0.8
    assert widths[0] > 4 * widths[1] > 16 * widths[2]
    single = estimate_auroc(np.array([1, 0, 0, 0]), np.array([3.0, 1, 2, 4]))  # a single positive has no variance
    assert single.low < 0.3 < single.auroc < 0.9 < single.high
    assert np.isnan(compare_aurocs(np.array([1, 1, 0, 0]), np.array([3, 4, 1, 2]), np.array([1, 2, 3, 4])).p)


@pytest.mark.parametrize(("separation", "positives", "negatives"), [(1.0, 40, 120), (2.3, 40, 120), (0.5, 15, 300)])
def test_intervals_have_their_nominal_coverage(separation, positives, negatives):
    """95 % within 1.5 points; 4,000 repetitions have a standard error of 0.34 points."""
    rng = np.random.default_rng(20)
    labels = np.repeat([1, 0], [positives, negatives])
    truth = norm.cdf(separation / np.sqrt(2))
    covered = 0
    for _ in range(4000):
        found = estimate_auroc(labels, rng.normal(size=len(labels)) + separation * labels)
        covered += found.low <= truth <= found.high
    assert 0.935 <= covered / 4000 <= 0.965


def test_the_paired_test_has_its_nominal_error_rate():
    """Compare two equally good predictions: p is below 0.05 in 5 % of repetitions, within 1.5 points."""
    rng = np.random.default_rng(3)
    labels = np.repeat([1, 0], [50, 150])
    errors = 0
    for _ in range(3000):
        common = rng.normal(size=200) + 1.5 * labels
        errors += compare_aurocs(labels, common + rng.normal(size=200), common + rng.normal(size=200)).p < 0.05
    assert 0.035 <= errors / 3000 <= 0.065


def test_holm_on_a_worked_example():
    """Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; the values must not decrease."""
    found = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(found, [0.03, np.nan, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    assert len(holm(np.array([]))) == 0


def test_wilson_against_published_values():
    """Check values of Newcombe, Stat. Med. 17, 1998, table I: 81 of 263, 15 of 148, 0 of 20, 29 of 29."""
    for hits, cases, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson(hits, cases) == pytest.approx((low, high), abs=5e-5)
    assert wilson(29, 29) == pytest.approx((0.8830, 1), abs=5e-5)
    assert np.isnan(wilson(0, 0)).all()


@pytest.mark.parametrize("trials", [1, 2, 20, 22_433])
def test_wilson_equals_scipys_interval(trials):
    for successes in sorted({0, 1, trials // 3, trials - 1, trials}):
        assert wilson(successes, trials) == pytest.approx(
            binomtest(successes, trials).proportion_ci(method="wilson"), rel=1e-12
        )

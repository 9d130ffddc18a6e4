"""Scores of groups and their differences, in memory, in the JSON and on the page."""

import json
import math
import re

import numpy as np
import pytest
from scipy.special import expit

from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report import build_report, class_scores, format_report, write_report
from chexnet.evaluation.report.forest import draw_forest
from chexnet.evaluation.report.group_scores import MIN_PATIENTS, score_groups
from chexnet.evaluation.report.image_groups import Grouping
from chexnet.evaluation.report.validation_fit import fit_on_validation
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import auroc, class_aurocs
from chexnet.metrics.delong import estimate_auroc
from chexnet.metrics.proportions import holm

PATIENTS, IMAGES = 150, 600
RARE, ABSENT = CLASS_NAMES.index("Hernia"), CLASS_NAMES.index("Fibrosis")
HARD = CLASS_NAMES.index("Effusion")


def made(seed: int) -> tuple[Predictions, np.ndarray]:
    """Make predictions of 4 images per patient, and two groups that share patients.

    Effusion is as good as random in the second group, which also gets higher probabilities. Hernia is rare, and no
    image has Fibrosis.
    """
    rng = np.random.default_rng(seed)
    names = tuple(f"{index // 4:08d}_{index % 4:03d}.png" for index in range(IMAGES))
    labels = (rng.random((IMAGES, N_CLASSES)) < 0.25).astype(np.uint8)
    labels[:, RARE] = np.arange(IMAGES) % 97 == 0
    labels[:, ABSENT] = 0
    second = np.repeat(rng.random(PATIENTS) < 0.5, 4) ^ (rng.random(IMAGES) < 0.2)
    signal = 1.5 * labels
    signal[second, HARD] = 0
    patient = np.repeat(rng.normal(size=(PATIENTS, N_CLASSES)), 4, axis=0)
    logits = 0.7 * patient + rng.normal(size=labels.shape) + signal - 1.6 + 0.8 * second[:, None]
    return Predictions(f"{seed}.csv", names, labels, expit(logits)), second


TEST, SECOND = made(1)
VALIDATION, _ = made(2)
TWO = Grouping("device", "m.csv", ("old", "new"), SECOND.astype(np.int64))
FOUR = Grouping("site", "m.csv", ("a", "b & <c>", "$d_1$", "tiny"), np.arange(IMAGES) // 4 % 3)
FOUR.membership[[0, 8]] = 3
FOUR.membership[5] = -1


@pytest.fixture(scope="module")
def two():
    return score_groups(TEST, TWO, fit_on_validation(VALIDATION, TEST))


@pytest.fixture(scope="module")
def four():
    return score_groups(TEST, FOUR, None)


def test_each_group_is_scored_as_if_it_were_alone(two):
    patients = TEST.patients.clusters
    for index, side in enumerate((~SECOND, SECOND)):
        assert (two.images[index], two.patients[index]) == (side.sum(), len(set(patients[side])))
        for column, finding in enumerate(two.findings):
            found, labels, values = finding.groups[index], TEST.labels[side, column], TEST.probabilities[side, column]
            alone = estimate_auroc(labels, values, patients[side])
            if column != ABSENT:
                assert (found.auroc.auroc, found.auroc.low, found.auroc.high) == pytest.approx(
                    (alone.auroc, alone.low, alone.high)
                )
            assert found.calibration.value == pytest.approx(values.mean() - labels.mean())
            assert found.brier == pytest.approx(np.mean((values - labels) ** 2))
            assert found.patients_with == len(set(patients[side][labels == 1]))
    assert two.shared_patients == len(set(patients[SECOND]) & set(patients[~SECOND])) > 50


def test_rates_use_the_threshold_of_the_validation_set_in_every_group(two):
    fitted = fit_on_validation(VALIDATION, TEST)
    threshold = fitted.points["youden"]["Mass"].test.threshold
    column = CLASS_NAMES.index("Mass")
    for index, side in enumerate((~SECOND, SECOND)):
        called, labels = TEST.probabilities[side, column] >= threshold, TEST.labels[side, column] == 1
        found = two.findings[column].groups[index]
        assert found.sensitivity.value == pytest.approx(called[labels].mean())
        assert found.specificity.value == pytest.approx((~called)[~labels].mean())
    assert two.findings[ABSENT].groups[0].sensitivity is None  # nothing was fitted for it


def test_a_real_difference_is_found_and_holm_covers_all_findings(two):
    tests = [finding.differences["auroc"][0] for finding in two.findings]
    p = np.array([math.nan if test is None else test.test.p for test in tests])
    adjusted = [math.nan if test is None else test.adjusted for test in tests]
    np.testing.assert_array_equal(adjusted, holm(p))
    significant = {name for name, value in zip(CLASS_NAMES, adjusted, strict=True) if value < 0.05}
    assert significant == {"Effusion"}
    assert tests[HARD].test.difference == pytest.approx(
        auroc(TEST.labels[~SECOND, HARD], TEST.probabilities[~SECOND, HARD])
        - auroc(TEST.labels[SECOND, HARD], TEST.probabilities[SECOND, HARD])
    )
    calibration = [finding.differences["calibration"][0] for finding in two.findings]
    assert all(test.test.difference < 0 for test in calibration if test)  # the second group gets higher probabilities
    assert calibration[CLASS_NAMES.index("Mass")].adjusted < 0.05


def test_small_groups_are_named_and_make_no_claim(two):
    for column in (RARE, ABSENT):
        finding = two.findings[column]
        assert finding.small == ["old", "new"]
        assert all(tests == (None,) for tests in finding.differences.values())
        assert all(group.patients_with < MIN_PATIENTS for group in finding.groups)
    assert set(two.means[0].findings) == set(CLASS_NAMES) - {"Hernia", "Fibrosis"}


def test_the_interval_of_the_mean_agrees_with_resampled_patients(two):
    kept = [CLASS_NAMES.index(name) for name in two.means[0].findings]
    labels, values = TEST.labels[:, kept], TEST.probabilities[:, kept]
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(400):
        rows = (4 * rng.integers(0, PATIENTS, PATIENTS)[:, None] + np.arange(4)).ravel()
        sides = [rows[~SECOND[rows]], rows[SECOND[rows]]]
        gaps.append(np.subtract(*(class_aurocs(labels[side], values[side]).mean() for side in sides)))
    (mean,) = two.means
    test = mean.difference.test
    assert (test.high - test.low) / (2 * 1.96) == pytest.approx(np.std(gaps), rel=0.12)
    expected = [class_aurocs(labels[side], values[side]).mean() for side in (~SECOND, SECOND)]
    assert (mean.first, mean.second, test.difference) == pytest.approx((*expected, expected[0] - expected[1]))


def test_of_more_than_two_groups_each_is_compared_with_the_rest(four):
    assert [first for first, _ in four.comparisons] == list(FOUR.groups)
    column, side = CLASS_NAMES.index("Mass"), FOUR.membership == 1
    rest = (FOUR.membership >= 0) & ~side
    areas = [auroc(TEST.labels[chosen, column], TEST.probabilities[chosen, column]) for chosen in (side, rest)]
    assert four.findings[column].differences["auroc"][1].test.difference == pytest.approx(areas[0] - areas[1])
    assert four.findings[column].differences["auroc"][3] is None
    assert "tiny" in four.findings[column].small
    assert math.isnan(four.means[3].difference.test.difference)
    assert four.findings[column].differences["sensitivity"] == (None,) * 4
    assert sum(four.images) == IMAGES - 1


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a report with both groupings, its page and its JSON."""
    folder = tmp_path_factory.mktemp("groups") / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_scores, "REPLICATES", 20)
        report = build_report(TEST, VALIDATION, groupings=[TWO, FOUR])
    write_report(report, folder)
    content = json.loads((folder / "metrics.json").read_text(), parse_constant=lambda text: pytest.fail(text))
    return report, (folder / "report.html").read_text(), content


def test_the_json_has_the_groups(written):
    _, _, content = written
    device, site = content["groups"]
    assert device["groups"] == {
        name: {"images": int(side.sum()), "patients": len(set(TEST.patients.clusters[side]))}
        for name, side in (("old", ~SECOND), ("new", SECOND))
    }
    effusion = device["classes"]["Effusion"]
    assert effusion["differences"][0]["auroc"]["p_holm"] < 0.05
    low, high = effusion["groups"]["new"]["sensitivity_ci"]
    assert low < effusion["groups"]["new"]["sensitivity"] < high
    assert device["classes"]["Hernia"]["differences"][0]["auroc"] is None
    assert device["classes"]["Fibrosis"]["groups"]["old"]["auroc"] is None
    assert set(site["groups"]) == set(FOUR.groups)
    assert str(MIN_PATIENTS) in site["rule"]
    assert "sensitivity" not in device["classes"]["Fibrosis"]["groups"]["old"]


def test_the_page_shows_the_groups(written):
    _, page, _ = written
    section = re.search(r'<section aria-labelledby="groups">(.*?)</section>', page, re.DOTALL)[1]
    assert section.count("<svg") == 2 * N_CLASSES
    assert "b &amp; &lt;c&gt;" in section
    assert "<c>" not in section
    assert "small: old, new" in section
    assert "nan" not in section.lower()
    assert 'id="t-groups-1"' in section
    assert 'id="t-groups-2"' in section


def test_the_summary_names_differences_and_small_groups(written):
    report, _, _ = written
    lines = format_report(report, "r").splitlines()
    device = [line for line in lines if line.startswith("device: ")]
    assert "over 12 findings" in device[0]
    assert device[1].endswith("for Fibrosis, Hernia")
    assert any(line.startswith("  Effusion: +") for line in lines)
    assert any(line.startswith("site: tiny minus not tiny: no finding") for line in lines)


def test_a_forest_plot_has_the_intervals_at_their_coordinates(four):
    svg = draw_forest(four.findings[HARD])
    assert draw_forest(four.findings[HARD]) == svg
    assert "$d_1$" in svg
    groups = [group for group in four.findings[HARD].groups if not math.isnan(group.auroc.auroc)]
    ends = [end for group in groups for end in (group.auroc.low, group.auroc.high)]
    low, high = math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10
    paths = re.findall(r'd="M (\S+) (\S+) L (\S+) (\S+) "[^>]*stroke: var\(--first\)', svg)
    found = np.array([(float(a), float(c)) for a, _, c, _ in paths])
    expected = [[104 + 132 * (end - low) / (high - low) for end in (g.auroc.low, g.auroc.high)] for g in groups]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    rows = [float(b) for _, b, _, _ in paths]
    assert rows == sorted(rows)

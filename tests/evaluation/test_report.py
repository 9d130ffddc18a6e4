"""Results and files of a report; test_report_page.py tests the HTML page."""

import importlib.util
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score

from chexnet.data.lists import format_list
from chexnet.errors import InputError
from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report import build_report, check_folder, class_scores, format_report, write_report
from chexnet.evaluation.report.cross_finding import cooccurrence, cross_finding_auroc
from chexnet.evaluation.report.report_builder import NO_VALIDATION
from chexnet.files import sha256
from chexnet.inference.thresholds import read_thresholds
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import auroc, class_aurocs
from chexnet.metrics.bootstrap import nanmean_over_classes, resampled_aurocs
from chexnet.metrics.delong import compare_aurocs, estimate_auroc
from chexnet.metrics.operating_points import confusion_at_threshold, select_threshold
from chexnet.metrics.platt import PlattScaling
from chexnet.metrics.proportions import holm

IMAGES = 240


def made(seed: int, name: str, noise: int = 0, first_patient: int = 0) -> Predictions:
    """Make predictions better than chance, three images per patient; `noise` is the seed of the model."""
    rng = np.random.default_rng(seed)
    names = tuple(f"{first_patient + index // 3:08d}_{index % 3:03d}.png" for index in range(IMAGES))
    labels = (rng.random((IMAGES, N_CLASSES)) < 0.2).astype(np.uint8)
    logits = rng.normal(size=labels.shape) + 1.5 * labels - 2
    logits += 0.7 * np.random.default_rng(noise).normal(size=labels.shape)
    return Predictions(name, names, labels, expit(logits).astype(np.float32))


def without_hernia(predictions: Predictions) -> Predictions:
    labels = predictions.labels.copy()
    labels[:, CLASS_NAMES.index("Hernia")] = 0
    return replace(predictions, labels=labels)


TEST = made(1, "test.csv")
VALIDATION = made(2, "val.csv", first_patient=5000)
OTHER = made(1, "other.csv", noise=9)


def written(report, folder) -> dict:
    write_report(report, folder)
    return json.loads((folder / "metrics.json").read_text(), parse_constant=lambda text: pytest.fail(text))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Return a report with validation set and second model, its folder and its JSON."""
    report = build_report(TEST, VALIDATION, OTHER, ckpt_sha256="4a5f")
    folder = tmp_path_factory.mktemp("full") / "report"
    return report, folder, written(report, folder)


def test_the_json_has_the_metrics(full):
    _, folder, content = full
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.json", "predictions.csv", "report.html", "thresholds.json",
    ]  # fmt: skip
    assert list(content["classes"]) == list(CLASS_NAMES)
    assert (content["images"], content["patients"]) == (IMAGES, IMAGES // 3)
    for c, name in enumerate(CLASS_NAMES):
        labels, scores = TEST.labels[:, c], TEST.probabilities[:, c]
        result = content["classes"][name]
        by_patients, by_images = estimate_auroc(labels, scores, TEST.patients.clusters), estimate_auroc(labels, scores)
        assert result["auroc"] == auroc(labels, scores) == by_patients.auroc
        assert result["auroc_ci"] == [by_patients.low, by_patients.high]
        assert result["auroc_ci_images"] == [by_images.low, by_images.high] != result["auroc_ci"]
        assert result["auprc"] == pytest.approx(average_precision_score(labels, scores))
        assert result["prevalence"] == labels.mean()
        assert (
            result["positives"] + result["negatives"]
            == sum(group["images"] for group in result["reliability"])
            == IMAGES
        )
    resampled = resampled_aurocs(TEST.labels, TEST.probabilities, TEST.patients.clusters)
    np.testing.assert_allclose(content["mean"]["auroc_ci"], np.percentile(nanmean_over_classes(resampled), (2.5, 97.5)))
    ends = [result["auroc_ci_bootstrap"] for result in content["classes"].values()]
    np.testing.assert_allclose(ends, np.percentile(resampled, (2.5, 97.5), axis=0).T)
    assert content["mean"]["auroc"] == pytest.approx(class_aurocs(TEST.labels, TEST.probabilities).mean())


def test_thresholds_are_selected_on_validation_and_evaluated_on_test_images(full, tmp_path):
    _, folder, content = full
    column = CLASS_NAMES.index("Mass")
    point = content["classes"]["Mass"]["operating_points"]["youden"]
    threshold = select_threshold(VALIDATION.labels[:, column], VALIDATION.probabilities[:, column], "youden")
    test = confusion_at_threshold(TEST.labels[:, column], TEST.probabilities[:, column], threshold)
    validation = confusion_at_threshold(VALIDATION.labels[:, column], VALIDATION.probabilities[:, column], threshold)
    assert point["threshold"] == threshold
    assert (point["sensitivity"], point["ppv"]) == (test.sensitivity.value, test.ppv.value)
    assert point["sensitivity_ci"] == list(test.sensitivity.interval)
    assert point["validation"]["sensitivity"] == validation.sensitivity.value != point["sensitivity"]
    # The file for predict.py has the results on the validation images.
    found = read_thresholds(folder / "thresholds.json", None)
    assert found.points["Mass"].threshold == threshold
    assert found.points["Mass"].sensitivity == validation.sensitivity.value
    assert "Youden" in found.chosen
    assert found.chosen.endswith(" on val.csv")
    platt = full[2]["classes"]["Mass"]["calibrated"]["platt"]
    assert found.calibration["Mass"] == PlattScaling(platt["slope"], platt["offset"])
    assert found.temperature == full[2]["calibration"]["temperature"]
    assert (found.validation_list, found.validation_images) == ("val.csv", len(VALIDATION))
    (tmp_path / "other.pdparams").write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"thresholds\.json.*4a5f"):
        read_thresholds(folder / "thresholds.json", sha256(tmp_path / "other.pdparams"))


@pytest.fixture
def quick(monkeypatch):
    """Reduce the number of resamples for tests that do not check their intervals."""
    monkeypatch.setattr(class_scores, "REPLICATES", 20)


@pytest.mark.usefixtures("quick")
def test_calibration_is_fitted_on_validation_and_evaluated_on_test_images():
    """Both sets are distorted in the same way, so a correction fitted on one also fits the other."""

    def distort(predictions):
        return replace(predictions, probabilities=expit(3 * logit(predictions.probabilities) - 2).astype("f4"))

    report = build_report(distort(TEST), distort(VALIDATION))
    assert report.validation_fit.temperature > 1.5
    before = [scores.ece for scores in report.scores.classes]
    after = [result.ece for result in report.validation_fit.by_platt.values()]
    assert np.mean(after) < 0.7 * np.mean(before)
    assert max(slope for slope, _ in report.validation_fit.platt.values()) < 1


@pytest.mark.usefixtures("quick")
def test_a_finding_that_validation_ranks_in_reverse_is_left_out_of_the_calibration(tmp_path):
    reverse = VALIDATION.probabilities.copy()
    column = CLASS_NAMES.index("Mass")
    reverse[:, column] = 1 - reverse[:, column]
    report = build_report(TEST, replace(VALIDATION, probabilities=reverse))
    assert report.validation_fit.platt["Mass"][0] < 0
    (tmp_path / "thresholds.json").write_text(report.thresholds[0])
    assert read_thresholds(tmp_path / "thresholds.json", None).uncalibrated == ["Mass"]


def test_the_comparison_is_delongs_test_with_holms_correction(full):
    _, _, content = full
    tests = [
        compare_aurocs(TEST.labels[:, c], TEST.probabilities[:, c], OTHER.probabilities[:, c], TEST.patients.clusters)
        for c in range(N_CLASSES)
    ]
    found = content["comparison"]["classes"].values()
    p = [test.p for test in tests]
    assert [result["p"] for result in found] == p
    np.testing.assert_array_equal([result["p_holm"] for result in found], holm(np.array(p)))
    gap = content["comparison"]["mean"]
    assert gap["difference"] == pytest.approx(content["mean"]["auroc"] - content["other"]["mean"]["auroc"])
    assert gap["difference_ci"][0] < gap["difference"] < gap["difference_ci"][1]
    both = content["mean"]["auroc_ci"], content["other"]["mean"]["auroc_ci"]
    assert np.ptp(gap["difference_ci"]) < sum(map(np.ptp, both))  # sampling errors of the same patients cancel


@pytest.mark.usefixtures("quick")
def test_a_model_does_not_differ_from_itself():
    report = build_report(
        TEST, other=Predictions("again", TEST.names[::-1], TEST.labels[::-1], TEST.probabilities[::-1])
    )
    assert [(test.difference, test.p) for test in report.comparison.classes] == [(0, 1)] * N_CLASSES
    assert (report.comparison.mean.low, report.comparison.mean.high) == (0, 0)


@pytest.mark.usefixtures("quick")
def test_a_class_without_positives_is_left_out_and_named(tmp_path):
    report = build_report(without_hernia(TEST), without_hernia(VALIDATION), without_hernia(OTHER))
    content = written(report, tmp_path / "r")
    assert content["undefined"] == ["Hernia"]
    assert content["mean"]["classes"] == 13
    hernia = content["classes"]["Hernia"]
    assert (hernia["auroc"], hernia["auroc_ci"], hernia["auprc"], hernia["positives"]) == (None, [None, None], None, 0)
    assert content["comparison"]["classes"]["Hernia"]["p_holm"] is None
    assert content["operating_points"]["left_out"] == ["Hernia"]
    assert hernia["operating_points"] == {"youden": None, "sensitivity": None, "f1": None}
    assert content["mean"]["auroc"] == pytest.approx(class_aurocs(TEST.labels, TEST.probabilities)[:13].mean())
    lines = format_report(report, tmp_path / "r").splitlines()
    assert "over 13 of 14 classes" in lines[0]
    assert lines[1].startswith("no AUROC")
    assert lines[1].endswith(": Hernia")
    assert any(line.startswith("no thresholds.json: ") and line.endswith(" for Hernia") for line in lines)
    assert not (tmp_path / "r" / "thresholds.json").exists()
    page = (tmp_path / "r" / "report.html").read_text()
    assert re.search(r'<p class="notice">[^<]*: Hernia\.', page)
    assert page.count("No curve for Hernia") == 2
    assert "No threshold for Hernia" in page
    assert "nan" not in page.lower()


@pytest.mark.usefixtures("quick")
def test_missing_parts_are_explained(tmp_path):
    report = build_report(TEST, run={"config": {"crops": 10}})
    content = written(report, tmp_path / "r")
    assert content["operating_points"]["absent"] == NO_VALIDATION
    assert content["calibration"].keys() == {"absent"}
    assert content["comparison"] is None
    assert "operating_points" not in content["classes"]["Mass"]
    page = (tmp_path / "r" / "report.html").read_text()
    assert page.count(NO_VALIDATION) == 2  # below calibration and operating points
    text, reason = build_report(TEST, VALIDATION, one_checkpoint=False).thresholds
    assert text == ""
    assert "ensemble" in reason
    assert ", 10 crops" in build_report(TEST, VALIDATION, run={"config": {"crops": 10}}).thresholds[0]


@pytest.mark.usefixtures("quick")
def test_images_in_both_sets_are_reported():
    overlapping = made(2, "val.csv", first_patient=75)  # patients 75 to 79 are also in the test set
    audit = build_report(TEST, overlapping).audit
    assert "15 images and 5 patients" in audit[-1]
    assert "no image and no patient" in build_report(TEST, VALIDATION).audit[-1]
    renamed = Predictions("x", tuple(f"{i}.png" for i in range(IMAGES)), TEST.labels, TEST.probabilities)
    assert f"{IMAGES} of these {IMAGES} images are unknown" in build_report(renamed).audit[-1]


def test_cooccurrence_and_cross_finding_auroc():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, N_CLASSES)) < 0.3).astype(np.uint8)
    scores = rng.random(labels.shape) + labels
    scores[:, 1] += labels[:, 0]  # class 0 raises the score of class 1
    predictions = Predictions("x", tuple(map(str, range(300))), labels, scores.astype("f4"))
    counts = cooccurrence(labels)
    assert counts[2, 5] == counts[5, 2] == sum(a and b for a, b in zip(labels[:, 2], labels[:, 5], strict=True))
    assert counts[3, 3] == labels[:, 3].sum()
    found = cross_finding_auroc(predictions)
    assert found[0, 1] == 1
    raised = [scores[i, 4] for i in range(300) if labels[i, 2] and not labels[i, 4]]
    others = [scores[i, 4] for i in range(300) if not labels[i, 2] and not labels[i, 4]]
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in raised for b in others])
    assert found[2, 4] == pytest.approx(wins)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.usefixtures("quick")
def test_an_earlier_report_is_replaced_completely(full, tmp_path):
    shutil.copytree(full[1], tmp_path / "r")
    write_report(build_report(TEST), tmp_path / "r")
    assert not (tmp_path / "r" / "thresholds.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.usefixtures("quick")
def test_a_failed_write_keeps_the_earlier_report(full, tmp_path, monkeypatch):
    shutil.copytree(full[1], tmp_path / "r")
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()}

    def broken(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", broken)
    with pytest.raises(InputError, match=r"r: .*No space left"):
        write_report(build_report(OTHER), tmp_path / "r")
    assert {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_with_other_files_is_an_error(full, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"'thesis\.tex'"):
        write_report(full[0], tmp_path)
    with pytest.raises(InputError, match=r"thesis\.tex: "):
        check_folder(tmp_path / "thesis.tex", protected=())
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "predictions.csv").write_text("")
    with pytest.raises(InputError, match=r"predictions\.csv: "):
        check_folder(tmp_path / "r", protected=[tmp_path / "r" / "predictions.csv"])


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tool_report", ROOT / "tools/report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_builds_the_same_report_from_files(full, script, tmp_path, capsys):
    report, _, content = full
    for predictions in (TEST, VALIDATION, OTHER):
        (tmp_path / predictions.origin).write_text(predictions.to_csv())
    (tmp_path / "list.txt").write_text(format_list(TEST.names[::-1], TEST.labels[::-1]))
    files = [str(tmp_path / name) for name in ("test.csv", "other.csv", "val.csv", "list.txt", "out")]
    flags = ["--predictions", *files[:2], "--val_predictions", files[2], "--labels", files[3], "--output_dir", files[4]]
    assert script.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == format_report(report, "").splitlines()[0]
    assert lines[-1] == f"=> report: {tmp_path / 'out' / 'report.html'}"
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["classes"] == content["classes"]
    assert found["comparison"] == content["comparison"]
    assert len(found["run"]["sha256"]) == 4
    assert script.main(["--predictions", *files[:3], "--output_dir", files[4]]) == 2
    assert script.main(["--predictions", files[0], files[2], "--output_dir", files[4]]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: --predictions: 3 ")
    assert re.search(r"val\.csv: .*test\.csv", errors[1])


@pytest.mark.usefixtures("quick")
def test_a_report_without_any_positives_is_undefined_throughout(tmp_path):
    """Two images have no finding at all."""
    names = ("00000001_000.png", "00000001_001.png")
    empty = Predictions(
        "empty.csv", names, np.zeros((2, N_CLASSES), np.uint8), np.full((2, N_CLASSES), 0.5, np.float32)
    )
    content = written(build_report(empty, VALIDATION, empty), tmp_path / "r")
    assert content["undefined"] == list(CLASS_NAMES)
    assert content["mean"] == {"auroc": None, "auroc_ci": [None, None], "auprc": None, "classes": 0}
    assert content["comparison"]["mean"]["difference"] is None
    point = content["classes"]["Mass"]["operating_points"]["youden"]
    assert (point["sensitivity"], point["sensitivity_ci"]) == (None, [None, None])
    assert "nan" not in (tmp_path / "r" / "report.html").read_text().lower()

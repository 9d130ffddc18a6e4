"""What a report computes and writes; its page is test_report_page.py's."""

import importlib.util
import json
import os
import re

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
from chexnet.files import sha256
from chexnet.inference.thresholds import read_thresholds
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import auroc, class_aurocs
from chexnet.metrics.bootstrap import nanmean_over_classes, resampled_aurocs
from chexnet.metrics.delong import compare_aurocs, estimate_auroc
from chexnet.metrics.operating_points import confusion_at_threshold, select_threshold
from chexnet.metrics.proportions import holm

IMAGES = 240


def made(seed: int, name: str, noise: int = 0, first_patient: int = 0) -> Predictions:
    """Predictions better than chance, three images a patient; `noise` makes another model's of the same images."""
    rng = np.random.default_rng(seed)
    names = tuple(f"{first_patient + index // 3:08d}_{index % 3:03d}.png" for index in range(IMAGES))
    labels = (rng.random((IMAGES, N_CLASSES)) < 0.2).astype(np.uint8)
    logits = rng.normal(size=labels.shape) + 1.5 * labels - 2
    logits += 0.7 * np.random.default_rng(noise).normal(size=labels.shape)
    return Predictions(name, names, labels, expit(logits).astype(np.float32))


def without_hernia(one: Predictions) -> Predictions:
    labels = one.labels.copy()
    labels[:, CLASS_NAMES.index("Hernia")] = 0
    return Predictions(one.source, one.names, labels, one.probabilities)


TEST = made(1, "test.csv")
VALIDATION = made(2, "val.csv", first_patient=5000)
OTHER = made(1, "other.csv", noise=9)


def written(report, folder) -> dict:
    write_report(report, folder)
    return json.loads((folder / "metrics.json").read_text(), parse_constant=lambda text: pytest.fail(text))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report with everything in it, and what its JSON says."""
    report = build_report(TEST, VALIDATION, OTHER, ckpt_sha256="4a5f")
    folder = tmp_path_factory.mktemp("full") / "report"
    return report, folder, written(report, folder)


def test_the_json_has_what_the_metrics_give(full):
    _, folder, facts = full
    assert sorted(path.name for path in folder.iterdir()) == [
        "metrics.json", "predictions.csv", "report.html", "thresholds.json",
    ]  # fmt: skip
    assert list(facts["classes"]) == list(CLASS_NAMES)
    assert (facts["images"], facts["patients"]) == (IMAGES, IMAGES // 3)
    for c, name in enumerate(CLASS_NAMES):
        labels, scores = TEST.labels[:, c], TEST.probabilities[:, c]
        one = facts["classes"][name]
        by_patients, by_images = estimate_auroc(labels, scores, TEST.patients.clusters), estimate_auroc(labels, scores)
        assert one["auroc"] == auroc(labels, scores) == by_patients.auroc
        assert one["auroc_ci"] == [by_patients.low, by_patients.high]
        assert one["auroc_ci_images"] == [by_images.low, by_images.high] != one["auroc_ci"]
        assert one["auprc"] == pytest.approx(average_precision_score(labels, scores))
        assert one["prevalence"] == labels.mean()
        assert one["positives"] + one["negatives"] == sum(group["images"] for group in one["reliability"]) == IMAGES
    resampled = resampled_aurocs(TEST.labels, TEST.probabilities, TEST.patients.clusters)
    np.testing.assert_allclose(facts["mean"]["auroc_ci"], np.percentile(nanmean_over_classes(resampled), (2.5, 97.5)))
    ends = [one["auroc_ci_bootstrap"] for one in facts["classes"].values()]
    np.testing.assert_allclose(ends, np.percentile(resampled, (2.5, 97.5), axis=0).T)
    assert facts["mean"]["auroc"] == pytest.approx(class_aurocs(TEST.labels, TEST.probabilities).mean())


def test_thresholds_are_chosen_on_the_one_set_and_judged_on_the_other(full, tmp_path):
    _, folder, facts = full
    column = CLASS_NAMES.index("Mass")
    point = facts["classes"]["Mass"]["operating_points"]["youden"]
    threshold = select_threshold(VALIDATION.labels[:, column], VALIDATION.probabilities[:, column], "youden")
    judged = confusion_at_threshold(TEST.labels[:, column], TEST.probabilities[:, column], threshold)
    chosen = confusion_at_threshold(VALIDATION.labels[:, column], VALIDATION.probabilities[:, column], threshold)
    assert point["threshold"] == threshold
    assert (point["sensitivity"], point["ppv"]) == (judged.sensitivity.value, judged.ppv.value)
    assert point["sensitivity_ci"] == list(judged.sensitivity.interval)
    assert point["validation"]["sensitivity"] == chosen.sensitivity.value != point["sensitivity"]
    # The file that predict.py reads has what was found on the images it was chosen on.
    found = read_thresholds(folder / "thresholds.json", None)
    assert found.points["Mass"].threshold == threshold
    assert found.points["Mass"].sensitivity == chosen.sensitivity.value
    assert found.chosen == "highest Youden index (sensitivity + specificity - 1) on val.csv"
    (tmp_path / "other.pdparams").write_bytes(b"other weights")
    with pytest.raises(InputError, match="chosen for weights with SHA-256 4a5f"):
        read_thresholds(folder / "thresholds.json", sha256(tmp_path / "other.pdparams"))


@pytest.fixture
def quick(monkeypatch):
    """Few resamples, where their intervals do not matter."""
    monkeypatch.setattr(class_scores, "REPLICATES", 20)


@pytest.mark.usefixtures("quick")
def test_calibration_is_fitted_on_the_one_set_and_judged_on_the_other():
    """Probabilities of both sets are spoilt in the same way, and mended by what the validation set tells."""

    def spoilt(one):
        return Predictions(one.source, one.names, one.labels, expit(3 * logit(one.probabilities) - 2).astype("f4"))

    report = build_report(spoilt(TEST), spoilt(VALIDATION))
    assert report.validation_fit.temperature > 1.5
    before = [one.ece for one in report.scores.classes]
    after = [one.ece for one in report.validation_fit.by_platt.values()]
    assert np.mean(after) < 0.7 * np.mean(before)
    assert max(slope for slope, _ in report.validation_fit.platt.values()) < 1


def test_the_comparison_is_delongs_with_holm(full):
    _, _, facts = full
    tests = [
        compare_aurocs(TEST.labels[:, c], TEST.probabilities[:, c], OTHER.probabilities[:, c], TEST.patients.clusters)
        for c in range(N_CLASSES)
    ]
    found = facts["comparison"]["classes"].values()
    assert [one["p"] for one in found] == [one.p for one in tests]
    np.testing.assert_array_equal([one["p_holm"] for one in found], holm(np.array([one.p for one in tests])))
    gap = facts["comparison"]["mean"]
    assert gap["difference"] == pytest.approx(facts["mean"]["auroc"] - facts["other"]["mean"]["auroc"])
    assert gap["difference_ci"][0] < gap["difference"] < gap["difference_ci"][1]
    both = facts["mean"]["auroc_ci"], facts["other"]["mean"]["auroc_ci"]
    assert np.ptp(gap["difference_ci"]) < sum(map(np.ptp, both))  # the same patients' luck cancels


@pytest.mark.usefixtures("quick")
def test_a_model_beside_itself_does_not_differ():
    report = build_report(
        TEST, other=Predictions("again", TEST.names[::-1], TEST.labels[::-1], TEST.probabilities[::-1])
    )
    assert [(one.difference, one.p) for one in report.comparison.classes] == [(0, 1)] * N_CLASSES
    assert (report.comparison.mean.low, report.comparison.mean.high) == (0, 0)


@pytest.mark.usefixtures("quick")
def test_a_class_with_one_kind_of_label_is_left_out_and_named(tmp_path):
    report = build_report(without_hernia(TEST), without_hernia(VALIDATION), without_hernia(OTHER))
    facts = written(report, tmp_path / "r")
    assert facts["undefined"] == ["Hernia"]
    assert facts["mean"]["classes"] == 13
    one = facts["classes"]["Hernia"]
    assert (one["auroc"], one["auroc_ci"], one["auprc"], one["positives"]) == (None, [None, None], None, 0)
    assert facts["comparison"]["classes"]["Hernia"]["p_holm"] is None
    assert facts["operating_points"]["left_out"] == ["Hernia"]
    assert one["operating_points"] == {"youden": None, "sensitivity": None, "f1": None}
    assert facts["mean"]["auroc"] == pytest.approx(class_aurocs(TEST.labels, TEST.probabilities)[:13].mean())
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
def test_what_is_not_there_is_said(tmp_path):
    report = build_report(TEST, run={"config": {"crops": 10}})
    facts = written(report, tmp_path / "r")
    assert facts["operating_points"]["absent"].startswith("no validation set was given")
    assert facts["calibration"].keys() == {"absent"}
    assert facts["comparison"] is None
    assert "operating_points" not in facts["classes"]["Mass"]
    page = (tmp_path / "r" / "report.html").read_text()
    assert page.count("no validation set was given") == 2  # below calibration and operating points
    several = build_report(TEST, VALIDATION, one_checkpoint=False)
    assert several.thresholds == ("", several.thresholds[1])
    assert "predict.py uses one checkpoint" in several.thresholds[1]
    assert ", 10 crops" in build_report(TEST, VALIDATION, run={"config": {"crops": 10}}).thresholds[0]


@pytest.mark.usefixtures("quick")
def test_images_that_both_sets_have_are_named():
    overlapping = made(2, "val.csv", first_patient=75)  # of the 80 patients of the test set, 75 to 79
    audit = build_report(TEST, overlapping).audit
    assert "shares 15 images and 5 patients" in audit[-1]
    assert "shares no image" in build_report(TEST, VALIDATION).audit[-1]
    renamed = Predictions("x", tuple(f"{i}.png" for i in range(IMAGES)), TEST.labels, TEST.probabilities)
    assert f"The patients of {IMAGES} of these {IMAGES} images are unknown." in build_report(renamed).audit[-1]


def test_pairs_are_counted_and_mistakes_found_again():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, N_CLASSES)) < 0.3).astype(np.uint8)
    scores = rng.random(labels.shape) + labels
    scores[:, 1] += labels[:, 0]  # class 0 is taken for class 1
    one = Predictions("x", tuple(map(str, range(300))), labels, scores.astype("f4"))
    counts = cooccurrence(labels)
    assert counts[2, 5] == counts[5, 2] == sum(a and b for a, b in zip(labels[:, 2], labels[:, 5], strict=True))
    assert counts[3, 3] == labels[:, 3].sum()
    found = cross_finding_auroc(one)
    assert found[0, 1] == 1
    raised = [scores[i, 4] for i in range(300) if labels[i, 2] and not labels[i, 4]]
    others = [scores[i, 4] for i in range(300) if not labels[i, 2] and not labels[i, 4]]
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in raised for b in others])
    assert found[2, 4] == pytest.approx(wins)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.usefixtures("quick")
def test_an_earlier_report_is_replaced_as_a_whole(full, tmp_path):
    report, _, _ = full
    write_report(report, tmp_path / "r")
    write_report(build_report(TEST), tmp_path / "r")
    assert not (tmp_path / "r" / "thresholds.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.usefixtures("quick")
def test_a_report_that_cannot_be_finished_leaves_the_earlier_one(full, tmp_path, monkeypatch):
    report, _, _ = full
    write_report(report, tmp_path / "r")
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()}

    def broken(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", broken)
    with pytest.raises(InputError, match="r: cannot be written: No space left"):
        write_report(build_report(OTHER), tmp_path / "r")
    assert {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_with_something_else_is_left_alone(full, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds 'thesis\.tex', which would be lost"):
        write_report(full[0], tmp_path)
    with pytest.raises(InputError, match="is a file, expected the name of a folder"):
        check_folder(tmp_path / "thesis.tex", protected=())
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "predictions.csv").write_text("")
    with pytest.raises(InputError, match=r"predictions\.csv: is read by this run and would be replaced"):
        check_folder(tmp_path / "r", protected=[tmp_path / "r" / "predictions.csv"])


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tool_report", ROOT / "tools/report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_it_of_files(full, script, tmp_path, capsys):
    report, _, facts = full
    for one in (TEST, VALIDATION, OTHER):
        (tmp_path / one.source).write_text(one.to_csv())
    (tmp_path / "list.txt").write_text(format_list(TEST.names[::-1], TEST.labels[::-1]))
    files = [str(tmp_path / name) for name in ("test.csv", "other.csv", "val.csv", "list.txt", "out")]
    flags = ["--predictions", *files[:2], "--val_predictions", files[2], "--labels", files[3], "--output_dir", files[4]]
    assert script.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == format_report(report, "").splitlines()[0]
    assert lines[-1] == f"=> report: {tmp_path / 'out' / 'report.html'}"
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["classes"] == facts["classes"]
    assert found["comparison"] == facts["comparison"]
    assert len(found["run"]["sha256"]) == 4
    assert script.main(["--predictions", *files[:3], "--output_dir", files[4]]) == 2
    assert script.main(["--predictions", files[0], files[2], "--output_dir", files[4]]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "error: --predictions: 3 files, expected one, or two to compare"
    assert "val.csv: other images than" in errors[1]


@pytest.mark.usefixtures("quick")
def test_nothing_to_rank_is_no_crash(tmp_path):
    """Two images, no finding on either: everything is undefined, and said to be."""
    names = ("00000001_000.png", "00000001_001.png")
    empty = Predictions(
        "empty.csv", names, np.zeros((2, N_CLASSES), np.uint8), np.full((2, N_CLASSES), 0.5, np.float32)
    )
    facts = written(build_report(empty, VALIDATION, empty), tmp_path / "r")
    assert facts["undefined"] == list(CLASS_NAMES)
    assert facts["mean"] == {"auroc": None, "auroc_ci": [None, None], "auprc": None, "classes": 0}
    assert facts["comparison"]["mean"]["difference"] is None
    point = facts["classes"]["Mass"]["operating_points"]["youden"]
    assert (point["sensitivity"], point["sensitivity_ci"]) == (None, [None, None])
    assert "nan" not in (tmp_path / "r" / "report.html").read_text().lower()

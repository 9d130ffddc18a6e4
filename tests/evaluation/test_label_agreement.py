"""Labels against reference labels: tools/compare_labels.py and the numbers it prints."""

import json

import numpy as np
import pytest
from conftest import load_script
from label_files import label_file
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from chexnet.data.lists import format_list
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import auroc
from chexnet.metrics.delong import estimate_auroc

IMAGES = 90
NAMES = tuple(f"{index // 3:08d}_{index % 3:03d}.png" for index in range(IMAGES))
RNG = np.random.default_rng(0)
LABELS = (RNG.random((IMAGES, N_CLASSES)) < 0.3).astype(np.uint8)
PANEL = np.where(RNG.random((IMAGES, 3)) < 0.2, RNG.integers(0, 2, (IMAGES, 3)), 0).astype(np.uint8)
PANEL |= np.stack([LABELS[:, 7], LABELS[:, [4, 5]].max(axis=1), np.zeros(IMAGES, int)], axis=1).astype(np.uint8)
FINDINGS = ("Pneumothorax", "Nodule or mass", "Fracture")
VALUES = np.clip(0.5 * RNG.random((IMAGES, N_CLASSES)) + 0.4 * LABELS, 0, 1)
MAP = ("--map", "Nodule or mass=Mass|Nodule")


def panel(path, rows=range(IMAGES), change=lambda cells: cells):
    """Write labels in the form of Majkowska et al. (2020): YES and NO, with columns that are no findings."""
    lines = [["Image ID", "Patient ID", "Set Id", *FINDINGS]]
    for row in rows:
        name = NAMES[row]
        lines.append([name, name[:8].lstrip("0") or "0", "test", *(("NO", "YES")[value] for value in PANEL[row])])
    path.write_text("\n".join(",".join(line) for line in change(lines)) + "\n")


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Run tools/compare_labels.py; return its exit code, its JSON and what it printed."""
    monkeypatch.chdir(tmp_path)
    findings = {
        name: "|".join(np.array(CLASS_NAMES)[row == 1]) or "No Finding" for name, row in zip(NAMES, LABELS, strict=True)
    }
    label_file(tmp_path / "nih.csv", findings)
    (tmp_path / "list.txt").write_text(format_list(NAMES, LABELS))
    panel(tmp_path / "panel.csv")
    header = ["Image Index", *(f"prob_{name}" for name in CLASS_NAMES)]
    rows = [[name, *map(str, row)] for name, row in zip(NAMES, VALUES.tolist(), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(",".join(row) for row in [header, *rows]))
    script = load_script("tools/compare_labels.py")

    def run(*flags, labels="nih.csv", reference="panel.csv"):
        code = script.main(["--labels", labels, "--reference", reference, "--output_json", "a.json", *flags])
        printed = capsys.readouterr()
        content = json.loads((tmp_path / "a.json").read_text()) if code == 0 else None
        return code, content, printed.out + printed.err

    return run


@pytest.mark.parametrize("labels", ["nih.csv", "list.txt"])
def test_the_rates_are_those_of_the_confusion_matrix(labels, compare):
    code, content, printed = compare(*MAP, labels=labels)
    assert code == 0
    assert list(content["classes"]) == ["Pneumothorax", "Nodule or mass"]
    given = {"Pneumothorax": LABELS[:, 7], "Nodule or mass": LABELS[:, 4] | LABELS[:, 5]}
    for column, (name, found) in enumerate(content["classes"].items()):
        tn, fp, fn, tp = confusion_matrix(PANEL[:, column], given[name]).ravel()
        counts = found["true_positives"], found["false_positives"], found["false_negatives"], found["true_negatives"]
        assert counts == (tp, fp, fn, tn)
        rates = tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)
        for rate, expected in zip(("sensitivity", "specificity", "ppv", "npv"), rates, strict=True):
            assert found[rate] == pytest.approx(expected)
            assert found[f"{rate}_ci"][0] < expected <= found[f"{rate}_ci"][1]
        assert found["kappa"] == pytest.approx(cohen_kappa_score(PANEL[:, column], given[name]))
    assert (content["images"], content["patients"]) == (IMAGES, IMAGES // 3)
    assert "left out: Fracture." in " ".join(content["notes"])
    assert "PPV, NPV and kappa hold only" in printed


def test_predictions_are_scored_against_both(compare):
    code, content, printed = compare(*MAP, "--predictions", "p.csv", "--map_rule", "noisy_or")
    assert code == 0
    patients = np.arange(IMAGES) // 3
    scores = {"Pneumothorax": VALUES[:, 7], "Nodule or mass": 1 - (1 - VALUES[:, 4]) * (1 - VALUES[:, 5])}
    given = {"Pneumothorax": LABELS[:, 7], "Nodule or mass": LABELS[:, 4] | LABELS[:, 5]}
    for column, (name, found) in enumerate(content["classes"].items()):
        areas = auroc(given[name], scores[name]), auroc(PANEL[:, column], scores[name])
        assert (found["auroc_labels"], found["auroc_reference"]) == pytest.approx(areas)
        assert found["difference"] == pytest.approx(areas[0] - areas[1])
        alone = estimate_auroc(PANEL[:, column], scores[name], patients)
        assert found["auroc_reference_ci"] == pytest.approx([alone.low, alone.high])
        assert found["p"] <= found["p_holm"] <= 2 * found["p"] + 1e-12
    assert "AUROC, reference" in printed


def test_images_of_the_reference_are_required_unless_skipped(compare, tmp_path):
    (tmp_path / "part.txt").write_text(format_list(NAMES[:60], LABELS[:60]))
    code, _, printed = compare(*MAP, labels="part.txt")
    assert code == 2
    assert f"part.txt: 30 of the {IMAGES} images in panel.csv are missing, such as '{NAMES[60]}'" in printed
    code, content, _ = compare(*MAP, "--on_missing_image", "skip", labels="part.txt")
    assert (code, content["images"]) == (0, 60)
    assert "Left out: 30 of the 90 images" in " ".join(content["notes"])
    panel(tmp_path / "panel.csv", rows=range(20))  # the labels may have more images
    assert compare(*MAP)[1]["images"] == 20


def test_equal_labels_agree_completely(compare):
    code, content, printed = compare(reference="list.txt")
    assert code == 0
    assert all(found["kappa"] == found["sensitivity"] == found["ppv"] == 1 for found in content["classes"].values())
    assert list(content["classes"]) == list(CLASS_NAMES)
    assert "nan" not in printed


def test_a_finding_without_positives_is_undefined(compare, tmp_path):
    (tmp_path / "none.txt").write_text(format_list(NAMES, 0 * LABELS))
    code, content, printed = compare("--predictions", "p.csv", reference="none.txt")
    assert code == 0
    assert content["classes"]["Mass"]["sensitivity"] is None
    assert content["classes"]["Mass"]["auroc_reference"] is None
    assert content["classes"]["Mass"]["difference"] is None
    assert "nan" not in printed


def cell(line, column, text):
    def change(lines):
        lines[line][column] = text
        return lines

    return change


INVALID = {
    "label": (cell(3, 3, "maybe"), r"panel.csv:4: Pneumothorax is 'maybe', expected 0 or 1"),
    "uncertain": (cell(3, 3, "-1"), r"panel.csv:4: Pneumothorax is '-1', expected 0 or 1"),
    "blank": (cell(3, 3, ""), r"panel.csv:4: Pneumothorax is ''"),
    "repeated image": (cell(3, 0, NAMES[0]), rf"panel.csv:4: '{NAMES[0]}' is already in line 2"),
    "no labels": (lambda lines: [line[:3] for line in lines], "panel.csv:1: no column has labels"),
    "no lines": (lambda lines: lines[:1], "panel.csv: no line below the header"),
    "repeated finding": (cell(0, 4, "Pneumothorax"), "panel.csv:1: two columns 'Pneumothorax'"),
    "no image column": (cell(0, 0, "study"), "panel.csv:1: the columns with image names are none"),
    "ragged": (lambda lines: [*lines, ["x.png", "1"]], "panel.csv:92: 2 columns, expected 6"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_file_is_a_one_line_error_with_its_position(case, compare, tmp_path):
    change, message = INVALID[case]
    panel(tmp_path / "panel.csv", change=change)
    code, _, printed = compare(*MAP)
    assert code == 2
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "a.json").exists()


def test_classes_can_be_chosen_and_must_exist(compare, tmp_path):
    (tmp_path / "classes.txt").write_text("Pneumothorax\n")
    assert list(compare("--reference_classes", "classes.txt")[1]["classes"]) == ["Pneumothorax"]
    (tmp_path / "classes.txt").write_text("Rib\n")
    for flag, where in (
        ("--reference_classes", "panel.csv:1: "),
        ("--label_classes", "classes.txt: 'Rib' is not in nih"),
    ):
        code, _, printed = compare(flag, "classes.txt")
        assert code == 2
        assert where in printed


@pytest.mark.real_data
def test_the_labels_of_the_shared_list_against_nihs_later_ones(nih_metadata, reference_lists, compare):
    flags = ("--on_missing_image", "skip")
    files = {
        "labels": str(reference_lists["test"]),
        "reference": str(nih_metadata / "Data_Entry_2017_v2020.csv.gz"),
    }
    code, content, _ = compare(*flags, **files)
    assert (code, content["images"]) == (0, 22_433)
    assert content["classes"]["Pneumonia"]["true_positives"] == 242
    assert content["classes"]["Pneumonia"]["false_negatives"] == 18

"""tools/report.py on published files: other columns, other classes, a part of the images, groups."""

import json

import numpy as np
import pytest
from conftest import load_script
from scipy.special import expit

from chexnet.data.lists import format_list
from chexnet.evaluation.report import class_scores
from chexnet.evaluation.report.image_groups import read_names
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics import auroc

IMAGES = 120
NAMES = tuple(f"{index // 2:08d}_{index % 2:03d}.png" for index in range(IMAGES))
LABELS = (np.random.default_rng(0).random((IMAGES, N_CLASSES)) < 0.3).astype(np.uint8)
VALUES = expit(np.random.default_rng(1).normal(size=LABELS.shape) + 1.5 * LABELS - 1)
FINDINGS = ("No Finding", "Lung Opacity", "Pleural Effusion", "Cardiomegaly")
OPACITY = [CLASS_NAMES.index(name) for name in ("Infiltration", "Consolidation", "Atelectasis")]
OTHER_LABELS = np.stack(
    [
        ~LABELS.any(axis=1),
        LABELS[:, OPACITY].any(axis=1),
        LABELS[:, CLASS_NAMES.index("Effusion")],
        LABELS[:, CLASS_NAMES.index("Cardiomegaly")],
    ],
    axis=1,
).astype(np.uint8)


def published(path, names, values, labels=None):
    """Write a file in the form of jrzech/reproduce-chexnet; with labels, as its own program merges them."""
    header = ["Image Index", *(f"prob_{name}" for name in CLASS_NAMES), *(CLASS_NAMES if labels is not None else ())]
    columns = [np.asarray(names)[:, None], values.astype(str)] + ([labels.astype(str)] if labels is not None else [])
    rows = np.concatenate(columns, axis=1)
    path.write_text("\n".join(",".join(row) for row in [header, *rows.tolist()]) + "\n")


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    """Run tools/report.py on a published file; return its exit code, its JSON and what it printed."""
    monkeypatch.setattr(class_scores, "REPLICATES", 20)
    monkeypatch.chdir(tmp_path)
    published(tmp_path / "preds.csv", NAMES, VALUES)
    (tmp_path / "nih.txt").write_text(format_list(NAMES, LABELS))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "list.txt").write_text(format_list([f"png/{name}" for name in NAMES], OTHER_LABELS))
    (tmp_path / "other" / "classes.txt").write_text("\n".join(FINDINGS) + "\n")
    script = load_script("tools/report.py")

    def run(*flags):
        code = script.main(["--predictions", "preds.csv", "--output_dir", "out", *flags])
        printed = capsys.readouterr()
        content = json.loads((tmp_path / "out" / "metrics.json").read_text()) if code == 0 else None
        return code, content, printed.out + printed.err

    return run


def test_a_published_file_is_read_as_it_is(report, tmp_path):
    code, content, _ = report("--labels", "nih.txt")
    assert code == 0
    assert content["classes"]["Mass"]["auroc"] == auroc(LABELS[:, 4], VALUES[:, 4])
    assert content["patients"] == IMAGES // 2
    published(tmp_path / "preds.csv", NAMES, VALUES, LABELS)
    assert report()[1]["classes"] == content["classes"]


@pytest.mark.parametrize("rule", ["max", "noisy_or"])
def test_outputs_are_scored_on_the_findings_of_another_list(rule, report, tmp_path):
    flags = ("--map", "Lung Opacity=Infiltration|Consolidation|Atelectasis", "Pleural Effusion=Effusion")
    published(tmp_path / "val.csv", [f"1{name[1:]}" for name in NAMES], VALUES, LABELS)
    flags += ("--labels", "other/list.txt", "--map_rule", rule, "--val_predictions", "val.csv")
    code, content, printed = report(*flags)
    assert code == 0
    assert list(content["classes"]) == ["Lung Opacity", "Pleural Effusion", "Cardiomegaly"]
    parts = VALUES[:, OPACITY]
    combined = parts.max(axis=1) if rule == "max" else 1 - np.prod(1 - parts, axis=1)
    assert content["classes"]["Lung Opacity"]["auroc"] == pytest.approx(auroc(OTHER_LABELS[:, 1], combined))
    assert content["classes"]["Cardiomegaly"]["auroc"] == auroc(LABELS[:, 1], VALUES[:, 1])
    # The validation labels are combined, too: here they agree with those of the list.
    point = content["classes"]["Lung Opacity"]["operating_points"]["youden"]
    assert point["sensitivity"] == point["validation"]["sensitivity"]
    text = " ".join(content["audit"])
    assert "without an output, left out: No Finding." in text
    assert "Mass, Nodule" in text
    assert f"`{rule}`" in text
    assert not (tmp_path / "out" / "thresholds.json").exists()
    assert "no thresholds.json: " in printed
    assert content["published"] == []


def test_a_list_with_fewer_findings_needs_no_mapping(report, tmp_path):
    (tmp_path / "three.txt").write_text("Hernia\nMass\nEdema\n")
    columns = [13, 4, 9]
    (tmp_path / "few.txt").write_text(format_list(NAMES, LABELS[:, columns]))
    code, content, _ = report("--labels", "few.txt", "--label_classes", "three.txt")
    assert code == 0
    assert list(content["classes"]) == ["Hernia", "Mass", "Edema"]
    assert content["classes"]["Hernia"]["auroc"] == auroc(LABELS[:, 13], VALUES[:, 13])


def test_only_the_images_of_a_list(report, tmp_path):
    (tmp_path / "part.txt").write_text("".join(f"{name}\n" for name in (*NAMES[10:70], "00009999_000.png")))
    code, _, printed = report("--labels", "nih.txt", "--only", "part.txt")
    assert code == 2
    assert "preds.csv: 1 of the 61 images in part.txt are missing, such as '00009999_000.png'" in printed
    code, content, _ = report("--labels", "nih.txt", "--only", "part.txt", "--on_missing_image", "skip")
    assert (code, content["images"]) == (0, 60)
    assert content["classes"]["Mass"]["auroc"] == auroc(LABELS[10:70, 4], VALUES[10:70, 4])
    assert "Limited to 60 of the 61 images in part.txt." in content["audit"]


def test_groups_by_metadata_and_by_a_list(report, tmp_path):
    rows = [f"{name},{'MF'[index // 2 % 2]},{index % 2}" for index, name in enumerate(NAMES)]
    (tmp_path / "meta.csv").write_text("\n".join(["Image Index,Patient Gender,Follow-up #", *rows]))
    (tmp_path / "hard.txt").write_text("\n".join(NAMES[:50]))
    flags = ("--labels", "nih.txt", "--metadata", "meta.csv", "--by", "sex,first_or_followup", "hard.txt")
    code, content, printed = report(*flags)
    assert code == 0
    assert [entry["name"] for entry in content["groups"]] == ["sex", "first_or_followup", "hard"]
    assert content["groups"][0]["shared_patients"] == 0
    assert content["groups"][1]["shared_patients"] == IMAGES // 2
    assert content["groups"][2]["groups"]["hard"] == {"images": 50, "patients": 25}
    assert "sex: F " in printed
    assert any("meta.csv" in name for name in content["run"]["sha256"])


INVALID = {
    "mapping without a list": (("--map", "A=Mass"), "also set --labels"),
    "classes unknown": (("--labels", "nih.txt", "--map", "A=Mass"), "--map: the findings of nih.txt are unknown"),
    "unknown output": (("--labels", "other/list.txt", "--map", "Lung Opacity=Opacity"), "'Opacity' is unknown"),
    "unknown finding": (("--labels", "other/list.txt", "--map", "Fracture=Mass"), "'Fracture' is unknown"),
    "metadata without groups": (("--labels", "nih.txt", "--metadata", "nih.txt"), "also set --by"),
    "groups without metadata": (("--labels", "nih.txt", "--by", "sex"), "needs --metadata"),
    "no such list": (("--labels", "nih.txt", "--only", "none.txt"), "none.txt: the list file cannot be read"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_flags_are_one_line(case, report, tmp_path):
    flags, message = INVALID[case]
    code, _, printed = report(*flags)
    assert code == 2
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_a_file_of_all_22_433_images_in_the_published_form(nih_metadata, reference_lists, report, tmp_path):
    """The probabilities are synthetic and worse in NIH's official test images, which the report finds."""
    names = read_names(reference_lists["test"])
    official = set(read_names(nih_metadata / "test_list.txt.gz"))
    rng = np.random.default_rng(0)
    labels = np.array([line.split()[1:] for line in _lines(reference_lists["test"])], int)
    strength = np.where([name in official for name in names], 1.0, 1.4)[:, None]
    published(tmp_path / "preds.csv", names, expit(rng.normal(size=labels.shape) + strength * labels))
    table = str(nih_metadata / "Data_Entry_2017_v2020.csv.gz")
    flags = ("--labels", str(reference_lists["test"]), "--metadata", table, "--by", "official_test,view")
    code, content, _ = report(*flags)
    assert code == 0
    by_list, view = content["groups"]
    assert [group["images"] for group in by_list["groups"].values()] == [5_213, 17_220]
    (mean,) = by_list["mean_differences"]
    assert mean["findings"] == list(CLASS_NAMES[:13])  # five patients with a hernia are too few
    assert -0.09 < mean["difference_ci"][0] < mean["difference"] < mean["difference_ci"][1] < -0.04
    assert [group["images"] for group in view["groups"].values()] == [8_847, 13_586]


def _lines(path):
    import gzip

    with gzip.open(path, "rt") as file:
        return file.read().splitlines()

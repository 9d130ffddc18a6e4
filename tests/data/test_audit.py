"""Audits of lists, with NIH's lists, a label file and a checkpoint, and the script tools/audit_split.py."""

import importlib.util
import json
import re
from itertools import combinations

import numpy as np
import pytest
from conftest import ROOT, load_script, write_png
from label_files import label_file

from chexnet.data import audit
from chexnet.data.audit import Overlap, format_audit
from chexnet.data.lists import format_list, patient_id, read_list, read_nih
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.model import checkpoint


def run(*flags):
    spec = importlib.util.spec_from_file_location("script_audit_split", ROOT / "tools/audit_split.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(flag) for flag in flags])


def a_list(folder, name, images, labels=None):
    """Write a list file, in which each image has the first finding or the given labels."""
    if labels is None:
        labels = np.tile(np.arange(14) == 0, (len(images), 1)).astype(int)
    (folder / name).write_text(format_list(images, np.asarray(labels)))
    return read_list(folder / name)


def images(*numbers):
    """Return image names: `"13.5"` is image 5 of patient 13."""
    pairs = (number.split(".") for number in numbers)
    return [f"{int(patient):08d}_{int(follow_up):03d}.png" for patient, follow_up in pairs]


def test_overlaps_equal_a_comparison_of_all_pairs_of_names(tmp_path):
    rng = np.random.default_rng(0)
    lists = []
    for number in range(3):
        names = {f"{rng.integers(60):08d}_{rng.integers(3):03d}.png" for _ in range(40)}
        lists.append(a_list(tmp_path, f"{number}.txt", sorted(names)))
    found = audit.audit(lists)
    for (first, second), overlap in zip(combinations(lists, 2), found.shared, strict=True):
        same = sum(name == other for name in first.names for other in second.names)
        patients = {
            patient_id(name) for name in first.names for other in second.names if patient_id(name) == patient_id(other)
        }
        assert (overlap.images, overlap.patients) == (same, len(patients))
        assert same
        assert f"{first.path} and {second.path} share {len(patients)} patients and {same} images" in found.warnings
    assert [summary.patients for summary in found.lists] == [
        len({name[:8] for name in listed.names}) for listed in lists
    ]


def test_lists_without_shared_patients_share_nothing(tmp_path):
    found = audit.audit(
        [a_list(tmp_path, "a.txt", images("1.0", "1.1")), a_list(tmp_path, "b.txt", images("2.0", "3.1"))]
    )
    assert found.shared == (Overlap(str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), 0, 0),)
    assert not any(" share " in warning for warning in found.warnings)


def test_official_lists_are_compared_with_each(tmp_path):
    (tmp_path / "official.txt").write_text("\n".join(images("1.0", "2.0", "9.0")))
    official = read_list(tmp_path / "official.txt", n_classes=0)
    found = audit.audit(
        [a_list(tmp_path, "a.txt", images("1.0", "2.1")), a_list(tmp_path, "b.txt", ["x/00000009_000.png"])],
        official=[official],
    )
    assert [(overlap.images, overlap.patients) for overlap in found.official] == [(1, 2), (1, 1)]
    assert "official.txt:\n  a: 1 images, 2 patients\n  b: 1 images, 1 patients\n" in format_audit(found)


def test_labels_are_compared_with_a_label_file(tmp_path):
    table = read_nih(
        label_file(
            tmp_path / "labels.csv",
            dict(zip(images("1.0", "1.1", "1.2"), ("Atelectasis", "Mass|Atelectasis", "Mass"), strict=True)),
        )
    )
    found = audit.audit([a_list(tmp_path, "a.txt", images("1.0", "1.1", "1.2", "7.0"))], table=table)
    changes = found.lists[0].changes
    assert (changes.absent, changes.images) == (1, 2)
    assert changes.positives == {"Atelectasis": (3, 2), "Mass": (0, 2)}
    assert f"{tmp_path / 'a.txt'}: 2 images have other labels in {tmp_path / 'labels.csv'}" in found.warnings
    assert "  Atelectasis: 3 -> 2\n  Mass: 0 -> 2\n" in format_audit(found)
    with pytest.raises(InputError, match=r"labels\.csv: .* Atelectasis, .* a, b"):
        audit.audit([], ("a", "b"), table=table)


def test_warnings_name_classes_with_too_few_positives_or_negatives(tmp_path):
    labels = np.zeros((200, 14), int)
    labels[:60, 0] = labels[:49, 1] = labels[:151, 2] = labels[:, 3] = 1
    labels[:100, 4:13] = 1
    names = [f"{patient:08d}_000.png" for patient in range(200)]
    warnings = audit.audit([a_list(tmp_path, "a.txt", names, labels)]).warnings
    assert [warning.rpartition(": ")[2] for warning in warnings] == [
        "Infiltration, Hernia",
        "Cardiomegaly 49, Effusion 151",
    ]


def test_missing_and_repeated_images_and_unknown_patients_are_counted(tmp_path):
    names = ["a/00000001_000.png", "b/00000001_000.png", "x.png"]
    for name in names[:2]:
        write_png(tmp_path / "images" / name)
    found = audit.audit([a_list(tmp_path, "a.txt", names)], data_dir=tmp_path / "images").lists[0]
    assert (found.images, found.patients, found.unknown_patients) == (3, 1, 1)
    assert (found.missing, found.repeated) == (("x.png",), ("00000001_000",))
    assert audit.audit([a_list(tmp_path, "a.txt", names)]).lists[0].missing is None


def test_an_audit_is_printed_and_written(tmp_path, capsys):
    a_list(tmp_path, "train_list.txt", images("1.0", "2.0"))
    a_list(tmp_path, "test_list.txt", images("2.1", "3.0"))
    lists = [tmp_path / "train_list.txt", tmp_path / "test_list.txt"]
    assert run(*lists, "--output_json", tmp_path / "audit.json") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["train_list", "test_list"]
    assert printed[1].split() == ["images", "2", "2"]
    assert "  train_list and test_list: 0 images, 1 patients" in printed
    assert f"warning: {lists[0]} and {lists[1]} share 1 patients and 0 images" in printed
    written = json.loads((tmp_path / "audit.json").read_text())
    assert written["shared"] == [{"first": str(lists[0]), "second": str(lists[1]), "images": 0, "patients": 1}]
    assert written["lists"][0]["positives"] == dict.fromkeys(CLASS_NAMES, 0) | {"Atelectasis": 2}
    assert any("share 1 patients" in warning for warning in written["warnings"])
    assert run(*lists, "--output_json", lists[0]) == 2


def test_lists_of_other_classes_are_audited(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("patient1/a.jpg 1 0\npatient2/b.jpg 0 0\n")
    (tmp_path / "classes.txt").write_text("Edema\nFracture\n")
    assert run(tmp_path / "list.txt", "--classes_file", tmp_path / "classes.txt") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:5]] == [
        ["images", "2"],
        ["patients", "2"],
        ["Edema", "1"],
        ["Fracture", "0"],
    ]


def test_training_images_of_a_checkpoint_are_compared(tmp_path, capsys):
    a_list(tmp_path, "test_list.txt", images("1.1", "2.0", "3.0"))
    ckpt = tmp_path / "best_model.pdparams"
    assert run(tmp_path / "test_list.txt", "--ckpt", ckpt) == 2
    assert f"{ckpt}: no such checkpoint" in capsys.readouterr().err
    checkpoint.save({"weight": np.zeros(1, np.float32)}, ckpt)
    assert run(tmp_path / "test_list.txt", "--ckpt", ckpt) == 2
    assert re.search(r"best_model\.json: .*'trained_on'", capsys.readouterr().err)
    ckpt.with_suffix(".json").write_text(json.dumps({audit.KEY: audit.fingerprint(images("1.0", "2.0"))}))
    assert run(tmp_path / "test_list.txt", "--ckpt", ckpt) == 0
    printed = capsys.readouterr().out
    sentence = "1 of these 3 images were used for training; 2 belong to patients seen in training (2 of 3 patients)"
    assert f"  test_list: {sentence}\n" in printed
    assert f"warning: {tmp_path / 'test_list.txt'}: {sentence}\n" in printed


def test_lists_of_other_classes_are_compared_by_their_images(tmp_path, capsys):
    """A label file like Google's panel labels, whose test images are training images of a list with 14 labels."""
    header = "Image Index,Patient ID,Fracture,Pneumothorax,Airspace opacity,Nodule or mass,Set Id"
    names = images(*(f"{patient}.0" for patient in range(1, 41)))
    lines = [f"{name},{int(name[:8])},NO,YES,NO,NO,{'test' if row < 30 else 'val'}" for row, name in enumerate(names)]
    (tmp_path / "google.csv").write_text("\r\n".join([header, *lines]))
    prepare = load_script("tools/prepare_lists.py").main
    out = tmp_path / "panel"
    assert prepare(["--csv", str(tmp_path / "google.csv"), "--layout", "google_four", "--output_dir", str(out)]) == 0
    a_list(tmp_path, "train_list.txt", [*names[:21], *images("1.1", "99.0")])
    flags = ("--classes_file", out / "classes.txt", "--official", tmp_path / "train_list.txt")
    assert run(out / "test_list.txt", out / "val_list.txt", *flags) == 0
    printed = capsys.readouterr().out
    assert f"Also in {tmp_path / 'train_list.txt'}:\n  test_list: 21 images, 21 patients\n" in printed


@pytest.mark.real_data
def test_reference_lists_have_the_known_overlap_with_the_official_test_list(nih_metadata, reference_lists, capsys):
    table, official = nih_metadata / "Data_Entry_2017_v2020.csv.gz", nih_metadata / "test_list.txt.gz"
    assert run(*reference_lists.values(), "--metadata", table, "--official", official) == 0
    printed = capsys.readouterr().out.splitlines()
    for line in (
        "  train_list: 17,920 images, 1,901 patients",
        "  val_list: 2,463 images, 306 patients",
        "  test_list: 5,213 images, 590 patients",
        "  train_list and test_list: 0 images, 0 patients",
        f"Other labels in {table} for 127 images of train_list:",
        f"Other labels in {table} for 18 images of val_list:",
        f"Other labels in {table} for 36 images of test_list:",
        "  Pneumonia: 242 -> 260",
    ):
        assert line in printed
    assert printed[-2].endswith(": Hernia 42")

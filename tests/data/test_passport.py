"""Passports of lists."""

import gzip

import numpy as np
import pytest
from label_files import some_patients

from chexnet import known_lists
from chexnet.data.audit import audit, format_audit, format_passport, numbers_of_known, passport
from chexnet.data.lists import format_list, read_list
from chexnet.labels import CLASS_NAMES

NAMES = tuple(some_patients(600))
LABELS = np.random.default_rng(0).integers(0, 2, (len(NAMES), 14))


def a_list(folder, name, names, labels=None):
    (folder / name).write_text(format_list(names, np.asarray(LABELS[: len(names)] if labels is None else labels)))
    return read_list(folder / name)


def a_known_list(name, split, part, names, labels, overlaps=()):
    numbers = known_lists.image_numbers(names)
    release = {
        "release": "first",
        "sha256": known_lists.labels_sha256(names, labels.tolist()),
        "positives": labels.sum(axis=0).tolist(),
    }
    entry = {
        "name": name,
        "split": split,
        "part": part,
        "images": len(names),
        "sha256": known_lists.names_sha256(numbers),
        "sketch": known_lists.sketch(numbers),
        "labels": [release],
        "overlaps": dict(overlaps),
        "note": "",
    }
    return known_lists._from_json(entry)


@pytest.fixture
def known(monkeypatch):
    """Replace the known lists by two of the first 1,200 images, which overlap in 300."""
    test = a_known_list("the test list", "official", "test", NAMES[:900], LABELS[:900], {"the training list": 300})
    train = a_known_list("the training list", "official", "train", NAMES[600:1200], LABELS[600:1200])
    for module in ("chexnet.known_lists", "chexnet.data.audit.list_passport"):
        monkeypatch.setattr(f"{module}.known_lists", lambda: (test, train))
    return test, train


def test_a_known_list_is_recognized_in_any_order_folder_and_suffix(known, tmp_path):
    rows = np.random.default_rng(1).permutation(900)
    names = [f"images/{NAMES[row].replace('.png', '.JPG')}" for row in rows]
    found = passport(a_list(tmp_path, "a.txt", names, LABELS[rows]))
    assert (found.known, found.labels, found.changed, found.other_labels) == ("the test list", "first", {}, False)
    assert [(relation.known, relation.images, relation.sampled) for relation in found.relations] == [
        ("the training list", 300, 0)
    ]
    assert len(found.published) == 2
    text = "\n".join(format_passport(found, "a"))
    assert "300 of its 900 images are in the training list (600 images), 600 are not" in text
    assert "comparable: EVA-X-B" in text


def test_other_labels_of_the_same_images_are_named(known, tmp_path):
    labels = LABELS[:900].copy()
    row = int(np.flatnonzero(labels[:, 6] == 0)[0])
    labels[row, 6] = 1
    found = passport(a_list(tmp_path, "a.txt", NAMES[:900], labels))
    before = int(LABELS[:900, 6].sum())
    assert found.known == "the test list"
    assert found.other_labels
    assert found.changed == {"Pneumonia": (before, before + 1)}
    assert f"Pneumonia {before} -> {before + 1}" in "\n".join(format_passport(found, "a"))


@pytest.mark.parametrize(
    ("rows", "subset", "superset", "common"),
    [(slice(100, 700), True, False, 600), (slice(0, 1000), False, True, 900), (slice(450, 1350), False, False, 450)],
)
def test_overlaps_are_estimated_from_the_sketch_and_counted_with_the_list(
    known, tmp_path, rows, subset, superset, common
):
    listed = a_list(tmp_path, "a.txt", NAMES[rows], LABELS[rows])
    estimate = next(relation for relation in passport(listed).relations if relation.known == "the test list")
    assert (estimate.subset, estimate.superset) == (subset, superset)
    assert estimate.sampled >= 30
    assert estimate.images == pytest.approx(common, rel=0.15)
    other = a_list(tmp_path, "test.txt", NAMES[:900])
    counted = next(
        found
        for found in passport(listed, numbers=numbers_of_known([other])).relations
        if found.known == "the test list"
    )
    assert (counted.images, counted.sampled) == (common, 0)
    assert (counted.subset, counted.superset) == (subset, superset)


def test_a_list_of_other_images_is_no_known_list(known, tmp_path):
    names = [f"{row}.png" for row in range(900)]
    found = passport(a_list(tmp_path, "a.txt", names, LABELS[:900]))
    assert (found.known, found.relations, found.published) == ("", (), ())
    assert found.counts_of == "the test list"
    assert "no AUROC has been published" in found.not_comparable
    half = [*NAMES[:400], *names[:400]]
    assert not any(relation.subset for relation in passport(a_list(tmp_path, "b.txt", half)).relations)


def test_a_list_of_other_classes_has_a_passport_without_labels(known, tmp_path):
    (tmp_path / "a.txt").write_text(format_list(NAMES[:900], LABELS[:900, :2]))
    listed = read_list(tmp_path / "a.txt", n_classes=2)
    found = passport(listed, ("Mass", "Fracture"))
    assert (found.known, found.labels, found.other_labels) == ("the test list", "", False)


def test_passports_are_part_of_an_audit(known, tmp_path):
    listed = a_list(tmp_path, "a.txt", NAMES[:900])
    found = audit([listed])
    assert [one["known"] for one in found.to_dict()["passports"]] == ["the test list"]
    assert "What the lists are:\na: the test list, 900 images\n" in format_audit(found)


@pytest.mark.real_data
def test_the_real_lists_have_their_passports(nih_metadata, reference_lists, tmp_path):
    """The fingerprints are those of the files, also those of parts."""
    listed = {name: read_list(path) for name, path in reference_lists.items()}
    for part, one in listed.items():
        found = passport(one)
        known = known_lists.known_list(known_lists.SHARED_SPLIT, part)
        assert (found.known, found.labels) == (known.name, known.labels[0].release)
        assert known.labels[0].positives == tuple(one.labels.sum(axis=0).tolist())
    official = read_list(nih_metadata / "test_list.txt.gz", n_classes=0)
    assert passport(official, ()).known == "NIH's official test list"
    test = passport(listed["test"])
    assert "5,213 of its 22,433 images are in NIH's official test list (25,596 images), 17,220 are not" in "\n".join(
        format_passport(test, "")
    )
    names = set(official.names)
    clean = [row for row, name in enumerate(listed["test"].names) if name in names]
    chosen = [listed["test"].names[row] for row in clean], listed["test"].labels[clean]
    found = passport(a_list(tmp_path, "c.txt", *chosen))
    assert (found.known.partition(":")[0], found.published) == ("the clean test list", ())
    with gzip.open(nih_metadata / "BBox_List_2017.csv.gz", "rt") as file:
        boxed = sorted({line.partition(",")[0] for line in list(file)[1:]})
    (tmp_path / "boxes.txt").write_text("\n".join(boxed))
    assert passport(read_list(tmp_path / "boxes.txt", n_classes=0), ()).known == "NIH's 880 images with bounding boxes"
    half = a_list(tmp_path, "half.txt", official.names[:5000], np.zeros((5000, len(CLASS_NAMES)), int))
    assert [found.known for found in passport(half).relations if found.subset] == ["NIH's official test list"]

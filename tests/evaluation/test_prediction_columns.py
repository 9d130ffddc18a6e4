"""Prediction files of other programs: names of columns, and image names with other folders and suffixes."""

import numpy as np
import pytest

from chexnet.data.lists import format_list, read_list
from chexnet.errors import InputError
from chexnet.evaluation.image_matching import match_images
from chexnet.evaluation.predictions import ImageSelection, read_predictions
from chexnet.labels import CLASS_NAMES, N_CLASSES

NAMES = tuple(f"{number:08d}_{number % 3:03d}.png" for number in range(1, 9))
VALUES = np.random.default_rng(0).random((8, N_CLASSES))
LABELS = np.random.default_rng(1).integers(0, 2, (8, N_CLASSES)).astype(np.uint8)


def write(path, image, probability, label=None, names=NAMES, extra=(), values=VALUES):
    """Write a file with columns named as in `probability` and `label`, for example `prob_{}`."""
    header = [image, *(probability.format(name) for name in CLASS_NAMES)]
    header += [label.format(name) for name in CLASS_NAMES] if label else []
    rows = [[name, *map(repr, row)] for name, row in zip(names, values.tolist(), strict=True)]
    if label:
        rows = [[*row, *map(str, labels)] for row, labels in zip(rows, LABELS.tolist(), strict=True)]
    lines = [header, *rows]
    for title, cell in extra:
        lines = [[*line, cell if index else title] for index, line in enumerate(lines)]
    path.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "list.txt").write_text(format_list(NAMES, LABELS))
    return read_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    "image", ["image", "Image Index", "filename", "Image", "path", "Path", "file_name", "image_id"]
)
@pytest.mark.parametrize("probability", ["prob_{}", "{}", "{}_prob"])
def test_names_of_columns(image, probability, labels, tmp_path):
    found = read_predictions(write(tmp_path / "p.csv", image, probability), labels)
    assert found.names == NAMES
    np.testing.assert_array_equal(found.probabilities, VALUES)
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize(
    ("probability", "label"), [("prob_{}", "{}"), ("{}", "label_{}"), ("{}_prob", "{}_label"), ("prob_{}", "{}_label")]
)
def test_labels_in_the_file(probability, label, tmp_path):
    found = read_predictions(write(tmp_path / "p.csv", "Image Index", probability, label))
    np.testing.assert_array_equal(found.probabilities, VALUES)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_case_and_underscores_of_columns_do_not_matter(labels, tmp_path):
    path = write(tmp_path / "p.csv", "IMAGE INDEX", "Prob_{}")
    path.write_text(path.read_text().replace("Pleural_Thickening", "pleural thickening"))
    np.testing.assert_array_equal(read_predictions(path, labels).probabilities, VALUES)


def test_a_column_of_patients_of_nih_is_read(labels, tmp_path):
    names = tuple(f"x{name}" for name in NAMES)
    path = write(tmp_path / "p.csv", "image", "prob_{}", "label_{}", names, extra=[("Patient ID", "12")])
    assert read_predictions(path).patients.ids == ("12",) * 8


def test_the_columns_of_one_program_are_ambiguous_only_where_they_are(labels, tmp_path):
    path = write(tmp_path / "p.csv", "image", "prob_{}", extra=[("path", "somewhere")])
    assert read_predictions(path, labels).names == NAMES
    path = write(tmp_path / "p.csv", "filename", "prob_{}", extra=[("path", "somewhere")])
    with pytest.raises(InputError, match=r"p\.csv:1: .*filename, path, expected one of image"):
        read_predictions(path, labels)
    path = write(tmp_path / "p.csv", "study", "prob_{}")
    with pytest.raises(InputError, match=r"p\.csv:1: missing column image"):
        read_predictions(path, labels)


def test_labels_are_not_taken_for_probabilities(labels, tmp_path):
    path = write(tmp_path / "p.csv", "image", "{}", values=LABELS.astype(float))
    with pytest.raises(InputError, match=r"p\.csv:1: .*only 0 and 1"):
        read_predictions(path, labels)


SPELLINGS = {
    "with folders": lambda name: f"images_001/images/{name}",
    "absolute": lambda name: f"/data/nih/{name}",
    "Windows": lambda name: f"C:\\data\\{name}",
    "another suffix": lambda name: name.replace(".png", ".jpg"),
    "no suffix": lambda name: name.removesuffix(".png"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_images_match_in_spite_of_folders_and_suffixes(spelling, labels, tmp_path):
    path = write(tmp_path / "p.csv", "path", "prob_{}", names=tuple(map(SPELLINGS[spelling], NAMES)))
    np.testing.assert_array_equal(read_predictions(path, labels).labels, LABELS)


def test_paths_match_by_their_end_only():
    names = ("train/p1/view1.jpg", "train/p2/view1.jpg", "1.2.840.1", "1.2.840.2")
    match = match_images(names, "a", ("p2/view1.png", "CheXpert/train/p1/view1", "1.2.840.2", "p3/view1.jpg"), "b")
    assert match.rows.tolist() == [1, 0, 3, -1]
    assert (match.missing, match.respelled) == (("p3/view1.jpg",), 2)
    with pytest.raises(InputError, match=r"b: 'view1' matches 'train/p1/view1.jpg' and 'train/p2/view1.jpg' in a"):
        match_images(names, "a", ("view1",), "b")
    with pytest.raises(InputError, match=r"b: 'x/a.png' and 'a.png' match the same image 'x/a.png' in c"):
        match_images(("x/a.png",), "c", ("x/a.png", "a.png"), "b")


def test_a_selection_keeps_the_order_of_the_file_and_refuses_missing_images(labels, tmp_path):
    path = write(tmp_path / "p.csv", "image", "prob_{}")
    chosen = (NAMES[5], NAMES[2])
    found = read_predictions(path, labels, selection=ImageSelection("only.txt", chosen))
    assert found.names == (NAMES[2], NAMES[5])
    np.testing.assert_array_equal(found.labels, LABELS[[2, 5]])
    more = (*chosen, "00000099_000.png")
    with pytest.raises(
        InputError, match=r"p\.csv: 1 of the 3 images in only\.txt are missing, such as '00000099_000.png'"
    ):
        read_predictions(path, labels, selection=ImageSelection("only.txt", more))
    found = read_predictions(path, labels, selection=ImageSelection("only.txt", more, skip_missing=True))
    assert found.names == (NAMES[2], NAMES[5])
    with pytest.raises(InputError, match=r"has none of the 1 images"):
        read_predictions(path, labels, selection=ImageSelection("only.txt", ("x.png",), skip_missing=True))

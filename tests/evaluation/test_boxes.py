"""Boxes: overlap checked by counting pixels, boxes predicted from maps, and NIH's box file."""

import gzip
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.errors import InputError
from chexnet.evaluation.localization import boxes
from chexnet.evaluation.localization.box_files import read_boxes
from chexnet.evaluation.localization.boxes import (
    contains,
    iobb,
    iou,
    peak_component,
    peak_location,
    predicted_box,
)
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import make_dataset

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"

SIDE = 24
small = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2).map(lambda box: np.array(box, dtype=np.float64))


def pixels(box: np.ndarray) -> np.ndarray:
    """Return the mask of a box of whole pixels."""
    x, y, w, h = box.astype(int)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + h, x : x + w] = True
    return mask


@given(small, small)
def test_iou_and_iobb_equal_counted_pixels(a, b):
    both, either = (pixels(a) & pixels(b)).sum(), (pixels(a) | pixels(b)).sum()
    assert iou(a[None], b[None])[0, 0] == pytest.approx(both / either)
    assert iobb(a[None], b[None])[0, 0] == pytest.approx(both / pixels(a).sum())


@given(small, small, st.floats(0.1, 50), st.floats(-100, 100))
def test_iou_is_symmetric_and_invariant_to_scale_and_shift(a, b, scale, shift):
    value = iou(a[None], b[None])[0, 0]
    assert value == iou(b[None], a[None])[0, 0]
    assert 0 <= value <= 1
    assert (value == 1) == (a == b).all()
    moved = [box * scale + (shift, -shift, 0, 0) for box in (a, b)]
    assert iou(moved[0][None], moved[1][None])[0, 0] == pytest.approx(value, abs=1e-9)
    assert iobb(moved[0][None], moved[1][None])[0, 0] == pytest.approx(iobb(a[None], b[None])[0, 0], abs=1e-9)


def test_overlaps_are_computed_for_all_pairs():
    predicted = np.array([[0.0, 0, 2, 2], [10, 10, 4, 4]])
    truth = np.array([[0.0, 0, 2, 4], [1, 1, 2, 2], [12, 12, 8, 8]])
    np.testing.assert_allclose(iou(predicted, truth), [[1 / 2, 1 / 7, 0], [0, 0, 1 / 19]])
    np.testing.assert_allclose(iobb(predicted, truth), [[1, 1 / 4, 0], [0, 0, 1 / 4]])


def test_a_box_contains_the_points_on_its_edges():
    truth = np.array([[10.0, 20, 5, 5], [0, 0, 100, 100]])
    assert contains(truth, (10, 25)).tolist() == [True, True]
    assert contains(truth, (15.001, 22)).tolist() == [False, True]
    assert contains(truth, (12, 19.999)).tolist() == [False, True]


def test_the_peak_is_the_center_of_the_highest_pixel():
    values = np.zeros((30, 40), np.float32)
    values[7, 33] = 2
    values[:, :5] = np.nan
    assert peak_location(values) == (33.5, 7.5)


def test_on_a_flat_border_the_peak_is_the_innermost_pixel():
    values = np.zeros((30, 40), np.float32)
    values[:8, :8] = 3
    values[0, 0] = 3 + 1e-5  # rounding must not decide
    assert peak_location(values) == (7.5, 7.5)
    assert peak_location(np.full((3, 5), -2.0)) == (2.5, 1.5)


def slow_peak_component(values: np.ndarray) -> np.ndarray:
    """Grow the component pixel by pixel, from the maximum to its neighbors."""
    top = np.nanmax(values)
    visited = np.zeros(values.shape, bool)
    todo = [np.unravel_index(np.nanargmax(values), values.shape)] if top > 0 else []
    while todo:
        row, column = todo.pop()
        if not (0 <= row < values.shape[0] and 0 <= column < values.shape[1]) or visited[row, column]:
            continue
        if values[row, column] >= 0.5 * top:
            visited[row, column] = True
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return visited


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(-1, 1))
def test_the_peak_component_is_connected_to_the_maximum(seed, height, width, shift):
    values = np.random.default_rng(seed).normal(shift, 1, (height, width)).astype(np.float32)
    values[np.random.default_rng(seed + 1).random((height, width)) < 0.1] = np.nan
    if np.isnan(values).all():
        values[0, 0] = 1
    expected = slow_peak_component(values)
    np.testing.assert_array_equal(peak_component(values), expected)
    box = predicted_box(values)
    assert (box is None) == (not expected.any())
    if box is not None:
        x, y, w, h = box.astype(int)
        assert expected[y : y + h, x : x + w].sum() == expected.sum()
        assert expected[[y, y + h - 1]].any(axis=1).all()
        assert expected[:, [x, x + w - 1]].any(axis=0).all()


def test_the_peak_component_follows_a_spiral_but_crosses_no_gap_or_corner():
    picture = ["#######.", "......#.", ".####.#.", ".#..#.#.", ".#.##.#.", ".#....#.", ".######.", ".......#"]
    high = np.array([[cell == "#" for cell in row] for row in picture])
    values = np.where(high, 4.0, 1.0)
    values[0, 0] = 5
    high[7, 7] = False  # touches by a corner
    np.testing.assert_array_equal(peak_component(values), high)
    assert predicted_box(values).tolist() == [0, 0, 7, 7]


def test_no_box_is_predicted_if_the_map_is_nowhere_above_0():
    assert predicted_box(np.full((4, 4), -1.0)) is None
    assert predicted_box(np.zeros((4, 4))) is None
    assert predicted_box(np.full((4, 6), 2.0)).tolist() == [0, 0, 6, 4]


def test_a_ground_truth_box_is_scaled_to_the_image():
    box = boxes.GroundTruthBox("a.png", "Mass", (512, 256, 128, 64), "f:2")
    assert box.to_pixels(1024, 1024).tolist() == [512, 256, 128, 64]
    assert box.to_pixels(height=256, width=512).tolist() == [256, 64, 64, 16]


@pytest.mark.parametrize(
    ("xywh", "valid"),
    [
        ((0, 0, 1024, 1024), True),
        ((-0.1, 5, 5, 5), False),
        ((5, 5, 0, 5), False),
        ((5, 5, 5, -5), False),
        ((1000, 5, 24.1, 5), False),
        ((5, 1000, 5, 25), False),
    ],
)
def test_a_box_outside_the_image_is_invalid(xywh, valid):
    fault = boxes.GroundTruthBox("a.png", "Mass", xywh, "f.csv:2").fault(10, 10)
    assert (not fault) is valid
    assert valid or re.fullmatch(r"f\.csv:2: a\.png: the box .* is not inside the image, expected .*1024", fault)


@pytest.mark.real_data
def test_reading_the_boxes_of_nih():
    if "CHEXNET_METADATA" not in os.environ:
        pytest.skip("CHEXNET_METADATA is not set")
    truth = read_boxes(Path(os.environ["CHEXNET_METADATA"]) / "BBox_List_2017.csv.gz")
    assert len(truth) == 984
    assert Counter(box.finding for box in truth) == {
        **{"Atelectasis": 180, "Cardiomegaly": 146, "Effusion": 153, "Infiltration": 123},
        **{"Mass": 85, "Nodule": 79, "Pneumonia": 120, "Pneumothorax": 98},
    }
    assert not any(box.fault(1024, 1024) for box in truth)
    assert truth[0].image == "00013118_008.png"
    assert truth[0].xywh == (225.084745762712, 547.019216763771, 86.7796610169491, 79.1864406779661)
    assert [box.where.rpartition(":")[2] for box in (truth[0], truth[-1])] == ["2", "985"]


def test_reading_the_boxes_of_phantoms(tmp_path):
    summary = make_dataset(tmp_path / "phantom", 12, 64, seed=0, min_prevalence=0.2)
    truth = read_boxes(summary.box_file)
    assert not any(box.fault(64, 64) for box in truth)
    assert {box.finding for box in truth} <= set(CLASS_NAMES[:8])
    assert len(truth) == summary.box_file.read_text().count("\n") - 1


def test_both_spellings_of_infiltration_plain_and_compressed(tmp_path):
    text = HEADER + "a.png,Infiltrate,1,2,3,4,,,\nb.png,Infiltration,1,2,3,4\n\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    plain = read_boxes(tmp_path / "a.csv")
    packed = read_boxes(tmp_path / "a.csv.gz")
    for read in (plain, packed):
        assert [(box.image, box.finding, box.xywh) for box in read] == [
            ("a.png", "Infiltration", (1, 2, 3, 4)),
            ("b.png", "Infiltration", (1, 2, 3, 4)),
        ]
    assert [box.where for box in plain] == [f"{tmp_path / 'a.csv'}:{line}" for line in (2, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv:1: .*''.*Image Index,"),
        (b"a.png 0 1\n", r"a\.csv:1: .*'a\.png 0 1'"),
        (HEADER.encode(), r"a\.csv: no boxes"),
        (f"{HEADER}a.png,Mass,1,2,3\n".encode(), r"a\.csv:2: 5 columns"),
        (f"{HEADER}a.png,Mass,1,2,3,4,5\n".encode(), r"a\.csv:2: 7 columns"),
        (f"{HEADER}a.png,Mass,1,2,3,4\nb.png,,1,2,3,4".encode(), r"a\.csv:3: the finding is empty"),
        (f"{HEADER}a.png,Mass,1,2,x,4,,,\n".encode(), r"a\.csv:2: .*'1,2,x,4'"),
        (f"{HEADER}a.png,Mass,1,2,nan,4,,,\n".encode(), r"a\.csv:2: .*'1,2,nan,4'"),
        (f"{HEADER}../a.png,Mass,1,2,3,4\n".encode(), r"a\.csv:2: '\.\./a\.png'"),
        (HEADER.encode() + b"a.png,\x00\n", "not a text file"),
        (f'{HEADER}"a.png\n'.encode() + b"x" * 200000, "not a CSV file"),
    ],
)
def test_an_invalid_box_file_is_a_one_line_error(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_boxes(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_a_missing_or_damaged_box_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: .*No such file"):
        read_boxes(tmp_path / "none.csv")
    whole = gzip.compress(HEADER.encode() + b"a.png,Mass,1,2,3,4\n" * 99)
    for damaged in (whole[:40], b"x" + whole, whole[:30] + bytes(10) + whole[40:]):
        (tmp_path / "a.csv.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.csv\.gz: "):
            read_boxes(tmp_path / "a.csv.gz")

"""Boxes: geometry against counted pixels, what is found in maps, NIH's file."""

import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.errors import InputError
from chexnet.evaluation.localization import boxes
from chexnet.evaluation.localization.boxes import (
    contains,
    iobb,
    iou,
    peak_component,
    peak_location,
    predicted_box,
    read_boxes,
)
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import make_dataset

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"

SIDE = 24
small = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2).map(lambda box: np.array(box, dtype=np.float64))


def pixels(box: np.ndarray) -> np.ndarray:
    """The box of whole pixels as a mask."""
    x, y, w, h = box.astype(int)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + h, x : x + w] = True
    return mask


@given(small, small)
def test_iou_and_iobb_are_counted_pixels(a, b):
    both, either = (pixels(a) & pixels(b)).sum(), (pixels(a) | pixels(b)).sum()
    assert iou(a[None], b[None])[0, 0] == pytest.approx(both / either)
    assert iobb(a[None], b[None])[0, 0] == pytest.approx(both / pixels(a).sum())


@given(small, small, st.floats(0.1, 50), st.floats(-100, 100))
def test_iou_is_symmetric_and_knows_neither_scale_nor_place(a, b, scale, shift):
    value = iou(a[None], b[None])[0, 0]
    assert value == iou(b[None], a[None])[0, 0]
    assert 0 <= value <= 1
    assert (value == 1) == (a == b).all()
    moved = [box * scale + (shift, -shift, 0, 0) for box in (a, b)]
    assert iou(moved[0][None], moved[1][None])[0, 0] == pytest.approx(value, abs=1e-9)
    assert iobb(moved[0][None], moved[1][None])[0, 0] == pytest.approx(iobb(a[None], b[None])[0, 0], abs=1e-9)


def test_every_box_is_compared_with_every_other():
    found = np.array([[0.0, 0, 2, 2], [10, 10, 4, 4]])
    drawn = np.array([[0.0, 0, 2, 4], [1, 1, 2, 2], [12, 12, 8, 8]])
    np.testing.assert_allclose(iou(found, drawn), [[1 / 2, 1 / 7, 0], [0, 0, 1 / 19]])
    np.testing.assert_allclose(iobb(found, drawn), [[1, 1 / 4, 0], [0, 0, 1 / 4]])


def test_a_point_on_the_edge_is_inside_and_one_beyond_is_not():
    drawn = np.array([[10.0, 20, 5, 5], [0, 0, 100, 100]])
    assert contains(drawn, (10, 25)).tolist() == [True, True]
    assert contains(drawn, (15.001, 22)).tolist() == [False, True]
    assert contains(drawn, (12, 19.999)).tolist() == [False, True]


def test_the_peak_is_the_middle_of_the_highest_pixel():
    values = np.zeros((30, 40), np.float32)
    values[7, 33] = 2
    values[:, :5] = np.nan
    assert peak_location(values) == (33.5, 7.5)


def test_of_a_flat_border_the_peak_is_the_innermost_pixel():
    values = np.zeros((30, 40), np.float32)
    values[:8, :8] = 3
    values[0, 0] = 3 + 1e-5  # rounding must not decide
    assert peak_location(values) == (7.5, 7.5)
    assert peak_location(np.full((3, 5), -2.0)) == (2.5, 1.5)


def slow_region(values: np.ndarray) -> np.ndarray:
    """Pixel by pixel from the maximum to its neighbours."""
    top = np.nanmax(values)
    seen = np.zeros(values.shape, bool)
    todo = [np.unravel_index(np.nanargmax(values), values.shape)] if top > 0 else []
    while todo:
        row, column = todo.pop()
        if not (0 <= row < values.shape[0] and 0 <= column < values.shape[1]) or seen[row, column]:
            continue
        if values[row, column] >= 0.5 * top:
            seen[row, column] = True
            todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return seen


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(-1, 1))
def test_the_region_is_what_is_connected_with_the_maximum(seed, height, width, shift):
    values = np.random.default_rng(seed).normal(shift, 1, (height, width)).astype(np.float32)
    values[np.random.default_rng(seed + 1).random((height, width)) < 0.1] = np.nan
    if np.isnan(values).all():
        values[0, 0] = 1
    expected = slow_region(values)
    np.testing.assert_array_equal(peak_component(values), expected)
    box = predicted_box(values)
    assert (box is None) == (not expected.any())
    if box is not None:
        x, y, w, h = box.astype(int)
        assert expected[y : y + h, x : x + w].sum() == expected.sum()
        assert expected[[y, y + h - 1]].any(axis=1).all()
        assert expected[:, [x, x + w - 1]].any(axis=0).all()


def test_the_region_winds_through_a_spiral_and_does_not_jump_a_gap_or_a_corner():
    drawn = ["#######.", "......#.", ".####.#.", ".#..#.#.", ".#.##.#.", ".#....#.", ".######.", ".......#"]
    high = np.array([[cell == "#" for cell in row] for row in drawn])
    values = np.where(high, 4.0, 1.0)
    values[0, 0] = 5
    high[7, 7] = False  # touches by a corner
    np.testing.assert_array_equal(peak_component(values), high)
    assert predicted_box(values).tolist() == [0, 0, 7, 7]


def test_nothing_is_found_where_nothing_speaks_for_the_finding():
    assert predicted_box(np.full((4, 4), -1.0)) is None
    assert predicted_box(np.zeros((4, 4))) is None
    assert predicted_box(np.full((4, 6), 2.0)).tolist() == [0, 0, 6, 4]


def test_a_drawn_box_is_scaled_to_the_image():
    box = boxes.GroundTruthBox("a.png", "Mass", (512, 256, 128, 64), 2)
    assert box.to_pixels(1024, 1024).tolist() == [512, 256, 128, 64]
    assert box.to_pixels(height=256, width=512).tolist() == [256, 64, 64, 16]


@pytest.mark.parametrize(
    ("xywh", "inside"),
    [
        ((0, 0, 1024, 1024), True),
        ((-0.1, 5, 5, 5), False),
        ((5, 5, 0, 5), False),
        ((5, 5, 5, -5), False),
        ((1000, 5, 24.1, 5), False),
        ((5, 1000, 5, 25), False),
    ],
)
def test_a_box_outside_the_image_is_known(xywh, inside):
    assert boxes.GroundTruthBox("a.png", "Mass", xywh, 2).inside is inside


@pytest.mark.real_data
def test_the_boxes_of_nih():
    if "CHEXNET_METADATA" not in os.environ:
        pytest.skip("CHEXNET_METADATA is not set")
    found = read_boxes(Path(os.environ["CHEXNET_METADATA"]) / "BBox_List_2017.csv.gz")
    assert len(found) == 984
    assert Counter(box.finding for box in found) == {
        **{"Atelectasis": 180, "Cardiomegaly": 146, "Effusion": 153, "Infiltration": 123},
        **{"Mass": 85, "Nodule": 79, "Pneumonia": 120, "Pneumothorax": 98},
    }
    assert all(box.inside for box in found)
    assert found[0].image == "00013118_008.png"
    assert found[0].xywh == (225.084745762712, 547.019216763771, 86.7796610169491, 79.1864406779661)
    assert (found[0].line, found[-1].line) == (2, 985)


def test_the_boxes_of_phantoms(tmp_path):
    summary = make_dataset(tmp_path / "phantom", 12, 64, seed=0, min_prevalence=0.2)
    found = read_boxes(summary.box_file)
    assert all(box.inside for box in found)
    assert {box.finding for box in found} <= set(CLASS_NAMES[:8])
    assert len(found) == summary.box_file.read_text().count("\n") - 1


def test_both_spellings_compressed_or_not(tmp_path):
    text = HEADER + "a.png,Infiltrate,1,2,3,4,,,\nb.png,Infiltration,1,2,3,4\n\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    plain = read_boxes(tmp_path / "a.csv")
    assert plain == read_boxes(tmp_path / "a.csv.gz")
    assert [(box.image, box.finding, box.xywh, box.line) for box in plain] == [
        ("a.png", "Infiltration", (1, 2, 3, 4), 2),
        ("b.png", "Infiltration", (1, 2, 3, 4), 3),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv:1: the header is '', expected 'Image Index,"),
        (b"a.png 0 1\n", r"a\.csv:1: the header is 'a\.png 0 1'"),
        (HEADER.encode(), "no boxes, expected one per line"),
        (f"{HEADER}a.png,Mass,1,2,3\n".encode(), r"a\.csv:2: 5 columns, expected an image"),
        (f"{HEADER}a.png,Mass,1,2,3,4,5\n".encode(), r"a\.csv:2: 7 columns"),
        (f"{HEADER}a.png,Mass,1,2,3,4\nb.png,Scoliosis,1,2,3,4".encode(), r"a\.csv:3: finding 'Scoliosis', expected"),
        (f"{HEADER}a.png,Mass,1,2,x,4,,,\n".encode(), r"a\.csv:2: the box is '1,2,x,4', expected four numbers"),
        (f"{HEADER}a.png,Mass,1,2,nan,4,,,\n".encode(), "the box is '1,2,nan,4'"),
        (f"{HEADER}../a.png,Mass,1,2,3,4\n".encode(), r"a\.csv:2: '\.\./a\.png' is not the name of a file"),
        (HEADER.encode() + b"a.png,\x00\n", "not a text file"),
        (f'{HEADER}"a.png\n'.encode() + b"x" * 200000, "not a CSV file"),
    ],
)
def test_a_file_that_cannot_be_is_one_line(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_boxes(tmp_path / "a.csv")
    assert "\n" not in str(caught.value)


def test_a_missing_or_truncated_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="the box file cannot be read: No such file"):
        read_boxes(tmp_path / "none.csv")
    whole = gzip.compress(HEADER.encode() + b"a.png,Mass,1,2,3,4\n" * 99)
    for damaged in (whole[:40], b"x" + whole, whole[:30] + bytes(10) + whole[40:]):
        (tmp_path / "a.csv.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.csv\.gz: "):
            read_boxes(tmp_path / "a.csv.gz")

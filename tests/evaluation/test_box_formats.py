"""Boxes and polygons of RSNA, VinDr-CXR and ChestX-Det, and hit rates on masks."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image
from planted_boxes import BRIGHT

from chexnet.data.lists import format_list
from chexnet.errors import InputError
from chexnet.evaluation.localization import MASK_MEASURES, MEASURES, format_result, localize, write_contact_sheet
from chexnet.evaluation.localization.box_files import describe_unknown, read_boxes
from chexnet.evaluation.localization.boxes import peak_component, polygon_mask
from chexnet.labels import CLASS_NAMES

RSNA = "patientId,x,y,width,height,Target"
VINDR = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"

points = st.lists(st.tuples(st.floats(-3, 23), st.floats(-3, 19)), min_size=3, max_size=9)


@given(points)
def test_a_mask_has_the_pixels_whose_centers_are_inside(outline):
    """Compare with the even-odd rule computed per pixel, and with matplotlib for polygons without crossings."""
    polygon = np.array(outline)
    mask = polygon_mask(polygon, 16, 20)
    edges = list(zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist(), strict=True))
    for row in range(16):
        for column in range(20):
            x, y = column + 0.5, row + 0.5
            crossed = [
                x1 + (y - y1) * (x2 - x1) / (y2 - y1) for (x1, y1), (x2, y2) in edges if min(y1, y2) <= y < max(y1, y2)
            ]
            assert mask[row, column] == sum(edge <= x for edge in crossed) % 2


def test_a_mask_equals_that_of_matplotlib_for_a_star_shaped_polygon():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = np.random.default_rng(0).uniform(20, 60, 40)
    polygon = np.stack([70 + radii * np.cos(angles), 64 + radii * np.sin(angles)], axis=1)
    columns, rows = np.meshgrid(np.arange(130) + 0.5, np.arange(120) + 0.5)
    inside = Outline(polygon).contains_points(np.stack([columns.ravel(), rows.ravel()], axis=1)).reshape(120, 130)
    np.testing.assert_array_equal(polygon_mask(polygon, 120, 130), inside)


def test_a_rectangle_has_its_pixels():
    mask = polygon_mask(np.array([[2.0, 1], [5, 1], [5, 4], [2, 4]]), 6, 8)
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_boxes_of_rsna_are_read(tmp_path):
    path = tmp_path / "stage_2_train_labels.csv"
    path.write_text(f"{RSNA}\r\n0004cfab,,,,,0\r\n00436515,264.0,152.0,213.0,379.0,1\r\n00436515,562,152,256,453,1\r\n")
    boxes = read_boxes(path)
    assert [(box.image, box.finding, box.xywh, box.where) for box in boxes] == [
        ("00436515", "Pneumonia", (264, 152, 213, 379), f"{path}:3"),
        ("00436515", "Pneumonia", (562, 152, 256, 453), f"{path}:4"),
    ]
    assert boxes[0].to_pixels(512, 512).tolist() == [132, 76, 106.5, 189.5]


@pytest.mark.parametrize("header", [VINDR, VINDR.replace("rad_id,", ""), KAGGLE])
def test_boxes_of_vindr_are_read_in_pixels_of_the_image(tmp_path, header):
    rows = [
        {"image_id": "9a50", "rad_id": "R10", "class_name": "Pleural effusion", "class_id": "10"},
        {"image_id": "9a50", "rad_id": "R9", "class_name": "Nodule/Mass", "class_id": "8"},
        {"image_id": "50a4", "rad_id": "R1", "class_name": "No finding", "class_id": "14"},
    ]
    edges = {"x_min": "691", "y_min": "1375", "x_max": "1653", "y_max": "1831"}
    lines = [
        ",".join({**row, **(edges if index < 2 else {})}.get(column, "") for column in header.split(","))
        for index, row in enumerate(rows)
    ]
    (tmp_path / "annotations.csv").write_text("\n".join([header, *lines]))
    effusion, nodule = read_boxes(tmp_path / "annotations.csv")
    assert (effusion.image, effusion.finding, effusion.xywh) == ("9a50", "Effusion", (691, 1375, 962, 456))
    assert effusion.space is None
    assert "within 0..1000 and 0..2000" in effusion.fault(width=1000, height=2000)
    assert effusion.fault(width=1653, height=1831) == ""
    assert describe_unknown([effusion, nodule], CLASS_NAMES).endswith("no class for: Nodule/Mass 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{RSNA}\na,1,2,3,4,2", r"f\.csv:2: Target is '2', expected 0 or 1"),
        (f"{RSNA}\na,1,2,3,,1", r"f\.csv:2: the box is '1,2,3,', expected four numbers: x, y, width, height"),
        (f"{RSNA}\na,,,,,1", r"f\.csv:2: the box is ',,,'"),
        (f"{RSNA}\na,,,,,0", r"f\.csv: no boxes"),
        (f"{VINDR}\n../a,R1,Edema,1,2,3,4", r"f\.csv:2: '\.\./a'"),
        (f"{VINDR}\na,R1,Edema,1,2,3", r"f\.csv:2: 6 columns"),
        ("image,x,y\na,1,2", r"f\.csv:1: the header is 'image,x,y', .*patientId,x,y,width,height,Target"),
    ],
)
def test_a_malformed_box_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_boxes(tmp_path / "f.csv")


def annotations(path, *entries):
    keys = ("file_name", "syms", "boxes", "polygons")
    path.write_text(json.dumps([dict(zip(keys, entry, strict=True)) for entry in entries]))
    return path


def outline(xywh):
    x, y, w, h = xywh
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def corners(xywh):
    x, y, w, h = xywh
    return [x, y, x + w, y + h]


ELSEWHERE = (700, 100, 200, 200)


@pytest.fixture
def chestx_det(planted, tmp_path):
    """Annotations like ChestX-Det's: three images, one of them without findings, and a finding that is no class."""
    return annotations(
        tmp_path / "ChestX_Det_test.json",
        ("dark.png", [], [], []),
        (
            "a.png",
            ["Mass", "Fracture", "Nodule"],
            [corners(BRIGHT), corners(BRIGHT), corners(ELSEWHERE)],
            [outline(BRIGHT), outline(BRIGHT), outline(ELSEWHERE)],
        ),
        ("b.png", ["Pleural Thickening"], [corners(BRIGHT)], [outline(BRIGHT)]),
    )


def test_hit_rates_on_masks(planted, chestx_det, tmp_path):
    result = localize(planted([], boxes=str(chestx_det), crops=1))
    assert result.scores.measures == (*MEASURES, *MASK_MEASURES)
    mass, nodule, thickening = result.cases
    assert [case.finding for case in result.cases] == ["Mass", "Nodule", "Pleural_Thickening"]
    assert result.no_class == "1 boxes of findings that the checkpoint has no class for: Fracture 1"
    assert mass.mask.pointing
    assert thickening.mask.pointing
    assert not nodule.mask.pointing
    assert nodule.mask.iou == nodule.mask.iobb == 0
    # The polygon of Mass is its box, so the scores are those of its pixels.
    sample = next(sample for sample in result.samples if sample.case.finding == "Mass")
    predicted = peak_component(sample.values)
    x, y, w, h = (int(value) for value in mass.ground_truth[0])
    truth = np.zeros(predicted.shape, bool)
    truth[y : y + h, x : x + w] = True
    common = (truth & predicted).sum()
    assert mass.mask.iobb == pytest.approx(common / predicted.sum())
    assert mass.mask.iou == pytest.approx(common / (truth | predicted).sum())
    text = format_result(result)
    assert "mask, pointing" in text
    result.write_json(tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["findings"]["Mass"]["mask pointing"]["found"] == 1
    assert content["cases"][0]["mask"]["pointing"] is True
    write_contact_sheet(tmp_path / "sheet.png", result.samples)
    assert Image.open(tmp_path / "sheet.png").width > 1000


def test_a_polygon_outside_the_image_is_left_out_with_its_entry(planted, tmp_path):
    path = annotations(
        tmp_path / "f.json",
        ("a.png", ["Mass"], [corners(BRIGHT)], [outline(BRIGHT)]),
        ("b.png", ["Mass"], [corners(BRIGHT)], [[[0, 0], [1025, 5], [5, 5]]]),
    )
    result = localize(planted([], boxes=str(path)))
    assert [case.image for case in result.cases] == ["a.png"]
    (reason,) = result.left_out
    assert reason.startswith(f"{path}: entry 2: b.png: ")
    assert "1025,5" in reason
    assert "0..1024" in reason


def test_images_without_suffix_are_found_and_their_boxes_checked_in_their_own_pixels(planted, tmp_path):
    """The boxes of VinDr-CXR are in pixels of images of many sizes."""
    path = tmp_path / "annotations_train.csv"
    path.write_text(f"{VINDR}\na,R8,Edema,0,0,100,100\na,R9,Mass,0,0,600,100\nb,R8,Mass,200,192,320,240\n")
    result = localize(planted([], boxes=str(path)))
    assert [(case.image, case.finding) for case in result.cases] == [("a", "Edema"), ("b", "Mass")]
    assert result.cases[1].pointing
    (reason,) = result.left_out
    assert reason.startswith(f"{path}:3: a: ")
    assert "0,0,600,100" in reason
    assert "0..512" in reason
    assert result.scores.measures == MEASURES
    (tmp_path / "list.txt").write_text(format_list(["b.png"], np.zeros((1, 14), int)))
    listed = localize(planted([], boxes=str(path), test_list=str(tmp_path / "list.txt")))
    assert [case.image for case in listed.cases] == ["b.png"]
    (tmp_path / "images" / "more").mkdir()
    (tmp_path / "images" / "more" / "b.jpg").touch()
    with pytest.raises(
        InputError, match=r"image b matches .*b\.png and .*b\.jpg|image b matches .*b\.jpg and .*b\.png"
    ):
        localize(planted([], boxes=str(path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"f\.json: a JSON dict of 0, expected a list"),
        ([], r"f\.json: a JSON list of 0, expected a list"),
        ([3], r"f\.json: entry 1: a JSON int, expected an object with file_name, syms"),
        ([{"file_name": "a.png", "syms": []}], r"f\.json: entry 1: file_name, syms, expected"),
        (
            [("a.png", ["Mass"], [], [outline(BRIGHT)])],
            r"entry 1: boxes is a JSON list of 0, ",
        ),
        ([("a.png", ["Mass"], [[1, 2, 3]], [outline(BRIGHT)])], r"entry 1: a box is '\[1, 2, 3\]', expected four"),
        ([("a.png", ["Mass"], [[1, 2, 3, True]], [outline(BRIGHT)])], r"entry 1: a box is "),
        ([("a.png", ["Mass"], [corners(BRIGHT)], [[[1, 2], [3, 4]]])], r"entry 1: a polygon .* at least three points"),
        (
            [("a.png", ["Mass"], [corners(BRIGHT)], [[[1, 2], [3, 4], [5]]])],
            r"entry 1: a point .* is '\[5\]'",
        ),
        ([("a.png", [1], [corners(BRIGHT)], [outline(BRIGHT)])], r"entry 1: syms has '\[1\]'"),
        ([("a.png", [], [], []), ("a.png", [], [], [])], r"entry 2: 'a\.png' is already in .*entry 1"),
        ([("../a.png", [], [], [])], r"entry 1: '\.\./a\.png' "),
        ([(5, [], [], [])], r"entry 1: file_name is a JSON int"),
    ],
)
def test_malformed_annotations_are_refused_with_their_entry(tmp_path, content, message):
    keys = ("file_name", "syms", "boxes", "polygons")
    entries = [dict(zip(keys, one, strict=True)) if isinstance(one, tuple) else one for one in content]
    (tmp_path / "f.json").write_text(json.dumps(content if isinstance(content, dict) else entries))
    with pytest.raises(InputError, match=message):
        read_boxes(tmp_path / "f.json")

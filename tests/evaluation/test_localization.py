"""Localization: class maps compared with ground-truth boxes, hit rates, output files and tools/localize.py."""

import importlib.util
import json
import math

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from planted_boxes import BRIGHT, BrightnessEngine

from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation.localization import (
    MEASURES,
    Case,
    box_sheet,
    format_result,
    localize,
    score_cases,
    write_contact_sheet,
)
from chexnet.evaluation.localization.boxes import iou, predicted_box
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.proportions import wilson
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import make_dataset

ELSEWHERE = (700, 100, 200, 200)


@pytest.mark.parametrize("crops", [10, 1])
def test_maps_that_are_high_in_the_boxes_are_hits(planted, crops):
    """The boxes are scaled to images of other sizes and shapes."""
    rows = [("a.png", "Mass", BRIGHT), ("b.png", "Nodule", BRIGHT), ("b.png", "Infiltrate", ELSEWHERE)]
    result = localize(planted([*rows, ("a.png", "Edema", BRIGHT)], crops=crops))
    right, dark, wide, wrong = result.cases
    assert [(case.image, case.finding) for case in result.cases] == [
        ("a.png", "Mass"),
        ("a.png", "Edema"),
        ("b.png", "Nodule"),
        ("b.png", "Infiltration"),
    ]
    assert right.ground_truth == ((160, 256, 96, 64),)
    assert wide.ground_truth == ((200, 192, 120, 48),)
    assert right.pointing
    assert wide.pointing
    assert right.iou > 0.4
    assert right.iobb >= right.iou
    assert not dark.pointing
    assert not wrong.pointing
    assert wrong.iou == wrong.iobb == 0
    assert wrong.peak == wide.peak
    assert right.iou == pytest.approx(iou(np.array([right.predicted]), np.array(right.ground_truth))[0, 0])


def test_several_boxes_of_a_finding_are_one_case(planted):
    rows = [("a.png", "Nodule", ELSEWHERE), ("a.png", "Nodule", BRIGHT), ("a.png", "Mass", ELSEWHERE)]
    result = localize(planted(rows))
    nodule, mass = result.cases
    assert len(nodule.ground_truth) == 2
    assert nodule.pointing
    assert nodule.iou > 0.4
    assert not mass.pointing
    assert [(name, rates[0].hits, rates[0].cases) for name, rates in result.scores.findings.items()] == [
        ("Mass", 0, 1),
        ("Nodule", 1, 1),
    ]


def test_boxes_may_be_of_any_class_of_the_checkpoint(planted, tmp_path):
    names = [f"shadow {index}" for index in range(len(CLASS_NAMES))]
    checkpoint.write_metadata_file(tmp_path / "model.pdparams", {"resize": 256, "crop": 224, "classes": names})
    inverted = names[CLASS_NAMES.index("Edema")]
    rows = [("a.png", names[12], BRIGHT), ("a.png", inverted, BRIGHT), ("b.png", names[0], BRIGHT)]
    result = localize(planted(rows))
    assert {case.finding: case.pointing for case in result.cases} == {
        names[12]: True,
        inverted: False,
        names[0]: True,
    }
    assert list(result.scores.findings) == [names[0], inverted, names[12]]  # in the checkpoint's order
    assert [sample.case.finding for sample in result.samples] == [names[0], inverted, names[12]]
    assert f"\n{names[12]} " in format_result(result)
    with pytest.raises(InputError, match=r"boxes\.csv: 1 boxes .* Mass 1; its classes"):
        localize(planted([("a.png", "Mass", BRIGHT)]))
    with pytest.raises(InputError, match=r"boxes\.csv: 1 boxes .* shade 1; its classes .*shadow 13"):
        localize(planted([("a.png", "shade", BRIGHT)]))


def test_probabilities_are_averaged_over_the_crops(planted, engine, tmp_path):
    corner = np.full((256, 256), 20, np.uint8)
    corner[:90, :90] = 250
    Image.fromarray(corner).save(tmp_path / "images" / "corner.png")
    result = localize(planted([("corner.png", "Mass", BRIGHT), ("corner.png", "Edema", BRIGHT)]))
    logits = engine.predict(Preprocessing().ten_crop(corner)).mean(axis=(2, 3)) + np.linspace(-1, 1, 14)
    probabilities = 1 / (1 + np.exp(-logits))
    assert np.ptp(probabilities, axis=0).min() > 0.01
    expected = probabilities.mean(axis=0)
    assert [case.probability for case in result.cases] == pytest.approx([expected[4], expected[9]], rel=1e-4)


def test_a_case_without_a_predicted_box_scores_0(planted, tmp_path):
    result = localize(planted([("dark.png", "Mass", BRIGHT), ("a.png", "Mass", BRIGHT)]))
    case = result.cases[0]
    assert case.predicted is None
    assert case.iou == case.iobb == 0
    write_contact_sheet(tmp_path / "sheet.png", result.samples)


def test_images_are_predicted_in_full_batches(planted, engine, tmp_path):
    """Two images of ten crops fill a batch."""
    for index in range(7):
        (tmp_path / "images" / f"{index}.png").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    calls = []
    result = localize(
        planted([(f"{index}.png", "Mass", BRIGHT) for index in range(7)]),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert engine.batch_sizes == [20, 20, 20, 10]
    assert calls == [(done, 7) for done in range(1, 8)]
    assert [case.image for case in result.cases] == [f"{index}.png" for index in range(7)]
    assert len({case.peak for case in result.cases}) == 1
    assert [sample.case.image for sample in result.samples] == ["0.png", "1.png"]


def test_a_list_selects_the_images(planted, tmp_path):
    rows = [("a.png", "Mass", BRIGHT), ("missing.png", "Mass", BRIGHT), ("b.png", "Mass", BRIGHT)]
    (tmp_path / "list.txt").write_text("b.png" + " 0" * 14 + "\nz.png" + " 1" * 14)
    result = localize(planted(rows, test_list=str(tmp_path / "list.txt")))
    assert [case.image for case in result.cases] == ["b.png"]


def test_invalid_boxes_and_images_are_left_out_with_a_reason(planted, tmp_path):
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n")
    outside = (1000, 10, 30, 10)
    rows = [("broken.png", "Mass", BRIGHT), ("a.png", "Nodule", outside), ("a.png", "Mass", BRIGHT)]
    result = localize(planted(rows))
    assert [(case.image, case.finding) for case in result.cases] == [("a.png", "Mass")]
    box, image = result.left_out
    assert "boxes.csv:3: a.png: " in box
    assert "1000,10,30,10" in box
    assert "0..1024" in box
    assert "broken.png: " in image


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (
            [("a.png", "Mass", (-5, 0, 5, 5))],
            {},
            r"boxes\.csv: .*:2: a\.png",
        ),
        (
            [("c.png", "Mass", BRIGHT), ("a.png", "Mass", BRIGHT)],
            {},
            r"1 of 2 .*: c\.png; .*--test_list FILE",
        ),
        ([("a.png", "Mass", BRIGHT)], {"data_dir": "none"}, "none: "),
        ([("a.png", "Mass", BRIGHT)], {"boxes": "none.csv"}, r"none\.csv: "),
    ],
)
def test_nothing_to_compare_is_an_error(planted, rows, changes, message):
    with pytest.raises(InputError, match=message):
        localize(planted(rows, **changes))


def test_a_list_without_any_of_the_images_is_an_error(planted, tmp_path):
    (tmp_path / "list.txt").write_text("z.png" + " 0" * 14)
    with pytest.raises(InputError, match=r"boxes\.csv: .*list\.txt"):
        localize(planted([("a.png", "Mass", BRIGHT)], test_list=str(tmp_path / "list.txt")))


def test_class_maps_that_are_not_finite_are_an_error(planted, monkeypatch):
    monkeypatch.setattr(
        BrightnessEngine, "predict", lambda self, images: np.full((len(images), 14, 7, 7), np.nan, np.float32)
    )
    with pytest.raises(InputError, match=r"model\.pdparams: .*class maps"):
        localize(planted([("a.png", "Mass", BRIGHT)]))


def case(image: str, finding: str, *, pointing: bool = False, iobb: float = 0.0, iou: float = 0.0) -> Case:
    return Case(image, finding, 0.5, ((0, 0, 1, 1),), (0.5, 0.5), None, pointing, iobb, iou)


def test_a_hit_is_above_the_threshold_not_at_it():
    cases = [case("a", "Mass", pointing=True, iobb=0.5, iou=0.25), case("b", "Mass", iobb=0.51, iou=0.1)]
    rates = dict(zip(MEASURES, score_cases(cases).findings["Mass"], strict=True))
    assert {name: rate.hits for name, rate in rates.items()} == {
        **{"pointing": 1, "iobb>0.1": 2, "iobb>0.25": 2, "iobb>0.5": 1},
        **{"iou>0.1": 1, "iou>0.25": 0, "iou>0.5": 0},
    }


def test_the_mean_is_over_findings_not_over_cases():
    cases = [case(str(index), "Mass") for index in range(9)] + [case("x", "Nodule", pointing=True)]
    scores = score_cases(cases)
    assert scores.mean[0].rate == 0.5
    assert scores.mean[0].findings == 2
    assert list(scores.findings) == ["Mass", "Nodule"]


@given(st.integers(1, 300), st.floats(0, 1))
def test_wilsons_interval_ends_where_the_rate_is_1_96_standard_errors_away(cases, fraction):
    hits = round(fraction * cases)
    low, high = wilson(hits, cases)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= hits / cases <= high + 1e-9
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(hits / cases - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / cases), rel=1e-6)


def test_the_interval_of_the_mean_depends_on_the_number_of_patients():
    """It is close to the binomial interval for one finding. More images of the same patients do not narrow it."""
    once = [case(f"{index:08d}_000.png", "Mass", pointing=index < 60) for index in range(200)]
    low, high = score_cases(once).mean[0].low, score_cases(once).mean[0].high
    error = math.sqrt(0.3 * 0.7 / 200)
    assert low == pytest.approx(0.3 - 1.96 * error, abs=0.01)
    assert high == pytest.approx(0.3 + 1.96 * error, abs=0.01)
    five_images_each = [
        case(f"{index:08d}_{image:03d}.png", "Mass", pointing=index < 60) for index in range(200) for image in range(5)
    ]
    again = score_cases(five_images_each)
    assert again.patients == 200
    assert (again.mean[0].low, again.mean[0].high) == (low, high)
    assert again.findings["Mass"][0].cases == 1000


def test_the_json_has_the_result(planted, tmp_path):
    rows = [("a.png", "Mass", BRIGHT), ("dark.png", "Effusion", BRIGHT), ("b.png", "Mass", ELSEWHERE)]
    config = planted(rows)
    result = localize(config)
    result.write_json(tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["findings"]["Mass"]["pointing"]["found"] == 1
    assert content["findings"]["Mass"]["pointing"]["cases"] == 2
    assert content["mean"]["pointing"]["share"] == 0.25
    assert content["sha256"] == {"ckpt": sha256(config.ckpt), "boxes": sha256(config.boxes)}
    assert content["engine"] == "brightness"
    assert content["config"]["crops"] == 10
    assert "0.5" in content["rules"]["found_box"]
    assert [case["image"] for case in content["cases"]] == ["a.png", "dark.png", "b.png"]
    assert content["cases"][0]["found"] == list(result.cases[0].predicted)
    assert content["cases"][1]["found"] is None


def test_the_table_has_published_rates_next_to_the_same_measure(planted):
    text = format_result(localize(planted([("a.png", "Mass", BRIGHT), ("dark.png", "Hernia", BRIGHT)])))
    tables = [block.splitlines() for block in text.split("\n\n")]
    assert [table[0].split()[:2] for table in tables[:3]] == [["pointing", "game"], ["IoBB", "cases"], ["IoU", "cases"]]
    pointing, iobb, overlap = ({line.split()[0]: line.split() for line in table} for table in tables[:3])
    assert pointing["Mass"] == ["Mass", "1", "1.000", "0.207-1.000"]
    assert pointing["mean"][:5] == ["mean", "of", "2", "2", "0.500"]
    assert iobb["Mass"][:5] == ["Mass", "1", "1.000", "0.207-1.000", "0.435"]
    assert (iobb["Mass"][7], iobb["Mass"][10]) == ("0.282", "0.141")
    assert (iobb["Hernia"][4], iobb["mean"][-1]) == ("-", "-")
    assert (overlap["Mass"][4], overlap["Mass"][9]) == ("0.400", "0.012")
    assert len(overlap["Mass"]) == 10  # published only at 0.1 and 0.5
    assert "arXiv:1705.02315" in text


def count_pixels(path, color: str) -> int:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return int((pixels == np.frombuffer(bytes.fromhex(color[1:]), np.uint8)).all(axis=2).sum())


def test_the_contact_sheet_shows_ground_truth_and_predicted_boxes(planted, tmp_path, monkeypatch):
    """The line of a box has many more pixels of its color than the cross at the maximum."""
    monkeypatch.setattr(box_sheet, "_legend", lambda: [])
    for name in ("a.png", "dark.png"):
        result = localize(planted([(name, "Mass", BRIGHT)], crops=1))
        write_contact_sheet(tmp_path / name, result.samples)
        assert count_pixels(tmp_path / name, box_sheet.GROUND_TRUTH) > 300
    assert count_pixels(tmp_path / "a.png", box_sheet.PREDICTED) > 300
    assert 0 < count_pixels(tmp_path / "dark.png", box_sheet.PREDICTED) < 100


def test_a_sample_is_reduced_and_its_map_matches_its_image(planted, tmp_path):
    large = np.full((1500, 1200), 20, np.uint8)
    large[750:938, 375:600] = 250
    Image.fromarray(large).save(tmp_path / "images" / "large.png")
    (sample,) = localize(planted([("large.png", "Mass", BRIGHT)])).samples
    assert sample.size == (1500, 1200)
    assert sample.gray.shape == sample.values.shape == (500, 400)
    box = predicted_box(sample.values) * 3
    assert iou(box[None], np.array([sample.case.predicted]))[0, 0] > 0.97


def script():
    spec = importlib.util.spec_from_file_location("script_localize", ROOT / "tools/localize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_runs_on_phantoms(tmp_path, capsys):
    """The engine is a real one."""
    phantoms = make_dataset(tmp_path / "phantom", 12, 80, seed=3, min_prevalence=0.2)
    ckpt = tmp_path / "model.safetensors"
    network = CheXNet(backbone="lenet")
    checkpoint.save_weights(network.state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"backbone": "lenet", "resize": 72, "crop": 64, "notice": "random weights"})
    flags = ["--boxes", phantoms.box_file, "--data_dir", phantoms.image_dir, "--ckpt", ckpt, "--device", "cpu"]
    outputs = ["--output_json", tmp_path / "out.json", "--contact_sheet", tmp_path / "sheet.png"]
    assert script().main([str(flag) for flag in [*flags, *outputs, "--num_workers", "1"]]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert ", float32, CPU, " in lines[0]
    assert lines[1] == "=> 10 crops of 64 px from 72 px"
    assert lines[2] == f"=> {ckpt}: random weights"
    assert lines[5].startswith("pointing game")
    content = json.loads((tmp_path / "out.json").read_text())
    assert sum(rates["pointing"]["cases"] for rates in content["findings"].values()) == len(content["cases"])
    assert f"{len(content['cases'])} cases" in output.out
    assert Image.open(tmp_path / "sheet.png").width > 1000


def test_the_script_ends_with_code_2_when_something_was_left_out(planted, capsys):
    config = planted([("a.png", "Mass", BRIGHT), ("a.png", "Nodule", (0, 0, 0, 9))])
    flags = ["--boxes", config.boxes, "--data_dir", config.data_dir, "--ckpt", config.ckpt, "--num_workers", "0"]
    assert script().main(flags) == 2
    output = capsys.readouterr()
    assert "mean of 1" in output.out
    assert output.out.splitlines()[-1].startswith(f"left out: {config.boxes}:3: a.png: ")
    assert "0,0,0,9" in output.out.splitlines()[-1]
    assert output.err.splitlines()[-1].startswith(f"error: {config.boxes}: 1 boxes or images")


def test_outputs_are_checked_first(tmp_path, capsys):
    ckpt = str(tmp_path / "model.pdparams")
    for flag, path, message in (
        ("--output_json", "model.json", "model.json: "),
        ("--contact_sheet", "sheet.jpg", ".png"),
    ):
        assert script().main(["--boxes", "b.csv", "--ckpt", ckpt, flag, str(tmp_path / path)]) == 2
        assert message in capsys.readouterr().err

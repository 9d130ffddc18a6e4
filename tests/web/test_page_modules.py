"""The page's modules in Node, compared with the Python that they follow."""

import csv
import io
import json
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from dicom_files import dataset
from node import PageModules
from PIL import Image

from chexnet.data.images import open_image
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.inference.image_checks import MEANINGLESS, check_image
from chexnet.inference.prediction import Prediction
from chexnet.inference.prediction_files import CsvWriter, JsonWriter
from chexnet.inference.thresholds import OperatingPoint, Thresholds
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.platt import PlattScaling
from chexnet.model.feature_grid import DEFAULT_GRID
from chexnet.phantom import draw

NAMES = ("a.png", 'b "c",\n.png', "胸片 é.dcm", "\ud800 alone.png", "tab\t\x7f\x01.png", "😀.png", "=1+1.png")
"""File names that JSON and CSV have to quote or escape."""

CLASSES = ("Mass", "Pleural_Thickening", 'odd "class", 名')


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> PageModules:
    return PageModules(tmp_path_factory.mktemp("modules"))


def predictions() -> list[Prediction]:
    """Predictions with unusual names and numbers."""
    rng = np.random.default_rng(0)
    special = np.float32([0, 1, 1e-4, 9.9999e-5, 1e-10, 1 / 3, 0.1, 0.5, np.nextafter(np.float32(0.5), 0)])
    values = np.concatenate([special, rng.random(30, np.float32), (10 ** rng.uniform(-8, 0, 24)).astype(np.float32)])
    gray = Image.new("L", (8, 8))
    geometry = Preprocessing(resize=8, crop=8).geometry(8, 8, 1)
    return [
        Prediction(
            NAMES[number % len(NAMES)],
            gray,
            ("only 8 x 8 pixels", 'a; "b", c')[: number % 3],
            CLASSES,
            values[3 * number : 3 * number + 3],
            None,
            np.zeros(3, np.float32),
            DEFAULT_GRID,
            geometry,
            10.0,
        )
        for number in range(21)
    ]


POINTS = {name: OperatingPoint(value, 0.8, 1) for name, value in zip(CLASSES, (0.5, 1 / 3, 0.1), strict=True)}
CALIBRATION = {"Mass": PlattScaling(0.9, -1.2), CLASSES[2]: PlattScaling(1.5, 0.25)}


@pytest.mark.parametrize(
    "thresholds",
    [
        None,
        Thresholds("by hand: 选择", POINTS, "ab", 10),
        Thresholds("", POINTS, None, None, CALIBRATION, 1.25, "val_list.txt"),
    ],
    ids=["no thresholds", "thresholds", "calibration"],
)
def test_saved_files_are_those_of_predict_py(page, tmp_path, thresholds):
    calibration = (thresholds and thresholds.calibration) or {}
    header = {
        "chexnet": "1",
        "ckpt": 'a "b".pdparams',
        "notice": "只 <b>",
        "preprocessing": {"resize": 256, "mean": [0.485], "none": []},
        "crops": "dense",
        "classes": list(CLASSES),
        "thresholds": thresholds and {"file": "x.json", **asdict(thresholds)},
    }
    errors = [InputError(f"{NAMES[1]}: cannot be read"), InputError("胸片: \ud800")]
    with JsonWriter.open(tmp_path / "p.json", header) as writer:
        for prediction in predictions():
            writer.add(prediction, thresholds, calibration, {})
        for error in errors:
            writer.add_error(error)
    with CsvWriter.open(tmp_path / "p.csv", CLASSES, thresholds, calibration) as writer:
        for prediction in predictions():
            writer.add(prediction)
    code = """
      const { csvText, jsonText } = await import("./prediction_files.js");
      return [jsonText(data.header, data.results, data.errors), csvText(data.header, data.results)];
    """
    found_json, found_csv = page.run(code, {"header": header, "results": results(), "errors": split(errors)})
    expected_json = (tmp_path / "p.json").read_text(encoding="utf-8")
    assert json.loads(found_json) == json.loads(expected_json)
    images = expected_json.index('"images"')
    assert found_json[found_json.index('"images"') :] == expected_json[images:]
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as file:
        expected_csv = file.read()
    assert found_csv == expected_csv
    assert len(list(csv.reader(io.StringIO(found_csv)))) == 22


def results() -> list[dict]:
    """The predictions as an engine of the page returns them."""
    entries = []
    for prediction in predictions():
        probabilities = {name: prediction.probability(name) for name in CLASSES}
        entries.append({"name": prediction.name, "probabilities": probabilities, "warnings": prediction.warnings})
    return entries


def split(errors: list[InputError]) -> list[dict]:
    pairs = [str(error).split(": ", 1) for error in errors]
    return [{"name": name, "message": message} for name, message in pairs]


def warned_images(folder):
    """Yield images that get every warning."""
    chest = draw([], 256).image
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    framed = np.pad(chest, ((40, 0), (0, 40)))
    arrays = [chest[:100], 255 - chest, noise, chest // 8, framed, np.pad(chest, ((0, 40), (40, 0))), chest.T]
    arrays += [np.stack([noise, chest, 255 - chest], axis=-1), np.full((64, 64), 9, np.uint8)]
    arrays += [(chest.astype(np.uint16) * factor) for factor in (1, 4, 16, 64)]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"{number}.png")
    for modality, view in product(("DX", "CT"), ("PA", "LL")):
        dataset(chest, Modality=modality, ViewPosition=view).save_as(
            folder / f"{modality}_{view}.dcm", enforce_file_format=True
        )
    damaged = bytearray((folder / "0.png").read_bytes())
    damaged[33:33] = b"\x00\x00\x00\x01tEXtx\x00\x00\x00\x00"
    (folder / "damaged.png").write_bytes(damaged)
    yield from (open_image(path) for path in sorted(folder.iterdir()))


def test_every_warning_has_a_chinese_translation(page, tmp_path):
    warnings = sorted({warning for image in warned_images(tmp_path) for warning in check_image(image, 224)})
    assert MEANINGLESS in warnings
    code = """
      const { PATTERNS, translateWarning } = await import("./warnings.js");
      const used = PATTERNS.map(([pattern]) => data.some((warning) => pattern.test(warning)));
      return [data.map(translateWarning), used, translateWarning("something new")];
    """
    translated, used, unknown = page.run(code, warnings)
    left = [warning for warning, chinese in zip(warnings, translated, strict=True) if warning == chinese]
    assert left == []
    assert all(used), f"patterns that no warning matches: {used}"
    assert unknown == "something new"


ERRORS = (
    "not an image: expected a radiograph as PNG, JPEG or DICOM",
    "an empty file: expected a radiograph as PNG, JPEG or DICOM",
    "the browser cannot read it: choose files, not a folder",
    "9 bytes, expected at most 8: use a smaller file",
    "a file of TIFF, which the page does not read: convert it to PNG, or use predict.py",
    "cannot be decoded as an image (the stream ends); get the file again, or convert it to PNG, or use predict.py",
    "a damaged PNG: its header is missing or not the first chunk; save the image again as PNG",
    "8 x 9 pixels, expected at least 16 x 16",
    "several frames, expected a single image",
    "The network https://host/model.onnx cannot be loaded (status 404): reload the page, or build it again.",
    "This browser has no WebAssembly SIMD, which the network needs: use Chrome or Edge 91.",
    "model.onnx is a graph of layout 9, and this page reads layout 1: build the page again.",
    "The program that reads images did not start or stopped (worker.js cannot be loaded): reload the page.",
    "The server does not answer: check that it is still running, then try again.",
)


def test_frequent_errors_have_a_chinese_translation(page):
    code = """
      const { ERROR_PATTERNS, translateError } = await import("./warnings.js");
      const matches = ([pattern]) => data.filter((error) => pattern.test(error)).length;
      return [data.map(translateError), ERROR_PATTERNS.map(matches), translateError("something new")];
    """
    translated, matches, unknown = page.run(code, ERRORS)
    assert matches == [1] * len(ERRORS)
    assert all(max(sentence) >= "\u4e00" for sentence in translated)
    assert unknown == "something new"


def test_both_languages_have_the_same_texts(page):
    code = """
      const texts = await import("./texts.js");
      const source = require("fs").readFileSync("texts.js", "utf8");
      const keys = [...new Set([...source.matchAll(/^  (\\w+):/gm)].map((match) => match[1]))];
      const kinds = [];
      for (const language of ["en", "zh"]) {
        texts.setLanguage(language);
        kinds.push(keys.map((key) => typeof texts.text(key, 1, 2, 3)));
      }
      const html = require("fs").readFileSync("index.html", "utf8");
      const named = [...html.matchAll(/data-(?:text|label)="(\\w+)"/g)].map((match) => match[1]);
      return [keys, kinds, data.map(texts.findingName), named];
    """
    keys, (english, chinese), findings, named = page.run(code, CLASS_NAMES)
    assert english == [kind if key not in CLASS_NAMES else "undefined" for key, kind in zip(keys, chinese, strict=True)]
    assert [key for key, kind in zip(keys, english, strict=True) if kind == "undefined"] == list(CLASS_NAMES)
    assert set(named) <= set(keys)
    for name, shown in zip(CLASS_NAMES, findings, strict=True):
        assert shown.endswith(f" {name.replace('_', ' ')}")


def test_maps_are_enlarged_as_pillow_does(page):
    opacity = np.random.default_rng(0).integers(0, 256, (9, 13), dtype=np.uint8)
    opacity[4:, 5:] //= 2
    code = """
      const { upsample } = await import("./heatmap.js");
      const map = { rows: data.length, columns: data[0].length, opacity: Uint8Array.from(data.flat()) };
      return [...upsample(map, 130, 72)];
    """
    found = np.array(page.run(code, opacity.tolist())).reshape(72, 130)
    enlarged = np.asarray(Image.fromarray(opacity / np.float32(255)).resize((130, 72), Image.Resampling.BICUBIC))
    inside = slice(2 * 8, -2 * 8), slice(2 * 10, -2 * 10)
    np.testing.assert_allclose(found[inside], np.clip(enlarged, 0, 1)[inside], atol=1e-5)


def test_thresholds_are_shown_on_the_scale_of_the_probabilities(page):
    code = """
      const { shownFindings } = await import("./findings.js");
      const show = (calibrated) => shownFindings(data.result, { header: data.header }, calibrated);
      return [show(false), show(true)];
    """
    calibration = {name: asdict(scaling) for name, scaling in CALIBRATION.items()}
    entries = [
        {"name": name, "probability": 0.4, "present": True, "threshold": point.threshold}
        | ({"calibrated": 0.2} if name in calibration else {})
        for name, point in POINTS.items()
    ]
    data = {
        "result": {"meaningful": True, "findings": entries},
        "header": {"thresholds": {"calibration": calibration}},
    }
    raw, calibrated = page.run(code, data)
    assert [(entry["value"], entry["tick"]) for entry in raw] == [(0.4, point.threshold) for point in POINTS.values()]
    for entry, (name, point) in zip(calibrated, POINTS.items(), strict=True):
        expected = float(CALIBRATION[name].apply(point.threshold)) if name in CALIBRATION else point.threshold
        assert entry["value"] == (0.2 if name in CALIBRATION else 0.4)
        assert entry["tick"] == pytest.approx(expected, abs=1e-6)
    data["result"]["meaningful"] = False
    assert [entry["tick"] for entry in page.run(code, data)[0]] == [None] * 3

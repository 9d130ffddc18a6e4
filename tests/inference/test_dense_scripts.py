"""Dense evaluation from the command line: one checkpoint through eval.py, predict.py, tools/localize.py and export."""

import csv
import json

import numpy as np
import pytest
from conftest import make_folder, run_script
from dense_data import CROP, RESIZE, SHAPES, save_network, shape_image
from exported_graphs import load_exported
from PIL import Image

from chexnet.config import EXPORT_FORMATS
from chexnet.inference import Predictor, engines
from chexnet.inference.deployment import DESCRIPTION
from chexnet.labels import CLASS_NAMES
from chexnet.web import InferenceService

pytestmark = pytest.mark.usefixtures("small_backbones")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory, small_backbones):
    return save_network(tmp_path_factory.mktemp("ckpt") / "model.pdparams", "resnet50")


def possible(form: str) -> str:
    if form == "onnx" and (why := engines.why_unavailable("onnxruntime")):
        pytest.skip(why)
    return form


def test_all_scripts_agree(ckpt, tmp_path, capsys):
    images, test_list = make_folder(tmp_path, 5, "test.txt", SHAPES)
    _, val_list = make_folder(tmp_path, 4, "val.txt", SHAPES)
    shared = ["--ckpt", str(ckpt), "--crops", "dense", "--device", "cpu"]
    out = {name: str(tmp_path / name) for name in ("eval.json", "eval.csv", "report", "predict.json", "boxes.json")}
    data = ["--data_dir", str(images), "--test_list", str(test_list), "--val_list", str(val_list)]
    outputs = ["--output_json", out["eval.json"], "--output_csv", out["eval.csv"], "--output_dir", out["report"]]
    assert run_script("eval.py", *shared, *data, *outputs) == 0
    assert "=> dense windows of 64 px from 106 px" in capsys.readouterr().out
    assert json.loads((tmp_path / "eval.json").read_text())["config"]["crops"] == "dense"
    thresholds = tmp_path / "report" / "thresholds.json"
    assert json.loads(thresholds.read_text())["crops"] == "dense"

    with open(out["eval.csv"], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [str(images / row["image"]) for row in rows]
    flags = ["--thresholds", str(thresholds), "--output_json", out["predict.json"], "--cam", str(tmp_path / "cam")]
    assert run_script("predict.py", *paths, *shared, *flags) == 0
    assert "selected with --crops" not in capsys.readouterr().out
    predicted = json.loads((tmp_path / "predict.json").read_text())
    assert predicted["crops"] == "dense"
    for row, image in zip(rows, predicted["images"], strict=True):
        for name in CLASS_NAMES:
            assert image["probabilities"][name] == pytest.approx(float(row[f"prob_{name}"]), abs=1e-5)
    assert len(list((tmp_path / "cam").iterdir())) >= 3 * len(rows)

    box_file = tmp_path / "boxes.csv"
    lines = [f"{row['image']},Mass,256.0,256.0,512.0,512.0,,," for row in rows]
    box_file.write_text("\n".join(["Image Index,Finding Label,Bbox [x,y,w,h],,,", *lines]) + "\n")
    flags = ["--boxes", str(box_file), "--data_dir", str(images), "--output_json", out["boxes.json"]]
    assert run_script("tools/localize.py", *shared, *flags) == 0
    localized = json.loads((tmp_path / "boxes.json").read_text())
    assert localized["config"]["crops"] == "dense"
    found = {case["image"]: case["probability"] for case in localized["cases"]}
    assert found == {row["image"]: pytest.approx(float(row["prob_Mass"]), abs=1e-5) for row in rows}


@pytest.mark.parametrize("form", EXPORT_FORMATS)
def test_an_export_takes_whole_images_and_gives_the_numbers_of_the_predictor(ckpt, tmp_path, form, capsys):
    flags = ["--ckpt", str(ckpt), "--crops", "dense", "--format", possible(form), "--no_whole_image"]
    flags += ["--output_dir", str(tmp_path / "out")]
    assert run_script("tools/export.py", *flags) == 0
    assert "whole images" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out" / DESCRIPTION).read_text())
    assert facts["crops"] == "dense"
    assert facts["input"]["shape"] == ["N", 1, "H", "W"]
    graph = load_exported(tmp_path / "out" / facts["graph"])
    predictor = Predictor(ckpt, crops="dense", device="cpu", images=1)
    for shape in SHAPES:
        image = shape_image(shape)
        resized = predictor.preprocessing.resize_image(image)
        expected = predictor.predict(image).probabilities
        for count in (1, 3):
            found = graph.predict(np.repeat(resized[None, None], count, axis=0))
            np.testing.assert_allclose(found, np.repeat(expected[None], count, axis=0), rtol=0, atol=1e-5)


def test_a_checkpoint_may_ask_for_dense_evaluation(tmp_path):
    path = save_network(tmp_path / "model.pdparams", "densenet_cifar", crops="dense")
    assert Predictor(path, device="cpu", images=1).crops_description == f"dense windows of {CROP} px from {RESIZE} px"
    assert Predictor(path, crops=10, device="cpu", images=1).crops == 10


def test_the_page_and_sheets_show_the_whole_image(tmp_path):
    path = save_network(tmp_path / "model.pdparams", "densenet_cifar")
    Image.fromarray(shape_image((120, 200))).save(tmp_path / "wide.png")
    predictor = Predictor(path, crops="dense", device="cpu", images=1)
    service = InferenceService(predictor)
    answer = service.submit((tmp_path / "wide.png").read_bytes()).result()
    service.close()
    expected = predictor.predict(tmp_path / "wide.png")
    np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(answer.cam(answer.classes[0]), expected.cam(answer.classes[0]))
    flags = ["--ckpt", str(path), "--crops", "dense", "--device", "cpu", "--output", str(tmp_path / "sheet.png")]
    assert run_script("tools/contact_sheet.py", str(tmp_path / "wide.png"), *flags) == 0

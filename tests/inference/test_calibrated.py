"""predict.py --calibrated, as a user runs it; test_score_parts.py runs it in parts."""

import csv
import json

import numpy as np
import paddle
import pytest
from conftest import run_script
from PIL import Image
from scipy.special import expit, logit

from chexnet.files import sha256
from chexnet.inference.prediction import MEANINGLESS
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw

SLOPE, OFFSET = 0.6, -1.4
FITTED = CLASS_NAMES[:-1]
"""Hernia has no calibration."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a checkpoint, its threshold file with a calibration, one without, and two images."""
    root = tmp_path_factory.mktemp("calibrated")
    paddle.seed(3)
    ckpt = root / "model.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"backbone": "lenet", "resize": 40, "crop": 32, "classes": CLASS_NAMES})
    point = {"threshold": 0.5, "sensitivity": 0.8, "specificity": 0.7}
    content = {
        "schema": 1,
        "chosen": "by hand",
        "ckpt_sha256": sha256(ckpt),
        "thresholds": dict.fromkeys(CLASS_NAMES, point),
    }
    (root / "old.json").write_text(json.dumps(content))
    content["calibration"] = {
        **{"list": "val list é.txt", "images": 1234, "sha256": None, "temperature": 1.5, "left_out": ["Hernia"]},
        "platt": {name: {"slope": SLOPE, "offset": OFFSET} for name in FITTED},
    }
    (root / "model.thresholds.json").write_text(json.dumps(content))
    Image.fromarray(draw([], 128, patient=1).image).save(root / "chest.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(root / "noise.png")
    return root


@pytest.fixture
def predict(folder, capsys):
    def run(*arguments):
        common = ["--ckpt", folder / "model.pdparams", "--device", "cpu", "--num_workers", "0", "--engine", "paddle"]
        code = run_script("predict.py", *map(str, [*arguments, *common]))
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def rows(lines):
    return {words[0]: line for line in lines if (words := line.split()) and words[0] in CLASS_NAMES}


def test_all_outputs_have_the_calibrated_probabilities_next_to_the_others(folder, predict, tmp_path):
    files = ["--output_json", tmp_path / "p.json", "--output_csv", tmp_path / "p.csv"]
    code, lines, _ = predict(folder / "chest.png", "--calibrated", "--top", 14, *files)
    assert code == 0
    image = json.loads((tmp_path / "p.json").read_text())["images"][0]
    probabilities = np.array([image["probabilities"][name] for name in FITTED])
    expected = expit(SLOPE * logit(probabilities) + OFFSET)
    assert list(image["calibrated"]) == list(FITTED)
    np.testing.assert_allclose(list(image["calibrated"].values()), expected, rtol=1e-6)
    with open(tmp_path / "p.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [name for name in row if name.startswith("calibrated_")] == [f"calibrated_{name}" for name in FITTED]
    assert {name: float(row[f"calibrated_{name}"]) for name in FITTED} == image["calibrated"]
    table = rows(lines)
    assert all(f"  calibrated {value:.3f}" in table[name] for name, value in image["calibrated"].items())
    assert "not calibrated" in table["Hernia"]
    note = next(line for line in lines if line.startswith("=> calibrated on "))
    assert all(part in note for part in ("val list é.txt", "1,234 images", "not calibrated: Hernia"))


def test_probabilities_and_decisions_stay_as_they_are(folder, predict, tmp_path):
    predict(folder / "chest.png", "--output_json", tmp_path / "without.json")
    predict(folder / "chest.png", "--calibrated", "--output_json", tmp_path / "with.json")
    without, calibrated = (
        json.loads((tmp_path / f"{name}.json").read_text())["images"][0] for name in ("without", "with")
    )
    assert "calibrated" not in without
    assert {**calibrated, "calibrated": None} == {**without, "calibrated": None}


def test_a_meaningless_number_is_not_calibrated_on_the_terminal(folder, predict):
    _, lines, _ = predict(folder / "noise.png", "--calibrated")
    assert all(MEANINGLESS in line for line in rows(lines).values())
    assert not any("calibrated" in line for line in rows(lines).values())


@pytest.mark.parametrize("flags", [["--thresholds", "old.json"], []])
def test_a_run_without_calibration_is_refused_before_any_output(folder, predict, tmp_path, flags, monkeypatch):
    monkeypatch.chdir(folder)
    if not flags:
        (folder / "model.thresholds.json").rename(tmp_path / "moved.json")
    try:
        code, _, errors = predict("chest.png", "--calibrated", *flags, "--output_csv", tmp_path / "p.csv")
    finally:
        if not flags:
            (tmp_path / "moved.json").rename(folder / "model.thresholds.json")
    assert code == 2
    assert len(errors) == 1
    assert errors[0].startswith("error: --calibrated: ")
    assert ("old.json" if flags else "model.thresholds.json") in errors[0]
    assert not (tmp_path / "p.csv").exists()

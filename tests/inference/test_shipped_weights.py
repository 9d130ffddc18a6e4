"""The network that stands in pretrained_models/: it is what its page says, and it works."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexnet.config import EvalConfig, LocalizationConfig, PredictConfig
from chexnet.evaluation.localization import localize
from chexnet.files import sha256
from chexnet.inference import Predictor, format_result, predict_files
from chexnet.inference.thresholds import thresholds_path
from chexnet.labels import CLASS_NAMES
from chexnet.model import checkpoint
from chexnet.phantom import make_dataset

FOLDER = Path(__file__).parents[2] / "pretrained_models"
CKPT = FOLDER / "phantom_densenet121.safetensors"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """Of people that the network has not seen."""
    folder = tmp_path_factory.mktemp("shipped") / "phantom"
    make_dataset(folder, 60, size=256, seed=2026, min_prevalence=0.2)
    return folder


def test_it_is_small_and_half_precision_and_the_page_has_its_checksum():
    assert CKPT.stat().st_size <= 15_000_000
    assert {array.dtype for array in checkpoint.read_weights(CKPT).values()} == {np.dtype("float16")}
    assert re.search(rf"`{CKPT.name}`.*`{sha256(CKPT)}`", (FOLDER / "README.md").read_text())


def test_it_is_the_default_of_no_run():
    for config in (EvalConfig(), PredictConfig(), LocalizationConfig(boxes="")):
        assert "phantom" not in config.ckpt


def test_it_looks_where_the_findings_are(phantoms):
    result = localize(
        LocalizationConfig(boxes=str(phantoms / "BBox_List.csv"), data_dir=str(phantoms / "images"), ckpt=str(CKPT))
    )
    assert len(result.scores.findings) == 8
    assert result.scores.mean[0].rate >= 0.7


def test_it_says_the_same_as_ever_of_the_same_drawing(phantoms):
    """Golden: four findings are drawn, and it was sure of three of them."""
    prediction = Predictor(CKPT, images=1).predict(phantoms / "images" / "00000001_001.png")
    drawn = {"Cardiomegaly": 0.99, "Edema": 0.97, "Emphysema": 0.76, "Fibrosis": 0.99}
    others = {"Atelectasis": 0.02, "Effusion": 0.06, "Nodule": 0.14, "Pneumonia": 0.02}
    for finding, probability in {**drawn, **others}.items():
        assert prediction.probability(finding) == pytest.approx(probability, abs=0.01), finding
    assert set(prediction.top_k(4)) == set(drawn)


EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
DRAWN = {
    "normal": set(),
    "effusion": {"Effusion", "Pleural_Thickening", "Hernia"},
    "pneumothorax": {"Cardiomegaly", "Pneumothorax", "Pleural_Thickening"},
}


def test_its_operating_points_are_its_own():
    found = json.loads(thresholds_path(CKPT).read_text())
    assert found["ckpt_sha256"] == sha256(CKPT)
    assert found["crops"] == 10


def test_it_finds_what_is_drawn_in_the_examples_and_says_of_each_what_it_is_not():
    config = PredictConfig(ckpt=str(CKPT), device="cpu")
    results = list(predict_files(config, [str(EXAMPLES)]))
    found = {Path(one.prediction.name).stem: set(one.prediction.present(one.thresholds)) for one in results}
    assert found == DRAWN
    assert all(one.prediction.meaningful for one in results)
    notice = json.loads(CKPT.with_suffix(".json").read_text())["notice"]
    assert notice.startswith("Trained on synthetic images only")
    assert all(f"  notice: {notice}" in format_result(one, top=1).splitlines() for one in results)


def test_the_examples_are_small_and_their_page_says_what_is_in_them():
    page = (EXAMPLES / "README.md").read_text()
    for name, findings in DRAWN.items():
        path = EXAMPLES / f"{name}.png"
        assert path.stat().st_size < 150_000
        assert (Image.open(path).size, Image.open(path).mode) == ((512, 512), "L")
        row = next(line for line in page.splitlines() if f"`{name}.png`" in line)
        assert set(re.findall("|".join(CLASS_NAMES), row)) == findings

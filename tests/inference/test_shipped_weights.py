"""The network in pretrained_models/: it works, and its page describes it correctly."""

import json
import re
from collections.abc import Iterator
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


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHEXNET_GRAPH_CACHE", str(tmp_path_factory.mktemp("graphs")))
        yield


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """Phantoms of patients that were not used for training."""
    folder = tmp_path_factory.mktemp("shipped") / "phantom"
    make_dataset(folder, 40, size=256, seed=2026, min_prevalence=0.2)
    return folder


def test_it_is_small_half_precision_and_has_the_documented_checksum():
    assert CKPT.stat().st_size <= 15_000_000
    assert {array.dtype for array in checkpoint.read_weights(CKPT).values()} == {np.dtype("float16")}
    assert re.search(rf"`{CKPT.name}`.*`{sha256(CKPT)}`", (FOLDER / "README.md").read_text())


def test_it_is_never_the_default():
    for config in (EvalConfig(), PredictConfig(), LocalizationConfig(boxes="")):
        assert "phantom" not in config.ckpt


def test_its_maxima_lie_in_the_boxes(phantoms):
    boxes, images = str(phantoms / "BBox_List.csv"), str(phantoms / "images")
    result = localize(LocalizationConfig(boxes=boxes, data_dir=images, ckpt=str(CKPT), crops=1))
    assert len(result.scores.findings) == 8
    assert result.scores.mean[0].rate >= 0.7


def test_its_probabilities_for_a_phantom_have_not_changed(phantoms):
    """Golden values: the phantom has four findings, and three of them have high probabilities."""
    prediction = Predictor(CKPT, images=1).predict(phantoms / "images" / "00000001_001.png")
    present = {"Cardiomegaly": 0.99, "Edema": 0.97, "Emphysema": 0.76, "Fibrosis": 0.99}
    others = {"Atelectasis": 0.02, "Effusion": 0.06, "Nodule": 0.14, "Pneumonia": 0.02}
    for finding, probability in {**present, **others}.items():
        assert prediction.probability(finding) == pytest.approx(probability, abs=0.01), finding
    assert set(prediction.top_k(4)) == set(present)


EXAMPLES = Path(__file__).parents[2] / "examples" / "images"
DRAWN = {
    "normal": set(),
    "effusion": {"Effusion", "Pleural_Thickening", "Hernia"},
    "pneumothorax": {"Cardiomegaly", "Pneumothorax", "Pleural_Thickening"},
}


def test_its_operating_points_belong_to_it():
    found = json.loads(thresholds_path(CKPT).read_text())
    assert found["ckpt_sha256"] == sha256(CKPT)
    assert found["crops"] == 10


def test_it_finds_the_findings_of_the_examples_and_shows_its_disclaimer():
    config = PredictConfig(ckpt=str(CKPT), device="cpu")
    results = list(predict_files(config, [str(EXAMPLES)]))
    found = {Path(result.prediction.name).stem: set(result.prediction.present(result.thresholds)) for result in results}
    assert found == DRAWN
    assert all(result.prediction.meaningful for result in results)
    notice = json.loads(CKPT.with_suffix(".json").read_text())["notice"]
    assert notice.startswith("Trained on synthetic images only")
    assert all(f"  notice: {notice}" in format_result(result, top=1).splitlines() for result in results)


def test_the_examples_are_small_and_described_on_their_page():
    page = (EXAMPLES / "README.md").read_text()
    for name, findings in DRAWN.items():
        path = EXAMPLES / f"{name}.png"
        assert path.stat().st_size < 150_000
        assert (Image.open(path).size, Image.open(path).mode) == ((512, 512), "L")
        row = next(line for line in page.splitlines() if f"`{name}.png`" in line)
        assert set(re.findall("|".join(CLASS_NAMES), row)) == findings

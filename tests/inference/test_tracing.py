"""Number of files that a reader must open to follow one image."""

import sys
import threading
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from conftest import ROOT, make_folder
from PIL import Image

from chexnet import model
from chexnet.config import PredictConfig
from chexnet.inference import Predictor, predict_files
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw

MAX_FILES = 15


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    facts = {"resize": 40, "crop": 32, "classes": list(CLASS_NAMES)}
    checkpoint.save_checkpoint(CheXNet().state_dict(), path, facts)
    return path


def test_an_image_becomes_probabilities_in_few_files(ckpt, tmp_path):
    """Trace from the path of a PNG to `Prediction`; the checkpoint is loaded before."""
    Image.fromarray(draw([], 96, patient=0).image).save(tmp_path / "image.png")
    predictor = Predictor(ckpt, crops=1, device="cpu", images=1)
    predictor.load()
    entered: set[str] = set()

    def record(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(str(ROOT / "chexnet")) and code.co_flags & 1:  # 1: a function
            entered.add(code.co_filename)

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        prediction = predictor.predict(tmp_path / "image.png")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert np.isfinite(prediction.probabilities).all()
    assert len(entered) <= MAX_FILES, sorted(entered)


def test_predictions_open_the_checkpoint_once(ckpt, tmp_path, monkeypatch):
    opened = []
    open_checkpoint = model.open_checkpoint
    monkeypatch.setattr(model, "open_checkpoint", lambda *args: opened.append(args) or open_checkpoint(*args))
    images, _ = make_folder(tmp_path, 2)
    config = PredictConfig(ckpt=str(ckpt), crops=1, device="cpu", cam=str(tmp_path / "cam"))
    assert len(list(predict_files(config, [str(images)]))) == 2
    assert len(opened) == 1

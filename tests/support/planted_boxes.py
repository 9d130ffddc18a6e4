"""Images with a bright patch, and an engine whose class maps show it."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from chexnet import model
from chexnet.config import LocalizationConfig
from chexnet.evaluation.localization.boxes import BOX_SPACE
from chexnet.inference import engines
from chexnet.labels import CLASS_NAMES
from chexnet.model import checkpoint
from chexnet.model.backbones import FeatureGrid

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
BRIGHT = (320, 512, 192, 128)
"""The bright patch in the images of `planted`, x y w h in the coordinates of box files."""


class BrightnessEngine:
    """Engine whose maps are the mean brightness of 32 x 32 pixels minus 60; for Edema, the opposite."""

    preferred_batch_size = 20

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.batch_sizes.append(len(images))
        side = images.shape[-1] // 32
        cells = images.reshape(len(images), side, 32, side, 32).mean(axis=(2, 4), dtype=np.float32) - 60
        maps = np.repeat(cells[:, None], len(CLASS_NAMES), axis=1) / 10
        maps[:, CLASS_NAMES.index("Edema")] *= -1
        return maps


@pytest.fixture
def engine(monkeypatch):
    """Replace the engine and the network by ones of known class maps."""
    compiled = BrightnessEngine()
    spec = SimpleNamespace(description="brightness", compile=lambda network, crop, maps: compiled)
    monkeypatch.setattr(engines, "select_engine", lambda *_: spec)
    bias = np.linspace(-1, 1, len(CLASS_NAMES), dtype=np.float32)
    network = SimpleNamespace(bias=lambda: bias, supports_cam=True, grid=FeatureGrid())
    monkeypatch.setattr(model.Checkpoint, "build_network", lambda opened: network)
    return compiled


@pytest.fixture
def planted(tmp_path, engine):
    """Make images with a bright patch (`dark.png` has none), and return a function from boxes to a configuration."""
    (tmp_path / "images").mkdir()
    for name, height, width in [("a.png", 512, 512), ("b.png", 384, 640), ("dark.png", 300, 300)]:
        pixels = np.full((height, width), 20, np.uint8)
        x, y, w, h = (value * full // BOX_SPACE for value, full in zip(BRIGHT, (width, height) * 2, strict=True))
        pixels[y : y + h, x : x + w] = 20 if name == "dark.png" else 250
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    checkpoint.save_weights({"w": np.zeros(1)}, tmp_path / "model.pdparams")
    checkpoint.write_metadata_file(tmp_path / "model.pdparams", {"resize": 256, "crop": 224})

    def config(rows, **changes):
        lines = (f"{name},{finding},{','.join(map(str, box))},,,\n" for name, finding, box in rows)
        (tmp_path / "boxes.csv").write_text(HEADER + "".join(lines))
        files = {"boxes": str(tmp_path / "boxes.csv"), "data_dir": str(tmp_path / "images")}
        return LocalizationConfig(**{**files, "ckpt": str(tmp_path / "model.pdparams"), "num_workers": 1, **changes})

    return config

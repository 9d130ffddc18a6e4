"""Small data and a small network that replaces DenseNet-121, for training runs of seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_network import Miniature as Miniature
from PIL import Image

from chexnet.config import TrainConfig
from chexnet.files import write_text
from chexnet.model.backbones import BACKBONES
from chexnet.training import checkpoint_callback


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/, and lists of 12 training and 6 validation images; none of the latter has Hernia.

    Images with findings are bright, the others are dark.
    """
    root = tmp_path_factory.mktemp("small_data")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        lines = []
        for index in range(count):
            positive = index % 2
            pixels = rng.integers(0, 100, (44, 44), dtype=np.uint8) + np.uint8(120 * positive)
            Image.fromarray(pixels).save(root / "images" / f"{split}{index}.png")
            labels = [positive] * 13 + [0 if split == "val" else positive]
            lines.append(f"{split}{index}.png {' '.join(map(str, labels))}")
        (root / f"{split}.txt").write_text("\n".join(lines))
    return root


def train_miniature(patch: pytest.MonkeyPatch) -> None:
    """Replace DenseNet-121 by the miniature, and the drawing of curves, which would take most of the time."""
    patch.setitem(BACKBONES, "densenet121", Miniature)
    patch.setattr(checkpoint_callback, "draw_curves", lambda rows, path: write_text(path, str(len(rows))))


@pytest.fixture
def small_run(small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainConfig]:
    """A function that returns `small_config` with changes, for runs of the miniature network."""
    train_miniature(monkeypatch)

    def configuration(**changes: Any) -> TrainConfig:
        return TrainConfig(**{**vars(small_config(small_data, tmp_path / "save")), **changes})

    return configuration


def small_config(small_data: Path, save_dir: Path) -> TrainConfig:
    """Return a configuration of two epochs of six steps."""
    return TrainConfig(
        data_dir=str(small_data / "images"),
        train_list=str(small_data / "train.txt"),
        val_list=str(small_data / "val.txt"),
        save_dir=str(save_dir),
        batch_size=2,
        epoch=2,
        decay_epochs=(1,),
        init="random",
        num_workers=1,
        resize=40,
        crop=32,
        device="cpu",
    )

"""Synthetic label files in NIH's format, and fixtures for the real ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from chexnet.labels import CLASS_NAMES

HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
HEADER_2020 = HEADER_2017.removesuffix(",")


@pytest.fixture(scope="session")
def nih_metadata() -> Path:
    """The folder with NIH's label file and official lists."""
    if not os.environ.get("CHEXNET_METADATA"):
        pytest.skip("CHEXNET_METADATA is not set")
    return Path(os.environ["CHEXNET_METADATA"])


@pytest.fixture(scope="session")
def reference_lists(nih_metadata: Path) -> dict[str, Path]:
    """The full lists of the 70/10/20 split, by name."""
    folder = nih_metadata.parent / "reference_lists"
    if not folder.exists():
        pytest.skip(f"{folder.name} is not next to CHEXNET_METADATA")
    return {name: folder / f"{name}_list.txt.gz" for name in ("train", "val", "test")}


def nih_row(name: str, findings: str, *, release: int = 2020) -> str:
    """Return the line of an image in NIH's label file."""
    patient, follow_up = name.split("_")
    values = f"{name},{findings},{int(follow_up[:3])},{int(patient)},58,M,PA,2682,2749,0.143,0.143"
    return values + "," * (release == 2017)


def label_file(path: Path, images: dict[str, str], release: int = 2020) -> Path:
    """Write a label file with the given findings per image."""
    lines = [HEADER_2017 if release == 2017 else HEADER_2020]
    lines += [nih_row(name, findings, release=release) for name, findings in images.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def some_patients(count: int, seed: int = 0) -> dict[str, str]:
    """Return images of `count` patients, one to five each, with random findings of 20 % (first) to 1 % (last)."""
    rng = np.random.default_rng(seed)
    chances = np.geomspace(0.2, 0.01, len(CLASS_NAMES))
    images = {}
    for patient in range(1, count + 1):
        for follow_up in range(rng.integers(1, 6)):
            found = [name for name, chance in zip(CLASS_NAMES, chances, strict=True) if rng.random() < chance]
            images[f"{patient:08d}_{follow_up:03d}.png"] = "|".join(found) or "No Finding"
    return images

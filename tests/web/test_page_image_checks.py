"""The page warns about the same images as the library, with the same sentences."""

import io

import numpy as np
from page_reader import compare
from PIL import Image

from chexnet import phantom
from chexnet.inference.image_checks import MEANINGLESS

RNG = np.random.default_rng(0)
CHEST = phantom.draw(("Effusion",), 260, seed=2).image


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def borders() -> dict[str, np.ndarray]:
    """Return a chest with borders around the limit, at every side."""
    images = {}
    for width in (10, 20, 21, 22, 23, 33, 60, 120):
        for side, pads in enumerate(
            (((width, 0), (0, 0)), ((0, width), (0, 0)), ((0, 0), (width, 0)), ((0, 0), (0, width)))
        ):
            images[f"border {width} {side}"] = np.pad(CHEST, pads, constant_values=width)
        images[f"frame {width}"] = np.pad(CHEST, width)
    return images


def exposures() -> dict[str, np.ndarray]:
    """Return a chest of every brightness and contrast, upright or not, and images of something else."""
    chest = CHEST.astype(float)
    images = {"inverted": 255 - chest, "mirrored": chest[:, ::-1], "rotated": chest.T, "upside down": chest[::-1]}
    for factor in (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.49, 0.5, 0.51, 0.7, 1.3, 2, 4):
        images[f"contrast {factor}"] = chest * factor
        images[f"inverted contrast {factor}"] = 255 - chest * factor
    for sigma in (5, 20, 60, 150):
        images[f"noise {sigma}"] = chest + RNG.normal(0, sigma, chest.shape)
        images[f"only noise {sigma}"] = 128 + RNG.normal(0, sigma, chest.shape)
    for levels in (2, 8, 62, 63, 64, 65, 66):
        images[f"levels {levels}"] = np.floor(chest / 256 * levels) * (255 / (levels - 1))
    ramp = np.linspace(0, 255, 300)
    images |= {
        "ramp": np.tile(ramp, (280, 1)),
        "column": np.tile(ramp[:, None], (1, 280)),
        "uniform": np.full((250, 250), 9),
    }
    return images


def shapes() -> dict[str, np.ndarray]:
    """Return parts of a chest of many sizes, among them ratios that are halfway between two of one digit."""
    large = np.kron(CHEST, np.ones((2, 2)))
    sizes = [
        (223, 224),
        (224, 223),
        (16, 16),
        (17, 140),
        (400, 266),
        (400, 267),
        (260, 104),
        (104, 260),
        (260, 80),
        (410, 164),
    ]
    return {f"{height} x {width}": large[:height, :width] for height, width in sizes}


def colors() -> dict[str, np.ndarray]:
    """Return a chest with a tint around the limit, and a picture of many colors."""
    tints = {f"tint {tint}": np.stack([CHEST, CHEST, CHEST * 0.9 + tint], axis=2) for tint in range(4, 28, 3)}
    return tints | {"photograph": RNG.integers(0, 256, (240, 300, 3)), "gray in color": np.stack([CHEST] * 3, axis=2)}


def test_warnings_are_those_of_the_library(tmp_path):
    images = {"chest": CHEST} | borders() | exposures() | shapes() | colors()
    files = {f"{name}.png": png(pixels) for name, pixels in images.items()}
    found, readings = compare(files, tmp_path)
    assert found == {}
    meaningless = [MEANINGLESS in reading.warnings for reading in readings]
    assert not meaningless[0]
    assert 20 < sum(meaningless) < len(files) - 20

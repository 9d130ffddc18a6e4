"""Build the page as a folder of static files that any HTTP server serves; the network runs in the browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from chexnet._types import LogFn
from chexnet.errors import InputError
from chexnet.files import atomic_directory, check_folder
from chexnet.inference import Predictor
from chexnet.inference.thresholds import Thresholds
from chexnet.inference.whole_image import save_whole_image
from chexnet.phantom import draw

PAGE = Path(__file__).parent / "page"
"""The page's own files, for both engines."""

WORKER = Path(__file__).parent / "worker"
"""Sources of the worker, with the packages that it is bundled with."""

GRAPHS = {"float16": "model.onnx", "float32": "model_float32.onnx"}
"""Precision of the weights -> file. The page loads the first; `?weights=float32` in its address chooses the other."""

MAP_SIDE = 64
"""Cells along the longer side of the class maps."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "normal": (),
    "effusion": ("Effusion",),
    "pneumothorax": ("Pneumothorax",),
    "cardiomegaly_mass": ("Cardiomegaly", "Mass"),
}
"""Name -> findings of the synthetic radiographs that the page offers."""

EXAMPLE_SIDE = 512
EXAMPLE_SEED = 2027

_EXAMPLE_LIST = "examples.json"
_LICENSES = "LICENSES.txt"
_INDEX = "index.html"


def page_names() -> list[str]:
    """Return the names of all files of a built page."""
    own = [path.name for path in _page_files()]
    return sorted([*own, *_WASM, "worker.js", *GRAPHS.values(), *map(_example_file, EXAMPLES), _EXAMPLE_LIST, _LICENSES])

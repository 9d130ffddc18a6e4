"""The programs of examples/consumers/ print the same table for the same image, whatever language and engine."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from shipped_graph import ShippedGraph, shipped_graph

from chexnet import phantom

FOLDER = ROOT / "examples" / "consumers"
MAX_LINES = 20

MAX_LOGIT_DIFFERENCE = 5e-6
"""Largest difference between the logits of two engines."""


def python_program(name: str, package: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
        return [sys.executable, str(FOLDER / name)]

    return command


def node_program(folder: Path) -> list[str]:
    if not shutil.which("node") or not (FOLDER / "node_modules").is_dir():
        pytest.skip("no Node.js or no packages: npm ci --ignore-scripts --prefix examples/consumers")
    return ["node", str(FOLDER / "onnxruntime_table.mjs")]


def cpp_program(folder: Path) -> list[str]:
    """Compile the program with the headers and libraries of OpenVINO's Python package."""
    spec = importlib.util.find_spec("openvino")
    if not shutil.which("g++") or not spec or not Path("/usr/include/png.h").exists():
        pytest.skip("no g++, no libpng-dev or no OpenVINO")
    package = Path(str(spec.origin)).parent
    libraries = sorted((package / "libs").glob("libopenvino.so*"))
    if not libraries or not (package / "include" / "openvino").is_dir():
        pytest.skip("OpenVINO without its C++ headers")
    program = folder / "openvino_table"
    command = ["g++", "-std=c++17", f"-I{package / 'include'}", str(FOLDER / "openvino_table.cpp"), "-o", str(program)]
    command += [str(libraries[0]), f"-Wl,-rpath,{package / 'libs'}", "-lpng"]
    subprocess.run(command, check=True)
    return [str(program)]


PROGRAMS = {
    "onnxruntime_table.py": python_program("onnxruntime_table.py", "onnxruntime"),
    "openvino_table.py": python_program("openvino_table.py", "openvino"),
    "onnxruntime_table.mjs": node_program,
    "openvino_table.cpp": cpp_program,
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ShippedGraph:
    return shipped_graph(tmp_path_factory)


def rounds_safely(probabilities: np.ndarray) -> bool:
    """Return whether engines that differ in their last bits print the same six digits."""
    millionths = probabilities.astype(np.float64) * 1e6
    distance = np.abs(millionths - np.floor(millionths) - 0.5)
    return bool((distance > 1e6 * MAX_LOGIT_DIFFERENCE * probabilities * (1 - probabilities) + 0.02).all())


@pytest.fixture(scope="module")
def picture(graph: ShippedGraph, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An image whose numbers are not halfway between two of six digits, and the Predictor's table of it."""
    for seed in range(100):
        pixels = phantom.draw((), 400, seed=seed).image[: 400 - seed]
        prediction = graph.predictor.predict(pixels)
        if rounds_safely(prediction.probabilities):
            break
    else:
        pytest.fail("no image is suitable")
    path = tmp_path_factory.mktemp("consumers") / "radiograph.png"
    Image.fromarray(pixels).save(path)
    return path, "".join(f"{name:20}{prediction.probability(name):.6f}\n" for name in prediction.classes)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_prints_the_table_of_the_predictor(name, graph, picture, tmp_path):
    path, expected = picture
    command = PROGRAMS[name](tmp_path)
    done = subprocess.run([*command, str(graph.path), str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_short(name):
    assert len((FOLDER / name).read_text(encoding="utf-8").splitlines()) <= MAX_LINES

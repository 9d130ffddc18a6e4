"""Compare the readers of the page, in JavaScript, with Python's on the same files."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from chexnet.data import images
from chexnet.errors import InputError
from chexnet.inference.image_checks import check_image

WORKER = ROOT / "chexnet" / "web" / "worker"
PROGRAM = ROOT / "tests" / "support" / "node_reader.mjs"
CROP = 224


@dataclass(frozen=True)
class Reading:
    """Result of a reader for a file: either the pixels uint8 [H, W] and the warnings, or the message of its refusal."""

    pixels: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    refusal: str | None = None


def skip_without_node() -> None:
    """Skip the test if Node or the packages of the worker are missing."""
    if not shutil.which("node") or not (WORKER / "node_modules").is_dir():
        pytest.skip(f"no Node.js or no packages: npm ci --ignore-scripts --prefix {WORKER.relative_to(ROOT)}")


def in_page(paths: list[Path], folder: Path, bits: int = 16) -> list[Reading]:
    """Read files with the modules of the page, in Node. Without Node or their packages, it skips the test."""
    skip_without_node()
    outputs = [folder / f"{number}.gray" for number in range(len(paths))]
    lines = [
        json.dumps({"path": str(path), "out": str(out), "bits": bits, "crop": CROP, "chest": True})
        for path, out in zip(paths, outputs, strict=True)
    ]
    (folder / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    command = ["node", str(PROGRAM), str(folder / "list.txt")]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [_to_reading(answer, out) for answer, out in zip(answers, outputs, strict=True)]


def predict_in_page(graph: Path, paths: list[Path], folder: Path) -> list[dict]:
    """Load a graph with the engine of the page, in Node, and predict files: the model, then a result for each file."""
    skip_without_node()
    (folder / "list.txt").write_text("\n".join(json.dumps({"path": str(path)}) for path in paths), encoding="utf-8")
    command = ["node", str(PROGRAM), str(folder / "list.txt"), str(graph)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _to_reading(answer: dict, out: Path) -> Reading:
    if "error" in answer:
        return Reading(refusal=answer["error"])
    pixels = np.fromfile(out, np.uint8).reshape(answer["height"], answer["width"])
    return Reading(pixels, tuple(answer["warnings"]))


def in_python(path: Path, bits: int = 16) -> Reading:
    """Read a file with the library."""
    try:
        image = images.open_image(path, bits)
    except InputError as error:
        return Reading(refusal=str(error).removeprefix(f"{path}: "))
    return Reading(np.asarray(images.to_gray(image)), check_image(image, CROP))


def save_all(contents: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Save files under their names, and return their paths."""
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def differences(contents: Mapping[str, bytes], folder: Path, bits: int = 16) -> dict[str, str]:
    """Return the files that the page reads in another way than Python, with what differs.

    The page may refuse what Python reads: such files are named, too.
    """
    return compare(contents, folder, bits)[0]


def compare(contents: Mapping[str, bytes], folder: Path, bits: int = 16) -> tuple[dict[str, str], list[Reading]]:
    """Return the `differences` of files, and how the page reads each."""
    paths = save_all(contents, folder)
    readings = in_page(paths, folder, bits)
    found = {}
    for path, page in zip(paths, readings, strict=True):
        python = in_python(path, bits)
        if page.refusal or python.refusal:
            if not page.refusal:
                found[path.name] = f"read, but Python refuses it: {python.refusal}"
            elif not python.refusal:
                found[path.name] = f"refused: {page.refusal}"
        elif not np.array_equal(page.pixels, python.pixels):
            found[path.name] = "other pixels"
        elif page.warnings != python.warnings:
            found[path.name] = f"warnings {page.warnings}, expected {python.warnings}"
    return found, readings

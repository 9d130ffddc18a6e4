"""Shared fixtures: small radiographs and lists, and the folder of NIH images if there is one."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import hypothesis
import numpy as np
import pytest
from PIL import Image

from chexnet.data.lists import format_list
from chexnet.labels import N_CLASSES

pytest_plugins = [
    *("label_files", "launcher", "miniature", "half_precision", "fake_gpu", "mounts", "faults.nursery", "originals"),
    *("torch_layouts", "web_server", "api_server", "planted_boxes", "dicom_studies", "small_backbones", "real_run"),
]

ROOT = Path(__file__).parent.parent

# No test writes to the user's cache folder. Tests of the graph cache have their own folders.
os.environ["CHEXNET_GRAPH_CACHE"] = "off"

# A background job or nohup ignores signals. The programs that tests start would inherit that; a handler they do not.
for _name in ("SIGHUP", "SIGINT"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), lambda *_: None)

# The duration of a test depends on the disk and on other load of the machine.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def load_script(path: str) -> ModuleType:
    """Import a script of the repository by its path."""
    name = "script_" + path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(path: str, *arguments: str) -> int:
    """Run a script of the repository in this process and return its exit code."""
    return load_script(path).main(list(arguments))


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python in a new process with additional environment variables; its output is bytes."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    return Path(os.environ[variable])


@pytest.fixture(scope="session")
def nih_sample() -> Path:
    """Return the folder with images/ and lists/ of real radiographs."""
    return _folder("CHEXNET_SAMPLE")


def write_png(path: Path, size: tuple[int, int] = (40, 48), seed: int = 0) -> None:
    """Write a gray PNG of random pixels; `size` is height x width."""
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_folder(
    root: Path, count: int, name: str = "list.txt", sizes: Sequence[tuple[int, int]] = ((40, 48),)
) -> tuple[Path, Path]:
    """Write random images to `images/`, and a list of them with positives and negatives of every class."""
    names = [f"{Path(name).stem}_{index:03d}.png" for index in range(count)]
    for index, image in enumerate(names):
        write_png(root / "images" / image, sizes[index % len(sizes)], seed=index)
    labels = (np.arange(count)[:, None] + np.arange(N_CLASSES)) % 2
    (root / name).write_text(format_list(names, labels))
    return root / "images", root / name


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Return `make_folder` for a temporary folder."""
    return partial(make_folder, tmp_path)

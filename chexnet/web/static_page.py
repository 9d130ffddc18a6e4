"""Build the page as a folder of static files that any HTTP server serves; the network runs in the browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from PIL import Image

from chexnet._types import LogFn
from chexnet.errors import InputError
from chexnet.files import atomic_directory, check_folder
from chexnet.inference import Predictor, engines
from chexnet.inference.thresholds import Thresholds
from chexnet.inference.whole_image import save_whole_image
from chexnet.phantom import draw
from chexnet.web import package_licenses

PAGE = Path(__file__).parent / "page"
"""The page's own files, for both engines."""

WORKER = Path(__file__).parent / "worker"
"""Sources of the worker, and the npm packages that it is bundled with."""

GRAPHS: dict[Literal["float16", "float32"], str] = {"float16": "model.onnx", "float32": "model_float32.onnx"}
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

_INDEX = "index.html"
_EXAMPLE_LIST = "examples.json"
_LICENSES = "LICENSES.txt"
_BUNDLE = (
    "worker.js",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "libjpegturbowasm_decode.wasm",
    "charlswasm_decode.wasm",
    "openjpegwasm_decode.wasm",
)
"""Files that build.mjs writes."""


def check_output(folder: str | Path, protected: list[Path]) -> None:
    """Check before long work that the page can be built: the ONNX and npm packages, Node.js and the folder.

    Args:
        folder: see `build_page`.
        protected: files that the run reads.

    Raises:
        InputError: something is missing, or the folder cannot be replaced, see `chexnet.files.check_folder`.
    """
    if why := engines.why_no_onnx():
        raise InputError(f"the page needs ONNX: {why.partition(';')[0]}")
    if not shutil.which("node"):
        raise InputError("node: not found; the page needs Node.js 18 or newer to bundle its programs (nodejs.org)")
    if not (WORKER / "node_modules" / "esbuild").is_dir():
        raise InputError(f"{WORKER / 'node_modules'}: not found; run `npm ci --prefix {WORKER}`")
    check_folder(folder, page_names(), protected)


def page_names() -> set[str]:
    """Return the names of all files of a built page."""
    own = {path.name for path in _own_files()}
    return own | {*_BUNDLE, *GRAPHS.values(), *map(_example_file, EXAMPLES), _EXAMPLE_LIST, _LICENSES}


def build_page(predictor: Predictor, folder: str | Path, thresholds: Thresholds | None, log: LogFn) -> None:
    """Write the page for a checkpoint. The folder is complete, or unchanged if an error is raised.

    Args:
        predictor: the network, with the crops that the page will use.
        folder: new or empty folder, or an earlier page, which is replaced.
        thresholds: operating points and calibration, if any.
        log: receives lines for the user.

    Raises:
        InputError: see `check_output`; the graph cannot be made; or the worker cannot be bundled.
    """
    with atomic_directory(folder, page_names()) as new:
        for path in _own_files():
            shutil.copyfile(path, new / path.name)
        (new / _INDEX).write_text(_static_index((PAGE / _INDEX).read_text(encoding="utf-8")), encoding="utf-8")
        _bundle(new)
        for weights, name in GRAPHS.items():
            maps = MAP_SIDE if predictor.network.supports_cam else None
            verified = save_whole_image(predictor, new / name, thresholds=thresholds, maps=maps, weights=weights)
            log(f"=> {name}: {weights} weights, probabilities differ by at most {verified.largest:.1e} on phantoms")
        _draw_examples(new)
        (new / _LICENSES).write_text(package_licenses.collect(WORKER), encoding="utf-8")
        check_references(new)


def check_references(folder: Path) -> None:
    """Check that the page loads nothing but its own files.

    Raises:
        InputError: a file refers to another server or to a missing file, or the page would allow that.
    """
    html = (folder / _INDEX).read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    if (
        not policy
        or not policy[1].startswith("default-src 'none';")
        or re.search(r"\*|https?:|//|unsafe-inline", policy[1])
    ):
        raise InputError(f"{folder / _INDEX}: expected a Content-Security-Policy without other servers")
    for path in [folder / name for name in (_INDEX, *(path.name for path in _own_files()))]:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"""(?:\b(?:from|import) ?\(?|\b(?:src|href)=|\burl\()["']([^"']+)["']""", text)
        for name in (name for name in named if not name.startswith("data:")):
            if not (folder / name.removeprefix("./")).is_file():
                raise InputError(f"{path}: refers to {name}, expected one of the page's own files")


def _own_files() -> list[Path]:
    return sorted(
        path for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js") and path.stem != "server_engine"
    )


def _static_index(html: str) -> str:
    """Choose the engine in the browser, and name the list of examples."""
    engine = '<meta name="engine" content="server">'
    assert engine in html
    local = engine.replace("server", "local")
    return html.replace(engine, f'{local}\n<meta name="examples" content="{_EXAMPLE_LIST}">')


def _bundle(folder: Path) -> None:
    """Bundle the worker with the npm packages."""
    done = subprocess.run(["node", str(WORKER / "build.mjs"), str(folder)], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise InputError(
            f"{WORKER}: cannot be bundled ({_last_line(done.stderr)}); run `npm ci --prefix {WORKER}` and try again"
        )


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if "Error" in line), "no message")


def _example_file(name: str) -> str:
    return f"example_{name}.png"


def _draw_examples(folder: Path) -> None:
    entries = []
    for patient, (name, findings) in enumerate(EXAMPLES.items()):
        radiograph = draw(findings, EXAMPLE_SIDE, seed=EXAMPLE_SEED, patient=patient)
        Image.fromarray(radiograph.image).save(folder / _example_file(name), optimize=True)
        entries.append({"file": _example_file(name), "findings": list(findings)})
    (folder / _EXAMPLE_LIST).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")

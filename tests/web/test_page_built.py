"""The built page in a browser: its numbers are those of predict.py, and it loads nothing from elsewhere."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from browser import Browser
from dicom_files import dataset
from PIL import Image
from static_server import StaticServer, serving

from chexnet.files.shipped_weights import SHIPPED
from chexnet.inference import Prediction, Predictor, engines
from chexnet.inference.thresholds import Thresholds
from chexnet.phantom import draw

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def predictor(api_ckpt) -> Predictor:
    """A small network; one test has the shipped one."""
    return Predictor(api_ckpt, device="cpu", crops="dense", images=1)


def build(predictor: Predictor, thresholds: Thresholds | None, site: Path) -> Path:
    """Build a page in a folder below a site."""
    if why := engines.why_no_onnx():
        pytest.skip(why)
    from chexnet.inference.whole_image import Verification, graph_writer
    from chexnet.web import static_page

    if not shutil.which("node") or not (static_page.WORKER / "node_modules").is_dir():
        pytest.skip("no Node.js, or no packages: run npm ci --prefix chexnet/web/worker")
    folder = site / "research" / "page"
    folder.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:  # other tests compare the graphs in Python's engines
        patch.setattr(graph_writer, "verify", lambda *_: Verification({"none": 0.0}, ()))
        static_page.build_page(predictor, folder, thresholds, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def built(predictor, api_thresholds, tmp_path_factory) -> Path:
    return build(predictor, api_thresholds, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile"), "--lang=en-US") as page:
        yield page


@contextmanager
def opened(folder: Path, page: Browser, query: str = "") -> Iterator[StaticServer]:
    """Open a page at an address of its own and wait until the network is loaded, or cannot be."""
    with serving(folder.parent.parent) as server:
        page.open(f"{server.origin}/research/page/?lang=en{query}")
        page.wait("document.getElementById('status').textContent === 'Ready' ||"
                  "document.getElementById('failure').textContent")  # fmt: skip
        yield server


def results(page: Browser, files: list[Path]) -> list[dict]:
    """Add files, and return what the page shows for each."""
    page.choose_file("#files", *files)
    page.wait(
        f"document.querySelectorAll('.tile:is([data-state=done], [data-state=failed])').length === {len(files)}", 300
    )
    return [shown(page, number) for number in range(len(files))]


def shown(page: Browser, number: int) -> dict:
    """Select an image, and return what the page shows."""
    code = """((number) => {
      document.querySelectorAll(".tile input")[number].click();
      const all = (selector) => [...document.querySelectorAll(selector)].map((node) => node.textContent);
      return { error: document.getElementById("error").textContent, findings: all(".finding .name"),
        values: all(".finding .value"), decisions: all(".finding .decision"), warnings: all(".warnings li") };
    })"""
    return page.evaluate(f"{code}({number})")


def saved(page: Browser, folder: Path) -> dict:
    """Save the results as JSON and return them."""
    page._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.evaluate("document.getElementById('save-json').click()")
    page.wait_for(lambda: (folder / "predictions.json").exists())
    return json.loads((folder / "predictions.json").read_text(encoding="utf-8"))


def largest_difference(content: dict, predictions: list[Prediction]) -> float:
    """Compare names, warnings and decisions, and return the largest difference of the probabilities."""
    assert [image["image"] for image in content["images"]] == [Path(prediction.name).name for prediction in predictions]
    differences = []
    for image, prediction in zip(content["images"], predictions, strict=True):
        assert image["warnings"] == list(prediction.warnings), image["image"]
        assert list(image["probabilities"]) == list(prediction.classes)
        differences.append(np.abs(np.array([*image["probabilities"].values()]) - prediction.probabilities).max())
    return float(max(differences))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> list[Path]:
    """Images of every kind that the page reads; the last is none that the network is for."""
    folder = tmp_path_factory.mktemp("phantoms")
    chest, other = (draw(findings, 300, patient=n).image for n, findings in enumerate([["Mass"], ["Effusion"]]))
    Image.fromarray(chest).save(folder / "a.png")
    Image.fromarray(other[:, :260]).save(folder / "b.jpg", quality=90)
    Image.fromarray(chest[:250].astype(np.uint16) * 257).save(folder / "c 16.png")
    Image.merge("RGB", [Image.fromarray(chest)] * 3).save(folder / "d.png")
    samples = other.astype(np.uint16) * 16
    dataset(samples, BitsStored=12, ViewPosition="PA").save_as(folder / "e.dcm", enforce_file_format=True)
    inverse = dataset(4095 - samples, BitsStored=12, PhotometricInterpretation="MONOCHROME1", PatientID="胸")
    inverse.save_as(folder / "f 片.dcm", enforce_file_format=True)
    Image.fromarray(255 - chest).save(folder / "g.png")
    return sorted(folder.iterdir())


def test_numbers_and_warnings_of_phantoms_are_those_of_the_predictor(
    built, predictor, api_thresholds, phantoms, tmp_path
):
    expected = [predictor.predict(path) for path in phantoms]
    with Browser(tmp_path / "profile", "--lang=en-US") as page, opened(built, page, "&weights=float32") as server:
        found = results(page, phantoms)
        content = saved(page, tmp_path)
        errors = page.errors
        requests = page.requested(server.origin)
    assert largest_difference(content, expected) < 1e-5
    for image, prediction in zip(found, expected, strict=True):
        ranked = prediction.ranked(api_thresholds if prediction.meaningful else None)
        assert image["findings"] == [name.replace("_", " ") for name in ranked]
        assert image["values"] == [f"{prediction.probability(name):.3f}" for name in ranked]
        decided = {name: "present" if name in prediction.present(api_thresholds) else "absent" for name in ranked}
        assert image["decisions"] == [decided[name] if prediction.meaningful else "meaningless" for name in ranked]
    assert [image["decisions"] == ["meaningless"] * 3 for image in found] == [False] * 6 + [True]
    assert errors == []
    assert server.missing == []
    for name in ("worker.js", "model_float32.onnx", "ort-wasm-simd-threaded.wasm"):
        assert f"{server.origin}/research/page/{name}" in requests
    assert [address for address in requests if not address.startswith((server.origin, "blob:", "data:"))] == []


def test_the_weights_that_are_loaded_first_give_nearly_the_same(built, browser, predictor, phantoms, tmp_path):
    expected = [predictor.predict(path) for path in phantoms[:3]]
    assert (built / "model.onnx").stat().st_size < 0.6 * (built / "model_float32.onnx").stat().st_size
    with opened(built, browser) as server:
        results(browser, phantoms[:3])
        assert largest_difference(saved(browser, tmp_path), expected) < 0.01
        assert not any("float32" in request for request in server.requests)


def test_the_shipped_network_gives_the_numbers_of_the_predictor(browser, phantoms, tmp_path_factory):
    predictor = Predictor(str(SHIPPED), device="cpu", crops=1, images=1)
    page = build(predictor, None, tmp_path_factory.mktemp("site"))
    expected = [predictor.predict(path) for path in phantoms[:2]]
    for query, tolerance in (("&weights=float32", 1e-5), ("", 0.01)):
        with opened(page, browser, query):
            results(browser, phantoms[:2])
            assert largest_difference(saved(browser, tmp_path_factory.mktemp("saved")), expected) < tolerance


@pytest.mark.real_data
def test_numbers_of_radiographs_are_those_of_the_predictor(built, browser, predictor, nih_sample, tmp_path):
    paths = sorted((nih_sample / "images").iterdir())
    files = sorted({*paths[::25], *[path for path in paths if Image.open(path).mode == "RGBA"]})
    with opened(built, browser, "&weights=float32"):
        results(browser, files)
        assert largest_difference(saved(browser, tmp_path), [predictor.predict(path) for path in files]) < 1e-5


def test_what_is_no_radiograph_gives_a_sentence_and_the_others_go_on(built, browser, phantoms, tmp_path):
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "truncated.png").write_bytes(phantoms[0].read_bytes()[:-400])
    header = dataset(np.zeros((32, 32), np.uint8))
    del header.PixelData
    header.save_as(tmp_path / "no pixels.dcm", enforce_file_format=True)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "scan.tif")
    pydicom.dcmread(phantoms[4]).save_as(tmp_path / "readable.dcm")
    names = ["text.txt", "truncated.png", "no pixels.dcm", "scan.tif", "readable.dcm"]
    with opened(built, browser):
        found = results(browser, [tmp_path / name for name in names])
    assert [bool(image["error"]) for image in found] == [True] * 4 + [False]
    for image in found[:4]:
        assert len(image["error"]) < 300
        assert "\n" not in image["error"]
        assert str(tmp_path) not in image["error"]


def missing_graph(page: Path) -> None:
    (page / "model.onnx").unlink()


def other_version(page: Path) -> None:
    import onnx

    model = onnx.load(page / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == "schema":
            entry.value = "99"
    onnx.save(model, page / "model.onnx")


def no_simd(page: Path) -> None:
    worker = page / "worker.js"
    worker.write_text("WebAssembly.validate = () => false;" + worker.read_text(encoding="utf-8"), encoding="utf-8")


def no_worker(page: Path) -> None:
    (page / "worker.js").unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(missing_graph, "model.onnx"), (other_version, "layout 99"), (no_simd, "SIMD"), (no_worker, "worker.js")],
)
def test_a_page_that_cannot_work_says_so_in_one_sentence(built, browser, tmp_path, phantoms, change, sentence):
    folder = tmp_path / "research" / "page"
    shutil.copytree(built, folder)
    change(folder)
    with opened(folder, browser):
        message = browser.evaluate("document.getElementById('failure').textContent")
        assert sentence in message
        found = results(browser, phantoms[:2])
    assert [image["error"] for image in found] == [message] * 2

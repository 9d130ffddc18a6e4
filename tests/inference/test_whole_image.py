"""Whole-image graphs: they equal the library, describe themselves, and are written only if they do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shipped_graph import shipped_graph

from chexnet.config import CPUS
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference import Predictor, engines, graph_export, onnx_sessions
from chexnet.inference.thresholds import OperatingPoint, Thresholds
from chexnet.inference.whole_image import save_whole_image, verification
from chexnet.inference.whole_image.graph_writer import decision_limits
from chexnet.inference.whole_image.verification import Run, load_graph, phantom_images
from chexnet.metrics.platt import PlattScaling
from chexnet.model import CheXNet, checkpoint
from chexnet.model.backbones import BACKBONES, FeatureGrid, GlobalPoolBackbone, register_backbone
from chexnet.phantom import draw

CLASSES = ("Edema", "Left <lung>", "肺 右")
THRESHOLDS = Thresholds(
    "for a test",
    {name: OperatingPoint(value, 0.8, 0.7) for name, value in zip(CLASSES, (0.3, 0.5, 0.7), strict=True)},
    calibration={"Edema": PlattScaling(0.5, -1.0), "肺 右": PlattScaling(2.0, 0.25)},
    validation_list="val.txt",
)
SHAPES = [(72, 72), (72, 90), (91, 73), (40, 60), (231, 80), (80, 231), (16, 160), (401, 399)]


@dataclass
class Case:
    predictor: Predictor
    path: Path
    maps: int | str
    runs: list[Run]


@pytest.fixture(scope="module", autouse=True)
def _needs_onnx():
    if why := engines.why_no_onnx():
        pytest.skip(why)


class SmallNet(GlobalPoolBackbone):
    """Two convolutions; each cell of the feature map sees 16 x 16 pixels."""

    grid = FeatureGrid(stride=16, offset=8)
    min_input_size = 16
    head_prefixes = ("classifier.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.stem = paddle.nn.Sequential(paddle.nn.Conv2D(3, 32, 4, stride=4), paddle.nn.ReLU())
        self.stage = paddle.nn.Sequential(paddle.nn.Conv2D(32, 512, 4, stride=4), paddle.nn.ReLU())
        self.classifier = paddle.nn.Linear(512, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return self.stage(self.stem(images))


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Iterator[Path]:
    """A small network with spread probabilities and its own classes, sizes and normalization."""
    register_backbone("small_net")(SmallNet)
    yield save_network(tmp_path_factory.mktemp("ckpt") / "model.pdparams", "small_net")
    del BACKBONES["small_net"]


def save_network(path: Path, backbone: str, **description) -> Path:
    paddle.seed(5)
    checkpoint.save(CheXNet(len(CLASSES), backbone).state_dict(), path)
    facts = {"backbone": backbone, "classes": CLASSES, "resize": 72, "crop": 64, "normalization": "minus_one_one"}
    checkpoint.write_metadata_file(path, {**facts, "notice": "Of a test.", "map_limit": 20.0, **description})
    return path


@pytest.fixture(scope="module", params=[(10, 24), (1, "image"), ("dense", "image"), ("dense", 24)], ids=str)
def case(request, ckpt, tmp_path_factory) -> Case:
    crops, maps = request.param
    predictor = Predictor(ckpt, crops=crops, device="cpu", images=1)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    loaded = []
    with pytest.MonkeyPatch.context() as patch:  # the engines that it is verified in serve the tests, too
        patch.setattr(verification, "load_graph", lambda model: loaded.append(load_graph(model)) or loaded[-1])
        save_whole_image(predictor, path, thresholds=THRESHOLDS, maps=maps)
    ((runs, _),) = loaded
    return Case(predictor, path, maps, list(runs.values()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_graph_computes_what_the_library_does(case, shape):
    chest = draw(["Mass"], 128, patient=1).image
    image = np.asarray(Image.fromarray(chest).resize(shape[::-1]))
    expected = case.predictor.predict(image)
    for outputs in (run(image) for run in case.runs):
        np.testing.assert_allclose(outputs["probability"], expected.probabilities, rtol=0, atol=2e-6)
        present = [name for name, present in zip(CLASSES, outputs["present"], strict=True) if present]
        assert present == [name for name in CLASSES if name in expected.present(THRESHOLDS)]
        calibrated = expected.calibrated(THRESHOLDS.calibration)
        wanted = [calibrated.get(name, np.nan) for name in CLASSES]
        np.testing.assert_allclose(outputs["calibrated"], wanted, rtol=0, atol=1e-5)
        size = image.shape if case.maps == "image" else outputs["maps"].shape[1:]
        maps = np.stack([expected.cam(name, size) for name in CLASSES])
        np.testing.assert_allclose(outputs["maps"], maps, rtol=0, atol=1e-4 * np.nanmax(np.abs(maps)))
        if case.maps != "image":
            assert max(size) == case.maps
            assert abs(size[0] * shape[1] - size[1] * shape[0]) <= max(shape) / 2  # the shape of the image


def test_an_image_that_the_library_refuses_has_no_numbers(case):
    for shape in ((15, 40), (30, 330)):
        with pytest.raises(InputError):
            case.predictor.predict(np.zeros(shape, np.uint8))
        for outputs in (run(np.zeros(shape, np.uint8)) for run in case.runs):
            assert all(np.isnan(outputs[name]).all() for name in ("probability", "calibrated", "maps"))
            assert not outputs["present"].any()


def test_the_file_is_valid_and_describes_itself(case):
    import onnx

    model = onnx.load(case.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version >= 17) for entry in model.opset_import] == [("", True)]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["classes"]) == list(CLASSES)
    assert json.loads(facts["thresholds"])["Edema"] == {"threshold": 0.3, "sensitivity": 0.8, "specificity": 0.7}
    assert json.loads(facts["calibration"])["肺 右"] == {"slope": 2.0, "offset": 0.25}
    np.testing.assert_array_equal(json.loads(facts["bias"]), case.predictor.network.bias())
    assert float(facts["cam_max"]) == 20
    assert facts["disclaimer"] == "Of a test."
    assert facts["ckpt_sha256"] == sha256(case.predictor.ckpt)
    assert facts["crops"] == str(case.predictor.crops)
    assert (facts["resize"], facts["crop"], facts["normalization"]) == ("72", "64", "minus_one_one")
    assert max(json.loads(facts["largest_difference"]).values()) < 1e-5


def test_onnx_runtime_loads_it_without_a_warning(case):
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(case.path)!r}, providers=['CPUExecutionProvider'])"
    environment = {"PATH": "", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_color_and_half_the_size(ckpt, tmp_path):
    predictor = Predictor(ckpt, crops=1, device="cpu", images=1)
    whole, half = tmp_path / "a.onnx", tmp_path / "b.onnx"
    save_whole_image(predictor, whole)
    done = save_whole_image(predictor, half, channels=3, weights="float16")
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    assert done.largest < 0.01
    color = np.random.default_rng(0).integers(0, 256, (120, 97, 3), np.uint8)
    gray = np.asarray(Image.fromarray(color).convert("L"))
    for run in load_graph(half.read_bytes())[0].values():
        outputs = run(color)
        assert not {"present", "calibrated", "maps"} & outputs.keys()
        np.testing.assert_allclose(outputs["probability"], predictor.predict(gray).probabilities, rtol=0, atol=0.01)


@given(
    threshold=st.floats(0, 1),
    steps=st.integers(-2, 2),
)
def test_decisions_are_exact_at_the_threshold(threshold, steps):
    probability = np.float32(threshold)
    for _ in range(abs(steps)):
        probability = np.nextafter(probability, np.float32(2 * np.sign(steps)))
    point = OperatingPoint(threshold, 1.0, 1.0)
    (limit,) = decision_limits(("a",), Thresholds("", {"a": point}))
    assert limit.dtype == np.float32
    assert (probability >= limit) == point.decides(float(probability))


def test_a_graph_that_computes_something_else_is_not_written(ckpt, tmp_path, monkeypatch):
    predictor = Predictor(ckpt, crops=1, device="cpu", images=1)
    original = graph_export.save_onnx
    other = CheXNet(len(CLASSES), "small_net")
    monkeypatch.setattr(graph_export, "save_onnx", lambda network, *rest: original(other, *rest))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    with pytest.raises(InputError, match=r"model\.pdparams: .* differ"):
        save_whole_image(predictor, path)
    assert path.read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_what_a_checkpoint_cannot_do_is_refused(tmp_path):
    predictor = Predictor(save_network(tmp_path / "a.pdparams", "lenet"), device="cpu", images=1)
    with pytest.raises(InputError, match="lenet has no class maps"):
        save_whole_image(predictor, tmp_path / "a.onnx", maps="image")
    predictor.preprocessing = replace(predictor.preprocessing, resize=20, crop=16)
    with pytest.raises(InputError, match="resizes to 20 pixels, expected at least 28"):
        save_whole_image(predictor, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.real_data
def test_real_radiographs_of_any_shape(nih_sample, tmp_path_factory):
    """With the shipped network and the same engine; some of the radiographs are cut to odd shapes."""
    graph = shipped_graph(tmp_path_factory)
    session = onnx_sessions.create_session(str(graph.path), CPUS)
    predictor = Predictor(graph.predictor.ckpt, device="cpu", crops=1, engine="onnxruntime")
    for index, path in enumerate(sorted((nih_sample / "images").iterdir())[:8]):
        with Image.open(path) as image:
            width, height = [(1024, 1024), (371, 900), (1001, 250), (299, 801)][index % 4]
            pixels = np.asarray(image.convert("L").crop((0, 0, width, height)))
        expected = predictor.predict(pixels).probabilities
        (found,) = session.run(["probability"], {"image": pixels})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_phantoms_of_the_comparison_have_all_shapes():
    ratios = [image.shape[0] / image.shape[1] for image in phantom_images(256)]
    assert min(ratios) < 0.3
    assert max(ratios) > 2
    assert any(min(image.shape) < 256 for image in phantom_images(256))

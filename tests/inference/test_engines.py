import os
import shutil
import subprocess
import sys
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from conftest import ROOT
from threadpoolctl import threadpool_info

from chexnet import device, gpu_memory
from chexnet.config import ENGINES, PRECISIONS
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.inference import cam, engines, graph_export
from chexnet.inference.deployment import deploy
from chexnet.inference.engine_backends import PaddleInferenceEngine
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw

CROP = 64
TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-2}


@pytest.fixture(scope="module")
def network():
    """A random network with spread probabilities, so that a wrong one is noticed."""
    paddle.seed(3)
    network = CheXNet()
    head = network.densenet121.out[0]
    head.weight.set_value(head.weight * 8)
    return network


@pytest.fixture(scope="module")
def crops():
    """Two of the ten crops of each of five phantoms, uint8 [10, 1, CROP, CROP]."""
    ten = (Preprocessing(72, CROP).ten_crop(draw([], 72, patient=patient).image) for patient in range(5))
    return np.concatenate([crops[[0, 9]] for crops in ten])


@pytest.fixture(scope="module")
def expected(network, crops):
    probabilities = network.predict(crops)
    assert np.ptp(probabilities, axis=0).max() > 0.01
    assert np.ptp(probabilities, axis=1).min() > 0.5
    return probabilities


@pytest.fixture(scope="module")
def program(network, tmp_path_factory):
    """A function that writes `network` as a program of one kind, or returns it if it is already written."""
    return cache(lambda save, maps: save(network, tmp_path_factory.mktemp("program"), CROP, maps))


@pytest.fixture
def exported_once(network, program, monkeypatch):
    """Give all engines and precisions that read one kind of program copies of the same."""

    def copy(save, exported, folder, crop, maps=False, window=None):
        assert (exported, crop, window) == (network, CROP, None)
        path = program(save, maps)
        shutil.copytree(path.parent, folder, dirs_exist_ok=True)
        return folder / path.name

    for save in (graph_export.save_program, graph_export.save_logits_program):
        monkeypatch.setattr(graph_export, save.__name__, partial(copy, save))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_probabilities_of_eager_paddle(name, precision, network, crops, expected, exported_once):
    try:
        spec = engines.select_engine(name, precision)
    except InputError as error:
        pytest.skip(str(error))
    compiled = spec.compile(network, CROP)
    assert spec.description.startswith(f"{name} ")
    assert precision in spec.description
    for count in (1, 3, 37):
        order = np.random.default_rng(count).integers(0, len(crops), count)
        probabilities = compiled.predict(crops[order])
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected[order], rtol=0, atol=TOLERANCE[precision])
    np.testing.assert_array_equal(network.predict(crops), expected)  # the network is unchanged


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_class_maps_of_eager_paddle(name, precision, network, crops, expected, exported_once):
    try:
        spec = engines.select_engine(name, precision)
    except InputError as error:
        pytest.skip(str(error))
    maps = network.predict_cam(crops)
    assert maps.shape == (10, 14, CROP // 32, CROP // 32)
    compiled = spec.compile(network, CROP, maps=True)
    for count in (1, 3, 37):
        order = np.random.default_rng(count).integers(0, len(crops), count)
        found = compiled.predict(crops[order])
        assert found.dtype == np.float32
        tolerance = 10 * TOLERANCE[precision] * np.abs(maps).max()
        np.testing.assert_allclose(found, maps[order], rtol=0, atol=tolerance)
        probabilities = cam.probabilities(found, network.bias())
        np.testing.assert_allclose(probabilities, expected[order], rtol=0, atol=TOLERANCE[precision])


def test_on_a_gpu_class_maps_come_from_eager_paddle_in_passes_that_fit(network, crops, fake_gpu):
    fake_gpu.device, fake_gpu.free = "gpu", 10**9
    compiled = engines.EngineSpec("paddle", "float32", 1, "").compile(network, CROP, maps=True)
    assert compiled.preferred_batch_size == gpu_memory.crops_per_pass(CROP)
    fake_gpu.device = "cpu"
    np.testing.assert_array_equal(compiled.predict(crops), network.predict_cam(crops))


def test_a_pass_that_does_not_fit_is_one_line(network, crops, fake_gpu, monkeypatch):
    def exhausted(images):
        raise MemoryError("ResourceExhaustedError: Out of memory error on GPU 0. Cannot allocate 1.5GB memory on GPU 0")

    fake_gpu.device = "gpu"
    monkeypatch.setattr(network, "predict", exhausted, raising=False)
    compiled = engines.EngineSpec("paddle", "float32", 1, "").compile(network, CROP)
    with pytest.raises(InputError, match=f"GPU Fake: .*{len(crops)} crops: .*--batch_size"):
        compiled.predict(crops)


def test_auto_does_not_compile_for_few_crops(network, crops, monkeypatch):
    monkeypatch.setattr(graph_export, "save_program", lambda *_: pytest.fail("exported"))
    monkeypatch.setattr(graph_export, "save_logits_program", lambda *_: pytest.fail("exported"))
    compiled = engines.select_engine(crops=engines.EAGER_MAX_CROPS).compile(network, CROP)
    np.testing.assert_array_equal(compiled.predict(crops), network.predict(crops))
    assert type(engines.select_engine(crops=engines.EAGER_MAX_CROPS + 1)) is engines.EngineSpec
    assert type(engines.select_engine("paddle", crops=1)) is engines.EngineSpec


def test_auto_selects_the_first_installed_engine(monkeypatch):
    for missing, chosen in ((set(), "openvino"), ({"openvino", "onnxruntime"}, "paddle")):
        monkeypatch.setattr(engines, "find_spec", lambda name, missing=missing: None if name in missing else object())
        assert engines.select_engine("auto").engine == chosen


def test_a_missing_engine_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--engine openvino: .*pip install openvino"):
        engines.select_engine("openvino")


def test_a_precision_that_an_engine_lacks_is_refused():
    if engines.why_unavailable("onnxruntime"):
        pytest.skip(engines.why_unavailable("onnxruntime"))
    with pytest.raises(InputError, match="--precision bfloat16: "):
        engines.select_engine("onnxruntime", "bfloat16")


def test_paddle_on_a_cpu_without_bfloat16_refuses_it_before_the_export(monkeypatch):
    monkeypatch.setattr(paddle.base.core, "supports_bfloat16_fast_performance", lambda: False)
    with pytest.raises(InputError, match=r"--precision bfloat16: paddle .* use float32"):
        engines.select_engine("paddle", "bfloat16")


@pytest.mark.parametrize(
    ("has", "precisions"),
    [
        (["FP32", "INT8", "BIN", "EXPORT_IMPORT"], {"float32"}),  # AVX2 alone, and AVX-512 alone
        (["FP32", "BF16", "INT8"], {"float32", "bfloat16"}),  # AVX512_BF16
        (["FP32", "BF16", "FP16", "INT8"], {"float32", "bfloat16", "float16"}),  # AMX-FP16
    ],
)
def test_the_precisions_of_openvino_are_checked_before_the_export(monkeypatch, has, precisions):
    core = SimpleNamespace(get_property=lambda *key: has if key == ("CPU", "OPTIMIZATION_CAPABILITIES") else None)
    monkeypatch.setattr(engines, "why_unavailable", lambda name: "")
    monkeypatch.setattr(engines, "import_openvino", lambda: SimpleNamespace(Core=lambda: core))
    monkeypatch.setattr(engines, "version", lambda name: "1")
    for precision in PRECISIONS:
        if precision in precisions:
            assert engines.select_engine("openvino", precision).precision == precision
        else:
            with pytest.raises(InputError, match=f"--precision {precision}: "):
                engines.select_engine("openvino", precision)


@pytest.mark.parametrize(("precision", "supported"), [("float32", True), ("bfloat16", False), ("float16", True)])
def test_the_precisions_of_a_gpu_are_checked(fake_gpu, precision, supported):
    fake_gpu.device, fake_gpu.capability = "gpu", (7, 0)
    if supported:
        assert engines.select_engine("auto", precision).precision == precision
    else:
        with pytest.raises(InputError, match="--precision bfloat16: GPU Fake "):
            engines.select_engine("auto", precision)


@pytest.mark.parametrize("tf32", ["on", "off"])
def test_the_description_of_the_engine_says_whether_float32_is_tf32(fake_gpu, tf32):
    device.set_device("gpu", tf32)
    assert ("TF32" in engines.select_engine().description) == (tf32 == "on")


def test_exporting_prints_nothing_and_starts_no_process(small_backbones, tmp_path, capfd, monkeypatch):
    """Unlike paddle2onnx with its defaults, which prints and installs packages."""
    network = CheXNet(backbone="densenet_cifar")
    started = []  # recorded as well as raised, because the caller may catch every error

    def refuse(*args, **kwargs):
        started.append(args)
        raise OSError("processes are not allowed")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(os, "system", refuse)
    exports = [graph_export.save_program, graph_export.save_logits_program]
    if not engines.why_unavailable("onnxruntime"):
        exports.append(graph_export.save_onnx)
    for index, save in enumerate(exports):
        folder = tmp_path / str(index)
        assert save(network, folder, CROP).is_file()
    assert capfd.readouterr().out == ""
    assert not started


def test_openvino_is_imported_without_its_telemetry():
    if engines.why_unavailable("openvino"):
        pytest.skip(engines.why_unavailable("openvino"))
    code = (
        "import sys\n"
        "from chexnet.inference import engines\n"
        "from chexnet.model import CheXNet\n"
        "engines.select_engine('openvino').compile(CheXNet(backbone='lenet'), 32)\n"
        "assert 'openvino' in sys.modules\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_paddle_inference_leaves_the_number_of_threads_alone(tmp_path):
    """The last bits of a training depend on it."""

    def threads() -> dict[str, int]:
        return {library["filepath"]: library["num_threads"] for library in threadpool_info()}

    checkpoint.save(CheXNet(2, "lenet").state_dict(), tmp_path / "a.pdparams")
    checkpoint.write_metadata_file(tmp_path / "a.pdparams", {"backbone": "lenet", "classes": ["a", "b"], "crop": 32})
    program = deploy(tmp_path / "a.pdparams", tmp_path / "out", "paddle").graph
    before = threads()
    engine = PaddleInferenceEngine(program, threads=2)
    assert threads() == before
    engine.predict(np.zeros((2, 1, 32, 32), np.uint8))
    assert threads() == before

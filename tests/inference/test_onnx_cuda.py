"""ONNX Runtime with CUDA, simulated by a module in its place: which provider is used, and what is reported."""

import os
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from chexnet.errors import InputError
from chexnet.inference import Predictor, engines, onnx_sessions
from chexnet.model import CheXNet, checkpoint

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

CROP = 32
CPU_PROVIDER = "CPUExecutionProvider"

exports = pytest.mark.skipif(bool(engines.why_no_onnx()), reason=engines.why_no_onnx())


class Session:
    """A session that claims some providers and computes on the CPU.

    Attributes:
        batches: batch sizes of all calls of all sessions.
    """

    batches: list[int]

    def __init__(self, session, providers):
        self.session = session
        self.providers = providers

    def get_providers(self):
        return self.providers

    def run(self, outputs, inputs):
        (images,) = inputs.values()
        Session.batches.append(len(images))
        return self.session.run(outputs, inputs)


@pytest.fixture
def stub(monkeypatch):
    """ONNX Runtime as on a machine with a GPU. `stub.start` is called for each session with CUDA."""
    import onnxruntime

    Session.batches = []

    def inference_session(model, options, providers, **kwargs):
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        if onnx_sessions.CUDA in names:
            module.tf32 = providers[0][1]["use_tf32"]
            assert kwargs["enable_fallback"] == 0
            names = module.start(names)
        return Session(onnxruntime.InferenceSession(model, options, providers=[CPU_PROVIDER]), names)

    module = SimpleNamespace(
        __version__="1.99",
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=inference_session,
        get_available_providers=lambda: [onnx_sessions.CUDA, CPU_PROVIDER],
        preload_dlls=lambda: print("loading"),
        start=lambda names: names,
    )
    monkeypatch.setattr(onnx_sessions, "import_onnxruntime", lambda: module)
    monkeypatch.setattr(onnx_sessions, "cuda_device", lambda: onnx_sessions.CudaDevice("GPU of 2022", (9, 0)))
    return module


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    paddle.seed(1)
    path = tmp_path_factory.mktemp("weights") / "model.pdparams"
    checkpoint.save(CheXNet(2, "lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "classes": ["a", "b"], "resize": CROP, "crop": CROP})
    return path


def refuses(message: str):
    """Return a start of CUDA that fails as in compiled code: a message on standard error, and the CPU is used."""

    def start(names):
        os.write(2, message.encode())
        return [CPU_PROVIDER]

    return start


@exports
@pytest.mark.parametrize("choice", ["auto", "gpu"])
def test_cuda_computes_the_same_and_is_named(choice, stub, ckpt):
    predictor = Predictor(ckpt, engine="onnxruntime", device=choice)
    assert predictor.engine == "onnxruntime 1.99, float32, GPU of 2022"
    assert paddle.get_device() == "cpu"
    crops = np.random.default_rng(0).integers(0, 256, (7, 1, CROP, CROP), np.uint8)
    Session.batches.clear()
    expected = predictor.network.predict(crops)
    np.testing.assert_allclose(predictor.predict_crops(crops), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(predictor.predict_crops(crops[:3]), expected[:3], rtol=0, atol=1e-5)
    np.testing.assert_allclose(predictor.predict_crops(np.tile(crops, (2, 1, 1, 1)))[7:], expected, rtol=0, atol=1e-5)
    assert Session.batches == [7, 7, 14]  # a smaller batch has the shape of an earlier one


@exports
def test_tf32_is_on_if_it_is_asked_for_and_the_card_has_it(stub, ckpt, monkeypatch):
    Predictor(ckpt, engine="onnxruntime", device="gpu").compile(maps=False)
    assert stub.tf32 == "0"
    predictor = Predictor(ckpt, engine="onnxruntime", device="gpu", tf32="on")
    predictor.compile(maps=False)
    assert stub.tf32 == "1"
    assert "float32 with TF32" in predictor.engine
    monkeypatch.setattr(onnx_sessions, "cuda_device", lambda: onnx_sessions.CudaDevice("GPU of 2018", (7, 5)))
    for choice in ("gpu", "cpu"):
        with pytest.raises(InputError, match="--tf32 on: "):
            Predictor(ckpt, engine="onnxruntime", device=choice, tf32="on")


@exports
def test_the_cpu_is_used_if_it_is_asked_for(stub, ckpt):
    stub.start = lambda names: pytest.fail("CUDA")
    assert ", CPU, " in Predictor(ckpt, engine="onnxruntime", device="cpu").engine


@exports
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "Failed to load library x.so with error: libcublasLt.so.13: cannot open shared object file",
            "libcublasLt.so.13",
        ),
        ("error: libcuda.so.1: cannot open shared object file: No such file or directory", "driver"),
        ("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1", "insufficient"),
        ("", "does not start"),
    ],
)
def test_without_cuda_auto_uses_the_cpu_and_gpu_is_refused_with_the_reason(output, reason, stub, ckpt, capfd):
    stub.start = refuses(output)
    assert ", CPU, " in Predictor(ckpt, engine="onnxruntime", device="auto").engine
    with pytest.raises(InputError, match=f"--engine onnxruntime --device gpu: .*{reason}") as error:
        Predictor(ckpt, engine="onnxruntime", device="gpu")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@exports
def test_an_exception_of_cuda_is_a_reason_too(stub, ckpt):
    def start(names):
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=host")

    stub.start = start
    assert ", CPU, " in Predictor(ckpt, engine="onnxruntime").engine
    with pytest.raises(InputError, match=r"no CUDA-capable device is detected$"):
        Predictor(ckpt, engine="onnxruntime", device="gpu")


@exports
def test_a_package_without_code_for_the_card_is_found_before_the_first_image(stub, ckpt, monkeypatch):
    def run(self, outputs, inputs):
        raise RuntimeError("CUDA error 209: no kernel image is available for execution on the device; x")

    monkeypatch.setattr(Session, "run", run)
    assert onnx_sessions.why_no_cuda().endswith("no kernel image is available for execution on the device")


@exports
def test_a_session_that_falls_back_to_the_cpu_later_is_an_error(stub, ckpt):
    predictor = Predictor(ckpt, engine="onnxruntime", device="gpu")
    stub.start = refuses("CUDA failure 2: out of memory ; GPU=0")
    with pytest.raises(InputError, match="out of memory"):
        predictor.compile()


@exports
def test_a_precision_other_than_float32_is_refused(stub, ckpt):
    with pytest.raises(InputError, match="--precision float16: "):
        Predictor(ckpt, engine="onnxruntime", device="gpu", precision="float16")


def test_the_cpu_build_is_refused_with_the_command_that_replaces_it(stub, monkeypatch):
    stub.get_available_providers = lambda: [CPU_PROVIDER]
    assert "onnxruntime-gpu" in onnx_sessions.why_no_cuda()
    monkeypatch.setattr(onnx_sessions, "find_spec", lambda name: None)
    assert "onnxruntime-gpu" in onnx_sessions.why_no_cuda()


def test_only_onnx_runtime_computes_on_a_gpu_without_paddle(stub):
    stub.start = lambda names: pytest.fail("CUDA")
    for engine in ("auto", "paddle", "openvino"):
        assert engines.set_device(engine, "cpu") is None


def test_a_missing_device_has_a_general_name():
    assert onnx_sessions.cuda_device().name.startswith("GPU")


@exports
@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(ckpt):
    if reason := onnx_sessions.why_no_cuda():
        pytest.skip(reason)
    crops = np.random.default_rng(0).integers(0, 256, (40, 1, CROP, CROP), np.uint8)
    predictor = Predictor(ckpt, engine="onnxruntime", device="gpu")
    np.testing.assert_allclose(predictor.predict_crops(crops), predictor.network.predict(crops), rtol=0, atol=1e-4)

"""The device, its precision and the search for cuDNN's algorithms."""

import numpy as np
import paddle
import pytest

from chexnet import device
from chexnet.errors import InputError

SEARCH = "FLAGS_cudnn_exhaustive_search"


@pytest.mark.parametrize(("choice", "found"), [("auto", "gpu"), ("gpu", "gpu"), ("cpu", "cpu")])
def test_the_gpu_is_used_unless_the_cpu_is_wanted(fake_gpu, choice, found):
    device.set_device(choice)
    assert (fake_gpu.device, device.is_gpu()) == (found, found == "gpu")


@pytest.mark.parametrize("tf32", ["on", "off"])
def test_tf32_is_used_and_said_only_on_request(fake_gpu, tf32):
    device.set_device("gpu", tf32)
    assert (fake_gpu.settings["cudnn"], fake_gpu.settings["cublas"]) == (tf32 == "on",) * 2
    assert ("TF32" in device.tf32_note()) == (tf32 == "on")
    device.set_device("gpu")
    assert not fake_gpu.settings["cudnn"]
    assert device.tf32_note() == ""


def test_tf32_is_refused_where_it_does_not_exist(fake_gpu):
    fake_gpu.capability = (7, 5)
    with pytest.raises(InputError, match=r"--tf32 on: .*8\.0.*GPU Fake"):
        device.set_device("gpu", "on")
    device.set_device("gpu")
    assert device.tf32_note() == ""
    with pytest.raises(InputError, match=r"--tf32 on: .*Paddle uses none"):
        device.set_device("cpu", "on")


def test_algorithms_are_searched_until_the_device_is_set_again(fake_gpu):
    device.set_device("gpu")
    assert not fake_gpu.settings[SEARCH]
    device.expect_equal_shapes()
    assert fake_gpu.settings[SEARCH]
    device.set_device("gpu")
    assert not fake_gpu.settings[SEARCH]


def test_the_cpu_has_nothing_to_search(fake_gpu):
    device.set_device("cpu")
    device.expect_equal_shapes()
    assert SEARCH not in fake_gpu.settings


@pytest.mark.parametrize(
    ("capability", "precision", "supported"),
    [
        ((6, 1), "float32", True),
        ((6, 1), "float16", False),
        ((7, 0), "float16", True),
        ((7, 0), "bfloat16", False),
        ((8, 0), "bfloat16", True),
    ],
)
def test_a_precision_that_the_gpu_does_not_have_is_refused(fake_gpu, capability, precision, supported):
    fake_gpu.capability, fake_gpu.device = capability, "gpu"
    if supported:
        device.check_gpu_precision("--amp", precision, "use another")
    else:
        with pytest.raises(InputError, match=f"--amp: GPU Fake .*{precision}; use another"):
            device.check_gpu_precision("--amp", precision, "use another")


@pytest.mark.gpu
def test_products_are_rounded_with_tf32_only():
    if not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        pytest.skip("no GPU that Paddle can use")
    device.set_device("gpu")
    if paddle.device.cuda.get_device_capability() < device.TF32_CAPABILITY:
        pytest.skip("a GPU without TF32")
    factors = np.random.default_rng(0).normal(size=(2, 512, 512)).astype(np.float32)
    errors = {}
    for tf32 in ("on", "off"):
        device.set_device("gpu", tf32)
        product = paddle.matmul(*map(paddle.to_tensor, factors)).numpy()
        errors[tf32] = np.abs(product - np.matmul(*factors.astype(np.float64))).max()
    assert errors["on"] > 10 * errors["off"]

"""Batch normalization over several processes against Paddle's layers in one process, on the whole batch."""

import numpy as np
import paddle
import pytest
import sync_batch_norm_part
from launcher import Job
from sync_batch_norm_part import network, step

from chexnet import list_backbones
from chexnet.model import CheXNet, sync_batch_norm
from chexnet.model.sync_batch_norm import convert_sync_batch_norm

KINDS = ("BatchNorm", "BatchNorm2D", "no_affine")
REAL = {2: ("3,3", "4,2", "4,0"), 3: ("2,2,2", "3,1,0", "2,0,3")}
"""Number of processes -> numbers of real images in each, of as many as the largest."""


def batch(kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images whose mean is not 0, and the weights of the outputs in the loss, which make it a mean."""
    rng = np.random.default_rng(count)
    side, outputs, dtype = (64, 3, np.float64) if kind == "deep" else (8, 5, np.float32)
    images = rng.normal(2, 3, (count, 3, side, side)).astype(dtype)
    return images, (rng.normal(size=(count, outputs)) / (count * outputs)).astype(dtype)


@pytest.fixture(scope="module", params=REAL)
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """Return the results of every case: name of an array -> one per process."""
    root, processes = tmp_path_factory.mktemp("parts"), request.param
    arrays = {}
    for kind, real in [(kind, real) for kind in KINDS for real in REAL[processes]] + [("deep", REAL[processes][1])]:
        images, weights = batch(kind, sum(map(int, real.split(","))))
        arrays |= {f"{kind}-{real}/images": images, f"{kind}-{real}/weights": weights}
    np.savez(root / "arrays.npz", **arrays)
    Job(root, sync_batch_norm_part.main, *[root] * processes).succeed()
    files = [np.load(root / f"{rank}.npz") for rank in range(processes)]
    return {name: [file[name] for file in files] for name in files[0].files}


def test_several_processes_give_what_one_process_gives(parts: dict[str, list]) -> None:
    for case in {name.split("/")[0] for name in parts}:
        kind, real = case.split("-")
        counts = [int(count) for count in real.split(",")]
        paddle.set_device("cpu")
        expected = step(network(kind), *batch(kind, sum(counts)))
        for name, whole in expected.items():
            values = parts[f"{case}/{name}"]
            if name in ("outputs", "input"):
                found = np.concatenate([value[:count] for value, count in zip(values, counts, strict=True)])
            elif name.startswith("grad"):
                found = sum(values)
            else:
                assert all((value == values[0]).all() for value in values), (case, name)
                found = values[0]
            assert np.abs(found - whole).max() <= 1e-6 * max(1, np.abs(whole).max()), (case, name)


def test_padding_gets_no_gradient(parts: dict[str, list]) -> None:
    for name, values in parts.items():
        case, array = name.split("/", 1)
        if array == "input":
            counts = [int(count) for count in case.split("-")[1].split(",")]
            assert all((value[count:] == 0).all() for value, count in zip(values, counts, strict=True)), case


@pytest.mark.parametrize("backbone", list_backbones())
def test_every_backbone_keeps_names_values_and_order(backbone: str) -> None:
    net = CheXNet(3, backbone)
    before = {name: (value.name, value.numpy()) for name, value in net.state_dict().items()}
    norms = [layer for layer in net.sublayers() if hasattr(layer, "_variance")]
    forwards = [layer.forward for layer in norms]
    convert_sync_batch_norm(net)
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(
        after[name].name == key and (after[name].numpy() == value).all() for name, (key, value) in before.items()
    )
    assert not any(layer.forward == forward for layer, forward in zip(norms, forwards, strict=True))


def test_evaluation_is_that_of_the_layers_themselves() -> None:
    paddle.set_device("cpu")
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    net = CheXNet(3)
    expected = net.predict(images)
    real = convert_sync_batch_norm(net)
    real.own, real.total = 0, 1
    assert (net.predict(images) == expected).all()


def test_layers_with_fixed_statistics_stay() -> None:
    paddle.set_device("cpu")
    layer = paddle.nn.BatchNorm2D(3, use_global_stats=True)
    x = paddle.randn([2, 3, 4, 4])
    expected = layer(x).numpy()
    convert_sync_batch_norm(layer)
    assert (layer(x).numpy() == expected).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_images_in_half_precision_are_computed_in_float32(dtype: str) -> None:
    """The squares of these values overflow in float16."""
    paddle.set_device("cpu")
    images = (np.random.default_rng(0).normal(500, 300, (6, 3, 4, 4))).astype(np.float32)
    halves = paddle.to_tensor(images).astype(dtype)
    layer = paddle.nn.BatchNorm2D(3)
    convert_sync_batch_norm(layer)
    outputs = layer(halves)
    assert outputs.dtype == halves.dtype
    expected = paddle.nn.BatchNorm2D(3)(halves.astype("float32"))
    np.testing.assert_allclose(outputs.astype("float32").numpy(), expected.numpy(), rtol=1e-2, atol=1e-2)
    assert layer._variance.dtype == paddle.float32


@pytest.mark.gpu
@pytest.mark.skipif(not paddle.is_compiled_with_cuda(), reason="Paddle is the CPU build")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_kernel_and_own_layer_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, weights = batch(kind, 6)
    paddle.set_device("gpu")
    try:
        by_kernel, by_layer = network(kind), network(kind)
        convert_sync_batch_norm(by_kernel)
        monkeypatch.setattr(sync_batch_norm, "is_gpu", lambda: False)
        convert_sync_batch_norm(by_layer)
        kernel, layer = step(by_kernel, images, weights), step(by_layer, images, weights)
    finally:
        paddle.set_device("cpu")
    assert kernel.keys() == layer.keys()
    for name, value in kernel.items():
        np.testing.assert_allclose(layer[name], value, rtol=1e-4, atol=1e-4, err_msg=name)

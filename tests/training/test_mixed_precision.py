"""Mixed precision: what each level casts, O2 with master weights, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest

from chexnet import device
from chexnet.config import AMP_LEVELS
from chexnet.errors import InputError
from chexnet.model import CheXNet, checkpoint
from chexnet.training import AUROC, BinaryCrossEntropy, resume, run_state, train
from chexnet.training.training_step import TrainingModel


def model_of(amp: str, optimizer: type = paddle.optimizer.Adam) -> TrainingModel:
    """Return a training model of the miniature."""
    network = CheXNet(14)
    return TrainingModel(
        network,
        BinaryCrossEntropy(),
        AUROC(),
        optimizer(0.01, parameters=network.parameters(), use_multi_tensor=True),
        amp,
    )


@pytest.mark.parametrize("level", AMP_LEVELS)
def test_training_and_validation_run_under_the_same_autocast(small_run, monkeypatch, level):
    small_run()
    requests = []

    def recorded(**settings):
        requests.append(settings)
        return original(enable=False)

    original = paddle.amp.auto_cast
    monkeypatch.setattr(paddle.amp, "auto_cast", recorded)
    images, labels = np.zeros((2, 1, 32, 32), np.uint8), np.zeros((2, 14), np.float32)
    model = model_of(level)
    model.train_batch([images], [labels])
    model.eval_batch([images], [labels])
    dtype = {"off": None, "O1": "float16", "O2": "float16", "bf16": "bfloat16"}[level]
    assert [(settings.get("enable", True), settings.get("dtype")) for settings in requests] == [
        (level != "off", dtype)
    ] * 2


@pytest.mark.parametrize(("level", "scaled"), [("off", False), ("O1", True), ("O2", True), ("bf16", False)])
def test_losses_are_scaled_for_float16_only(small_run, monkeypatch, level, scaled):
    """bfloat16 has the range of float32, so its gradients do not vanish."""
    small_run()
    enabled = []
    original = paddle.amp.GradScaler
    monkeypatch.setattr(paddle.amp, "GradScaler", lambda enable: (enabled.append(enable), original(enable=False))[1])
    model_of(level)
    assert enabled == [scaled]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_run_with_float16_weights_resumes_to_the_same_bytes(small_run, half_precision, tmp_path, optimizer):
    config = small_run(amp="O2", optimizer=optimizer, save_every_steps=4, keep_states=9)
    train(config)
    folder = Path(config.save_dir)
    complete = run_state.newest(folder, print)[1]
    assert {value.dtype.name for value in complete.weights.values()} == {"float16", "float32"}
    masters = complete.optimizer["master_weights"]
    assert {name.split(".")[0] for name in masters} == {"conv2d_0", "linear_0"}
    assert any(np.abs(value - value.astype(np.float16)).max() > 0 for value in masters.values())
    for state in ("after_epoch_00.state", "after_epoch_00_step_000004.state", "after_epoch_01.state"):
        again = tmp_path / state
        resume(folder / state, {"save_dir": str(again)})
        assert (again / "final.pdparams").read_bytes() == (folder / "final.pdparams").read_bytes()
        last = run_state.newest(again, print)[1]
        assert last.optimizer.keys() == complete.optimizer.keys()
        for name, value in masters.items():
            np.testing.assert_array_equal(last.optimizer["master_weights"][name], value)
    assert {value.dtype.name for value in checkpoint.load(folder / "final.pdparams").values()} == {"float32"}


def test_a_state_saved_before_the_first_step_after_resuming_keeps_the_master_weights(
    small_run,
    half_precision,
):
    config = small_run(amp="O2", epoch=1, save_every_steps=2, keep_states=9)
    train(config)
    origin = Path(config.save_dir) / "after_epoch_00_step_000002.state"
    again = Path(config.save_dir).with_name("again")
    resume(origin, {"save_dir": str(again), "keep_states": 9})
    first, saved = run_state.load(again / origin.name), run_state.load(origin)
    assert first.optimizer.keys() == saved.optimizer.keys()
    for name, value in saved.optimizer["master_weights"].items():
        np.testing.assert_array_equal(first.optimizer["master_weights"][name], value)


def test_weights_are_cast_before_they_are_prepared_for_several_devices(small_run, half_precision, monkeypatch):
    """The constructor of `paddle.Model` wraps the network; the gradients of weights cast later do not fit."""
    small_run()
    seen = []
    original = paddle.Model.__init__

    def recorded(self, network):
        seen.append({str(parameter.dtype).removeprefix("paddle.") for parameter in network.parameters()})
        original(self, network)

    monkeypatch.setattr(paddle.Model, "__init__", recorded)
    network = model_of("O2").network
    assert seen == [{"float16", "float32"}]
    # The constants of the normalization are not rounded.
    expected = CheXNet(14)
    for name in ("normalization_mean", "normalization_std"):
        np.testing.assert_array_equal(getattr(network, name).numpy(), getattr(expected, name).numpy())
        assert getattr(network, name).dtype == paddle.float32


@pytest.fixture
def half_state(small_run, half_precision):
    config = small_run(amp="O2", epoch=1)
    train(config)
    return config, run_state.newest(Path(config.save_dir), print)[1]


@pytest.mark.parametrize("fault", ["shape", "dtype", "missing", "unknown", "moment"])
def test_master_weights_that_do_not_fit_are_refused_before_the_first_step(half_state, tmp_path, fault):
    _, state = half_state
    optimizer = dict(state.optimizer)
    masters = optimizer["master_weights"] = dict(optimizer["master_weights"])
    name = next(iter(masters))
    if fault == "shape":
        masters[name] = np.zeros(3, np.float32)
    elif fault == "dtype":
        masters[name] = masters[name].astype(np.float64)
    elif fault == "missing":
        del masters[name]
    elif fault == "unknown":
        masters["conv2d_9.w_0"] = masters[name]
    else:
        name = f"{name}_fp32_master_0_moment1_0"
        optimizer[name] = optimizer[name].astype(np.float64)
    file = run_state.save(replace(state, optimizer=optimizer, progress=replace(state.progress)), tmp_path, 9)
    with pytest.raises(InputError, match="optimizer does not fit the network"):
        resume(file, {"save_dir": str(tmp_path / "again"), "epoch": 3}, force=True)


def test_master_weights_are_refused_without_float16_weights(half_state, tmp_path):
    _, state = half_state
    file = run_state.save(replace(state, config={**state.config, "amp": "off"}), tmp_path, 9)
    with pytest.raises(InputError, match="master weight"):
        resume(file, {"save_dir": str(tmp_path / "again"), "epoch": 3}, force=True)


@pytest.mark.parametrize(("level", "precision"), [("O1", "float16"), ("O2", "float16"), ("bf16", "bfloat16")])
def test_a_precision_that_the_gpu_does_not_have_is_refused_before_anything_is_read(
    small_run, monkeypatch, level, precision
):
    monkeypatch.setattr(device, "set_device", lambda *_: None)
    monkeypatch.setattr(device, "is_gpu", lambda: True)
    monkeypatch.setattr(device, "device_name", lambda: "GPU of 2014")
    monkeypatch.setattr(device, "gpu_supports", lambda name: name != precision)
    with pytest.raises(InputError, match=f"--amp {level}: GPU of 2014 .*{precision}"):
        train(small_run(amp=level, data_dir="missing", train_list=small_run().train_list))


@pytest.mark.gpu
@pytest.mark.parametrize("level", ["O1", "O2", "bf16"])
def test_mixed_precision_trains_resumes_and_saves_float32(small_run, tmp_path, level):
    if not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        pytest.skip("no GPU that Paddle can use")
    config = small_run(device="gpu", amp=level, save_every_steps=4, keep_states=9)
    device.set_device("gpu")
    if not device.gpu_supports("bfloat16" if level == "bf16" else "float16"):
        pytest.skip(f"{device.device_name()} does not have the precision of {level}")
    result = train(config)
    assert all(math.isfinite(row["train_loss"]) for row in result.history)
    weights = checkpoint.load(result.best_model)
    assert {value.dtype.name for value in weights.values()} == {"float32"}
    again = resume(Path(config.save_dir) / "after_epoch_00_step_000004.state", {"save_dir": str(tmp_path / "again")})
    for name, value in checkpoint.load(again.best_model).items():
        np.testing.assert_allclose(value, weights[name], rtol=0.05, atol=0.01)  # the order of additions may differ

import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from chexnet import checkpoint
from chexnet.errors import InputError


def small_network() -> paddle.nn.Layer:
    return paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))


def test_paddle_reads_what_is_written_and_the_other_way_round(tmp_path):
    network, other = small_network(), small_network()
    checkpoint.save(network.state_dict(), tmp_path / "ours.pdparams")
    other.set_state_dict(paddle.load(str(tmp_path / "ours.pdparams")))
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), tensor.numpy())

    paddle.save(network.state_dict(), str(tmp_path / "theirs.pdparams"))
    state = checkpoint.load(tmp_path / "theirs.pdparams")
    assert set(state) == set(network.state_dict())
    np.testing.assert_array_equal(state["0.weight"], network[0].weight.numpy())


def test_optimizer_state_comes_back(tmp_path):
    network = small_network()
    schedule = paddle.optimizer.lr.MultiStepDecay(0.1, [1, 2])
    optimizer = paddle.optimizer.Adam(schedule, parameters=network.parameters())
    network(paddle.rand([4, 3])).sum().backward()
    optimizer.step()
    schedule.step()
    checkpoint.save(optimizer.state_dict(), tmp_path / "a.pdopt")
    ours, theirs = checkpoint.load(tmp_path / "a.pdopt"), optimizer.state_dict()
    assert ours["LR_Scheduler"] == theirs["LR_Scheduler"]
    moments = [name for name in theirs if "moment1" in name]
    assert moments
    for name in moments:
        np.testing.assert_array_equal(ours[name], theirs[name].numpy())


def test_half_precision_is_stored_as_float32(tmp_path):
    checkpoint.save({"w": np.array([1.5], np.float16)}, tmp_path / "a.pdparams")
    assert checkpoint.load(tmp_path / "a.pdparams")["w"].dtype == np.float32


class Payload:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["top", "nested", "in an array"])
@pytest.mark.parametrize("function", [os.system, exec, eval, pickle.loads])
def test_no_file_runs_code(tmp_path, where, function):
    marker = tmp_path / "marker"
    code = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    payload = Payload(function, code.encode() if function is pickle.loads else code)
    contents = {
        "top": payload,
        "nested": {"a": [{"b": payload}]},
        "in an array": {"w": np.array([payload], dtype=object)},
    }
    path = tmp_path / "evil.pdparams"
    path.write_bytes(pickle.dumps(contents[where]))
    with pytest.raises(InputError, match=rf"evil\.pdparams: refused.*\.{function.__name__}"):
        checkpoint.load(path)
    assert not marker.exists()


def test_unreadable_files_are_one_line_each(tmp_path):
    good = tmp_path / "good.pdparams"
    checkpoint.save({"w": np.zeros(1000)}, good)
    whole = good.read_bytes()
    contents = {
        "empty": b"",
        "text": b"404 not found\n",
        "zip": b"PK\x03\x04" + whole,
        "list": pickle.dumps([1]),
        "numbered": pickle.dumps({1: 2}),
        **{f"cut{length}": whole[:length] for length in (1, 50, len(whole) // 2, len(whole) - 1)},
    }
    for name, data in contents.items():
        path = tmp_path / f"{name}.pdparams"
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}\.pdparams") as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load(tmp_path / "missing.pdparams")


def test_weights_load_wholly_or_not_at_all():
    network = small_network()
    before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    state["1.bias"] = np.zeros(7, np.float32)
    state["stranger"] = state.pop("0.weight")
    with pytest.raises(InputError) as caught:
        checkpoint.assign(network, state, "some.pdparams")
    message = str(caught.value)
    assert "some.pdparams" in message
    assert "missing 1: 0.weight" in message
    assert "unexpected 1: stranger" in message
    assert "of shape [7] for [2] 1: 1.bias" in message
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("0.bias", np.array(["a", "b"]), "not an array of floating-point numbers"),
        ("0.bias", [0.5, [1.0]], "not an array of floating-point numbers"),
        ("0.bias", np.array([0.5, np.nan]), "with NaN or infinity"),
        ("0.bias", np.array([0.5, 1e300]), "with NaN or infinity"),
        ("1._variance", np.array([0.5, -1e-3]), "with a negative variance"),
    ],
)
def test_weights_that_would_give_numbers_without_meaning_are_refused(name, value, fault):
    network = small_network()
    state = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=f"{fault} 1: {name}"):
        checkpoint.assign(network, {**state, name: value}, "x")


def test_the_sidecar_stands_beside_the_weights(tmp_path):
    path = tmp_path / "best_model.pdparams"
    assert checkpoint.read_sidecar(path) == {}
    checkpoint.write_sidecar(path, {"crop": 224})
    assert checkpoint.read_sidecar(path) == {"crop": 224}
    assert Path(checkpoint.sidecar_path(path)).name == "best_model.json"
    for text in ("{", "[1]"):
        checkpoint.sidecar_path(path).write_text(text)
        with pytest.raises(InputError, match=r"best_model\.json"):
            checkpoint.read_sidecar(path)

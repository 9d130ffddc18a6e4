"""Weights of a network in both formats, weights that do not fit, and the metadata file."""

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file

from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint import WEIGHT_SUFFIXES


def small_network() -> paddle.nn.Layer:
    return paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))


# Both formats


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_saved_weights_load_into_another_network(tmp_path, suffix):
    network, other = small_network(), small_network()
    checkpoint.save_weights(network.state_dict(), tmp_path / f"w{suffix}")
    checkpoint.load_weights(other, tmp_path / f"w{suffix}")
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), tensor.numpy())


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__")
DTYPES = st.sampled_from(["f4", "f2", "f8", ">f4", "i8", "u1", ">i4", "?"])
SHAPES = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
@given(weights=st.dictionaries(NAMES, arrays(DTYPES, SHAPES), max_size=4))
def test_floating_point_arrays_become_float32_and_others_stay(tmp_path_factory, suffix, weights):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    checkpoint.save_weights(weights, path)
    found = checkpoint.read_weights(path)
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        assert found[name].dtype == (np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(found[name], array.astype(found[name].dtype), strict=True)
    first = path.read_bytes()
    checkpoint.save_weights(found, path)
    if suffix == ".pdparams":
        found = {name: found[name] for name in weights}
    assert path.read_bytes() == first


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_float16_and_bfloat16_tensors_become_float32(tmp_path, suffix):
    tensor = paddle.to_tensor([1.5, -0.3125])
    checkpoint.save_weights({kind: tensor.astype(kind) for kind in ("float16", "bfloat16")}, tmp_path / f"w{suffix}")
    for array in checkpoint.read_weights(tmp_path / f"w{suffix}").values():
        assert array.dtype == np.float32
        assert array.tolist() == [1.5, -0.3125]


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"w\.pth: .*\.pdparams or \.safetensors"):
        checkpoint.save_weights({}, tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_safetensors_are_interchangeable_with_the_package_safetensors(tmp_path):
    weights = {"b": np.arange(3, dtype="f4"), "a": np.ones((2, 2), "f4")}
    checkpoint.save_weights(weights, tmp_path / "ours.safetensors")
    save_file(weights, tmp_path / "theirs.safetensors")
    for found in (load_file(tmp_path / "ours.safetensors"), checkpoint.read_weights(tmp_path / "theirs.safetensors")):
        assert found.keys() == weights.keys()
        assert all(np.array_equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.float32(5).tobytes(), np.float32(6).tobytes()),
        (b'"a"', b'"c"'),
        (b'"F32","shape":[2,2]', b'"I32","shape":[2,2]'),
        (b"[2,2]", b"[1,4]"),
        (b"sha256 ", b"sha257 "),
    ],
    ids=["value", "name", "dtype", "shape", "checksum"],
)
def test_a_changed_safetensors_file_is_detected(tmp_path, old, new):
    path = tmp_path / "w.safetensors"
    checkpoint.save_weights({"a": np.arange(2, 6, dtype="f4").reshape(2, 2), "b": np.zeros(1)}, path)
    assert path.read_bytes().count(old) == 1
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=r"w\.safetensors: damaged: .*checksum"):
        checkpoint.read_weights(path)


def test_a_newer_safetensors_schema_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save_weights({"a": np.zeros(1)}, path)
    path.write_bytes(path.read_bytes().replace(b"schema 1", b"schema 7"))
    with pytest.raises(InputError, match=r"w\.safetensors: .*schema 7, .* 2\b"):
        checkpoint.read_weights(path)


HEADERS = {
    "numbers in the metadata": {"__metadata__": {"a": 0}},
    "overlapping data": {"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "beyond the end": {"v": {"dtype": "F32", "shape": [2], "data_offsets": [8, 2**40]}},
    "a negative dimension": {"v": {"dtype": "F32", "shape": [-2], "data_offsets": [8, 8]}},
    "too many dimensions": {"v": {"dtype": "F32", "shape": [1] * 99 + [0], "data_offsets": [8, 8]}},
    "huge dimensions and one of 0": {"v": {"dtype": "F32", "shape": [0, 10**17, 10**17], "data_offsets": [8, 8]}},
    "8-bit numbers": {"v": {"dtype": "F8_E4M3", "shape": [0], "data_offsets": [8, 8]}},
    "too many names": {f"{number}": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]} for number in range(70_000)},
    "a list": {"v": []},
}


def build_safetensors(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize("name", HEADERS)
def test_invalid_headers_are_an_error_of_one_line(tmp_path, name):
    valid = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    path = tmp_path / "a.safetensors"
    path.write_bytes(build_safetensors(json.dumps(valid).encode(), bytes(8)))
    assert checkpoint.read_weights(path)["w"].tolist() == [0, 0]
    path.write_bytes(build_safetensors(json.dumps({**valid, **HEADERS[name]}).encode(), bytes(8)))
    with pytest.raises(InputError, match=r"a\.safetensors: (.*readable|.*F8_E4M3)") as caught:
        checkpoint.read_weights(path)
    assert len(str(caught.value)) < 400
    for data in (
        build_safetensors(json.dumps(valid).encode(), bytes(9)),
        build_safetensors(b'{"w":1,"w":1}', bytes(8)),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.safetensors: "):
            checkpoint.read_weights(path)


def test_bfloat16_of_other_programs_is_read_exactly(tmp_path):
    numbers = np.array([1.5, -0.3125, 3e38, -0.0, np.inf], "f4")
    bits = (numbers.view("u4") >> 16).astype("<u2")
    header = {"w": {"dtype": "BF16", "shape": [5, 1], "data_offsets": [0, 10]}}
    (tmp_path / "a.safetensors").write_bytes(build_safetensors(json.dumps(header).encode(), bits.tobytes()))
    found = checkpoint.read_weights(tmp_path / "a.safetensors")["w"]
    assert (found.dtype, found.shape) == (np.float32, (5, 1))
    np.testing.assert_array_equal(found[:, 0], (bits.astype("u4") << 16).view("f4"))
    np.testing.assert_allclose(found[:3, 0], numbers[:3], rtol=2**-7)


def test_a_training_state_is_refused_by_its_keys(tmp_path):
    checkpoint.save({"network": {"w": np.zeros(1)}, "epoch": 3}, tmp_path / "a.pdparams")
    with pytest.raises(InputError, match=r"a\.pdparams: .*\bnetwork, epoch\b"):
        checkpoint.read_weights(tmp_path / "a.pdparams")


# Weights that do not fit


def test_weights_load_completely_or_not_at_all():
    network = small_network()
    before = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    state["1.bias"] = np.zeros(7, np.float32)
    state["extra"] = state.pop("0.weight")
    with pytest.raises(InputError) as caught:
        checkpoint.load_state_dict(network, state, "some.pdparams")
    message = str(caught.value)
    assert "some.pdparams" in message
    assert "missing 1: 0.weight" in message
    assert "unexpected 1: extra" in message
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
def test_weights_with_invalid_numbers_are_refused(name, value, fault):
    network = small_network()
    state = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=f"{fault} 1: {name}"):
        checkpoint.load_state_dict(network, {**state, name: value}, "x")


# The metadata file


def test_the_metadata_file_is_next_to_the_weights(tmp_path):
    path = tmp_path / "best_model.pdparams"
    assert checkpoint.read_metadata_file(path) == {}
    checkpoint.write_metadata_file(path, {"crop": 224})
    assert checkpoint.read_metadata_file(path) == {"crop": 224}
    assert Path(checkpoint.metadata_path(path)).name == "best_model.json"
    for text in ("{", "[1]"):
        checkpoint.metadata_path(path).write_text(text)
        with pytest.raises(InputError, match=r"best_model\.json"):
            checkpoint.read_metadata_file(path)

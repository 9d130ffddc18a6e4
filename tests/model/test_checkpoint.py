"""States: nested values saved atomically with a checksum and loaded without running code."""

import hashlib
import pickle
from collections import OrderedDict

import numpy as np
import paddle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from chexnet.errors import InputError
from chexnet.model import checkpoint


def small_network() -> paddle.nn.Layer:
    return paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))


def test_paddle_reads_our_files_and_we_read_its_files(tmp_path):
    network, other = small_network(), small_network()
    checkpoint.save(network.state_dict(), tmp_path / "ours.pdparams")
    other.set_state_dict(paddle.load(str(tmp_path / "ours.pdparams")))
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), tensor.numpy())

    paddle.save(network.state_dict(), str(tmp_path / "theirs.pdparams"))
    state = checkpoint.load(tmp_path / "theirs.pdparams")
    assert set(state) == set(network.state_dict())
    np.testing.assert_array_equal(state["0.weight"], network[0].weight.numpy())


def test_optimizer_state_is_restored(tmp_path):
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


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float64"])
def test_every_precision_is_kept_to_the_bit(tmp_path, precision):
    tensor = paddle.to_tensor([1.5, -0.3125, 3e38]).astype(precision)
    checkpoint.save({"w": tensor}, tmp_path / "a.pdparams")
    for found in (checkpoint.load(tmp_path / "a.pdparams"), paddle.load(str(tmp_path / "a.pdparams"))):
        again = paddle.to_tensor(found["w"])
        assert again.dtype == tensor.dtype
        assert again.numpy().tobytes() == tensor.numpy().tobytes()


# Any state

SCALARS = st.one_of(st.text(max_size=5), st.binary(max_size=5), st.booleans(), st.integers(), st.floats(), st.none())
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
ARRAYS = arrays(st.sampled_from(DTYPES), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
VALUES = st.recursive(
    SCALARS | ARRAYS | ARRAYS.map(np.asfortranarray),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(SCALARS, inner, max_size=3)
    ),
    max_leaves=8,
)
STATES = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def same_values(found, expected) -> bool:
    """Return True if values and types are equal at every level, including NaN and the sign of zero."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        return all(map(same_values, found.items(), expected.items())) and len(found) == len(expected)
    if isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(map(same_values, found, expected))
    if isinstance(found, np.ndarray):
        return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    return repr(found) == repr(expected)


@given(state=STATES)
@example({"a": [float("nan"), -0.0], "b": np.array(-0.0, "f4"), "c": np.zeros((0, 3))})
def test_load_returns_what_save_was_given(tmp_path_factory, state):
    path = tmp_path_factory.getbasetemp() / "any.pdstate"
    checkpoint.save(state, path)
    found = checkpoint.load(path)
    assert same_values(found, state)
    first = path.read_bytes()
    checkpoint.save(found, path)
    assert path.read_bytes() == first
    assert same_values(dict(paddle.load(str(path), return_numpy=True)), state)


def test_equal_values_give_equal_bytes_for_any_container_and_identity(tmp_path):
    names = ["".join(["w", "eight"]) for _ in range(2)]
    assert names[0] is not names[1]
    array = np.arange(6, dtype="f4").reshape(2, 3)
    shared, separate = [1, "x"], ([1, "x"], [1, "x"])
    states = (
        {"a": [names[0], names[0]], "b": [shared, shared], "c": array, "d": 0.5, "e": array},
        OrderedDict(
            a=names, b=list(separate), c=np.asfortranarray(array), d=np.float64(0.5), e=paddle.to_tensor(array)
        ),
    )
    for number, state in enumerate(states):
        checkpoint.save(state, tmp_path / f"{number}.pdstate")
    assert (tmp_path / "0.pdstate").read_bytes() == (tmp_path / "1.pdstate").read_bytes()


@pytest.mark.parametrize(
    "value", [{1}, object(), np.array(["a"]), np.array([None]), {(1, 2): 3}, 1j], ids=lambda value: type(value).__name__
)
def test_values_that_could_not_be_read_are_not_saved(tmp_path, value):
    with pytest.raises(TypeError, match="weight file"):
        checkpoint.save({"a": [value]}, tmp_path / "a.pdstate")
    assert not list(tmp_path.iterdir())


FILLED = arrays(st.sampled_from(DTYPES), array_shapes(min_dims=0, max_dims=3, max_side=3))


@given(state=STATES, filled=st.dictionaries(st.text(max_size=8), FILLED), protocol=st.integers(2, 5))
def test_pickles_of_other_programs_are_read_as_by_pickle(tmp_path_factory, state, filled, protocol):
    path = tmp_path_factory.getbasetemp() / "other.pdparams"
    # Protocol 2 stores bytes by calling a function, a different one for empty bytes.
    path.write_bytes(pickle.dumps(filled if protocol == 2 else state, protocol))
    assert same_values(checkpoint.load(path), pickle.loads(path.read_bytes()))


def test_numpy_scalars_and_ordered_dictionaries_of_other_programs_are_read(tmp_path):
    path = tmp_path / "other.pdparams"
    path.write_bytes(pickle.dumps(OrderedDict(epoch=np.int64(3), best=np.float32(0.5)), 2))
    found = checkpoint.load(path)
    assert (found["epoch"], found["best"]) == (3, 0.5)
    assert found["best"].dtype == np.float32


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([None]), "O8"),
        (np.array(["text"]), "U4"),
        (np.zeros(1, "f4,i4"), "V8"),
        (np.zeros(1, "M8[s]"), "M8"),
    ],
    ids=["objects", "strings", "structures", "dates"],
)
def test_arrays_of_other_values_than_numbers_are_refused(array, kind, tmp_path):
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps({"w": array}, 4))
    with pytest.raises(InputError, match=rf"a\.pdparams: .*\b{kind}\b"):
        checkpoint.load(path)


# The checksum line


def test_the_last_line_is_the_checksum_of_those_before_it(tmp_path):
    checkpoint.save({"w": np.arange(1000)}, tmp_path / "a.pdparams")
    *before, last = (tmp_path / "a.pdparams").read_bytes().splitlines(keepends=True)
    assert last == f"chexnet schema 1 sha256 {hashlib.sha256(b''.join(before)).hexdigest()}\n".encode()


@pytest.fixture
def checksummed(tmp_path):
    """A file with a checksum, to be damaged."""
    checkpoint.save({"w": np.arange(100, dtype="f4")}, tmp_path / "a.pdparams")
    return tmp_path / "a.pdparams"


def test_a_flipped_bit_is_found(checksummed):
    data = bytearray(checksummed.read_bytes())
    data[data.index(np.float32(50).tobytes())] ^= 1
    checksummed.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.pdparams: damaged: .*checksum"):
        checkpoint.load(checksummed)


@pytest.mark.parametrize("schema", [b"0", b"3", b"999"])
def test_an_unknown_schema_is_refused_with_both_numbers(checksummed, schema):
    checksummed.write_bytes(checksummed.read_bytes().replace(b"schema 1", b"schema " + schema))
    with pytest.raises(InputError, match=rf"a\.pdparams: .*schema {int(schema)}, .* 2\b"):
        checkpoint.load(checksummed)


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1], lambda data: data[:-60]])
def test_only_a_checksum_line_may_follow_the_content(checksummed, change):
    checksummed.write_bytes(change(checksummed.read_bytes()))
    with pytest.raises(InputError, match=r"a\.pdparams: \d+ bytes .*checksum"):
        checkpoint.load(checksummed)


def test_a_damaged_file_is_not_unpickled(checksummed, monkeypatch):
    checksummed.write_bytes(b"x" + checksummed.read_bytes())
    monkeypatch.setattr(checkpoint.pickles.unpickling, "read", None)
    with pytest.raises(InputError, match="checksum"):
        checkpoint.load(checksummed)


def test_unreadable_files_are_an_error_of_one_line(tmp_path):
    good = tmp_path / "good.pdparams"
    checkpoint.save({"w": np.zeros(1000)}, good)
    data = good.read_bytes()
    contents = {
        "empty": b"",
        "text": b"404 not found\n",
        "zip": b"PK\x03\x04" + data,
        "list": pickle.dumps([1]),
        "numbered": pickle.dumps({1: 2}),
        **{f"cut{length}": data[:length] for length in (1, 50, len(data) // 2, len(data) - 1)},
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.pdparams"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.pdparams") as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"missing\.pdparams: "):
        checkpoint.load(tmp_path / "missing.pdparams")

"""The metadata of weights: stored in the file, so that both are always of the same moment."""

import hashlib
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import checkpoint
from chexnet.model.checkpoint import WEIGHT_SUFFIXES, checksum_line, safetensors_files

WEIGHTS = {"b": np.arange(6, dtype="f4").reshape(2, 3), "a": np.array([0.5, -2], "f4")}
METADATA = {"backbone": "lenet", "classes": ["Größe", "b\nc", '"'], "epoch": 3, "val_AUROC_avg": 0.5, "none": None}

in_both_formats = pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)


def assert_same_weights(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


# Round trips

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@in_both_formats
@given(metadata=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_metadata_in_the_file_is_read_back_and_saved_reproducibly(tmp_path_factory, suffix, metadata):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    digest = checkpoint.save_weights(WEIGHTS, path, metadata=metadata)
    file = checkpoint.open_weights(path)
    assert (file.metadata, file.metadata_source) == (metadata, path)
    assert_same_weights(file.weights, WEIGHTS)
    assert digest == file.sha256 == sha256(path)
    first = path.read_bytes()
    checkpoint.save_weights(WEIGHTS, path, metadata=metadata)
    assert path.read_bytes() == first


@in_both_formats
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_json_is_a_copy_with_the_hash_of_its_weights(tmp_path, suffix, precision):
    path = tmp_path / f"w{suffix}"
    digest = checkpoint.save_checkpoint(WEIGHTS, path, METADATA, precision)
    assert checkpoint.open_weights(path).metadata == METADATA
    assert json.loads(path.with_suffix(".json").read_text()) == {**METADATA, "weights_sha256": digest}


def test_paddle_loads_a_file_with_metadata(tmp_path):
    network, other = (paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2)) for _ in range(2))
    path = tmp_path / "w.pdparams"
    checkpoint.save_weights(network.state_dict(), path, metadata=METADATA)
    other.set_state_dict(paddle.load(str(path)))
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), tensor.numpy())
    found = paddle.load(str(path), return_numpy=True)
    assert_same_weights(found, {name: tensor.numpy() for name, tensor in network.state_dict().items()})


def test_the_package_safetensors_loads_a_file_with_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save_weights(WEIGHTS, path, metadata=METADATA)
    assert_same_weights(load_file(path), WEIGHTS)
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()["chexnet_metadata"]) == METADATA


# Precedence over the JSON file


@in_both_formats
@pytest.mark.parametrize("text", [None, "{", "[]", '{"epoch": 9}', '{"epoch": 9, "weights_sha256": "0"}'])
def test_the_json_is_ignored_if_the_file_has_metadata(tmp_path, suffix, text):
    path = tmp_path / f"w{suffix}"
    checkpoint.save_checkpoint(WEIGHTS, path, METADATA)
    checkpoint.metadata_path(path).unlink()
    if text is not None:
        checkpoint.metadata_path(path).write_text(text)
    file = checkpoint.open_weights(path)
    assert (file.metadata, file.metadata_source) == (METADATA, path)
    assert checkpoint.read_metadata(path) == (METADATA, path)


@in_both_formats
def test_empty_metadata_is_metadata(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    checkpoint.save_weights(WEIGHTS, path, metadata={})
    checkpoint.write_metadata_file(path, {"epoch": 9})
    assert checkpoint.open_weights(path).metadata == {}


@in_both_formats
def test_a_file_without_metadata_uses_the_json(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    checkpoint.save_weights(WEIGHTS, path)
    assert checkpoint.open_weights(path).metadata == {}
    checkpoint.write_metadata_file(path, METADATA)
    file = checkpoint.open_weights(path)
    assert (file.metadata, file.metadata_source) == (METADATA, checkpoint.metadata_path(path))


def test_files_of_other_programs_use_the_json(tmp_path):
    paddle.save({name: paddle.to_tensor(array) for name, array in WEIGHTS.items()}, str(tmp_path / "w.pdparams"))
    save_file(WEIGHTS, tmp_path / "w.safetensors", metadata={"format": "pt"})
    checkpoint.write_metadata_file(tmp_path / "w", METADATA)
    for suffix in WEIGHT_SUFFIXES:
        assert checkpoint.open_weights(tmp_path / f"w{suffix}").metadata == METADATA


def test_the_json_of_a_missing_weight_file_is_read(tmp_path):
    checkpoint.write_metadata_file(tmp_path / "w.pdparams", METADATA)
    assert checkpoint.read_metadata(tmp_path / "w.pdparams") == (METADATA, tmp_path / "w.json")


# Damage


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        checkpoint.open_weights(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 500
    return message


def positions_around_the_arrays(data: bytes, suffix: str) -> range:
    """Positions of the metadata, the checksum line and, in `.safetensors`, the names and shapes of the arrays."""
    if suffix == ".safetensors":
        return range(int.from_bytes(data[:8], "little") + 8)
    return range(data.rindex(b"\nchexnet metadata "), len(data))


@in_both_formats
def test_any_changed_byte_of_the_metadata_is_detected(tmp_path, suffix):
    """Although a JSON file that could replace the metadata exists."""
    path = tmp_path / f"w{suffix}"
    checkpoint.save_checkpoint(WEIGHTS, path, {"epoch": 3})
    data = path.read_bytes()
    for position in positions_around_the_arrays(data, suffix):
        for bit in (0, 5):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            refused(path)


@in_both_formats
def test_any_truncation_within_the_metadata_is_detected(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    checkpoint.save_checkpoint(WEIGHTS, path, {"epoch": 3})
    data = path.read_bytes()
    for length in positions_around_the_arrays(data, suffix)[1:]:
        path.write_bytes(data[:length])
        refused(path)
    if (
        suffix == ".pdparams"
    ):  # cut just before the metadata, it is a valid file of Paddle, and the JSON has another hash
        path.write_bytes(data[: data.rindex(b"\nchexnet metadata ")])
        with pytest.raises(InputError, match=r"w\.json: .*SHA-256"):
            checkpoint.open_weights(path)


def test_metadata_without_a_checksum_is_refused(tmp_path):
    pickled = pickle.dumps(WEIGHTS, protocol=4)
    (tmp_path / "w.pdparams").write_bytes(pickled + b'\nchexnet metadata {"epoch": 3}\n')
    save_file(WEIGHTS, tmp_path / "w.safetensors", metadata={"chexnet_metadata": '{"epoch": 3}'})
    for suffix in WEIGHT_SUFFIXES:
        refused(tmp_path / f"w{suffix}")


def write_with_checksum(path: Path, text: bytes) -> None:
    """Write a file with any text as metadata, and a valid checksum line."""
    if path.suffix == ".safetensors":
        digest = safetensors_files._digest(WEIGHTS, text.decode())
        entries = {"chexnet": checksum_line.format_line(digest, has_metadata=True), "chexnet_metadata": text.decode()}
        save_file(WEIGHTS, path, metadata=entries)
    else:
        content = pickle.dumps(WEIGHTS, protocol=4) + b"\nchexnet metadata " + text + b"\n"
        checksummed = checksum_line.format_line(hashlib.sha256(content).hexdigest(), has_metadata=True)
        path.write_bytes(content + f"chexnet {checksummed}\n".encode())


UNUSABLE = {
    "no object": (b"[1]", "JSON list"),
    "no JSON": (b"epoch 3", "JSON"),
    "nothing": (b" ", "JSON"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "a name twice": (b'{"a": 1, "a": 2}', "'a'"),
    "too deep": (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "deep"),
    "too many values": (b'{"a": [' + b"0," * 500_000 + b"0]}", "500,000"),
    "too large": (b'{"a": "' + b"x" * (32 << 20) + b'"}', "32 MB"),
    "not UTF-8": (b'{"a": "\xff"}', "UTF-8"),
}


@in_both_formats
@pytest.mark.parametrize("name", UNUSABLE)
def test_invalid_metadata_is_an_error_of_one_line(tmp_path, suffix, name):
    text, expected = UNUSABLE[name]
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors" and name == "not UTF-8":
        write_with_checksum(path, b'{"a": "y"}')
        path.write_bytes(path.read_bytes().replace(b"y", b"\xff"))
    else:
        write_with_checksum(path, text)
    assert expected in refused(path)


@in_both_formats
def test_metadata_that_could_not_be_read_is_not_saved(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    checkpoint.save_checkpoint(WEIGHTS, path, METADATA)
    before = path.read_bytes()
    for unreadable in ({"a": ["x"] * 500_001}, {"a": 10**20}):
        with pytest.raises(InputError, match=rf"w\{suffix}: .*metadata.*JSON"):
            checkpoint.save_checkpoint(WEIGHTS, path, unreadable)
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save_checkpoint(WEIGHTS, path, {"a": math.nan})
    assert path.read_bytes() == before
    assert set(tmp_path.iterdir()) == {path, path.with_suffix(".json")}


# Kills and full disks

EPOCHS = """
import os, signal, sys
import numpy as np
from chexnet.model import checkpoint
from chexnet.model.checkpoint import weight_files

def save(epoch, size=1000):
    checkpoint.save_checkpoint({"w": np.full(size, epoch, "f4")}, sys.argv[1], {"epoch": epoch, "list": ["x"] * 1000})
"""
"""The beginning of programs that write one file repeatedly; the weights are filled with the number of the epoch."""


def child(path: Path, program: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", EPOCHS + program, str(path)], stderr=subprocess.PIPE, text=True)


def epoch_of(path: Path) -> int:
    """Return the epoch of a file, and check that its weights and its metadata agree on it."""
    file = checkpoint.open_weights(path)
    assert (file.weights["w"] == file.metadata["epoch"]).all()
    return file.metadata["epoch"]


@in_both_formats
def test_a_kill_between_the_file_and_its_json_leaves_a_whole_checkpoint(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    program = "save(1); weight_files.write_metadata_file = lambda *_: os.kill(os.getpid(), 9); save(2)"
    process = child(path, program)
    process.communicate()
    assert process.returncode != 0
    assert checkpoint.read_metadata_file(path)["epoch"] == 1
    assert epoch_of(path) == 2


@in_both_formats
def test_a_disk_that_is_full_for_the_json_leaves_a_whole_checkpoint(tmp_path, suffix):
    """The limit on the file size is between the sizes of the weights and of the JSON, which has more white space."""
    pytest.importorskip("resource")
    path = tmp_path / f"w{suffix}"
    program = """
import resource
save(1, 10)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1]) + 10,) * 2)
save(2, 10)
"""
    process = child(path, program)
    assert "w.json: cannot be written: File too large" in process.communicate()[1]
    assert checkpoint.read_metadata_file(path)["epoch"] == 1
    assert epoch_of(path) == 2


@in_both_formats
def test_a_reader_sees_one_epoch_while_and_after_a_writer_is_killed(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    with child(path, "import itertools\nfor epoch in itertools.count(1): save(epoch)") as process:
        try:
            while not path.exists():
                assert process.poll() is None
            seen = {epoch_of(path) for _ in range(50)}
            while epoch_of(path) <= min(seen):
                assert process.poll() is None
        finally:
            process.kill()
    epoch_of(path)

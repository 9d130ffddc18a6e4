"""Randomly damaged weights and states: each file is read or refused; with a checksum, each is refused."""

import pickle
from contextlib import suppress

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as safetensors

from chexnet.model import checkpoint
from chexnet.model.convert import torch_files
from faults.fuzzing import Outcomes, damaged, tries

STATE = {
    "weights": {"w": np.arange(6, dtype="f4").reshape(2, 3), "b": np.ones(2, "f2")},
    "optimizer": {"moment": np.zeros((2, 3)), "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.001}},
    "history": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}],
    "generator": (3, (1, 2**40, -1), None, True, b"bytes"),
}


def all_plain(value: object) -> bool:
    if type(value) is dict:
        return all(map(all_plain, [*value, *value.values()]))
    if type(value) in (list, tuple):
        return all(map(all_plain, value))
    return isinstance(value, (str, bytes, bool, int, float, type(None), np.ndarray, np.generic))


def test_pickles(tmp_path, tally):
    outcomes = Outcomes(tally, "damaged .pdparams files without a checksum")
    path = tmp_path / "state.pdparams"
    paddle.save({"w": paddle.ones([2, 3]), "LR_Scheduler": {"last_epoch": 3}}, str(path))
    originals = [pickle.dumps(STATE, protocol) for protocol in (2, 3, 4, 5)] + [path.read_bytes()]

    @tries(ci=100, full=3000)
    @given(damaged(originals) | st.binary(max_size=40))
    def check(data):
        path.write_bytes(data)
        state = outcomes.attempt(lambda: checkpoint.load(path))
        if state is not None:
            with suppress(RecursionError):  # a part may contain itself
                assert all_plain(state)

    check()
    outcomes.close()


def test_states_with_a_checksum(tmp_path, tally):
    """Any change of the content is detected; any change of the file too, unless it removes the checksum."""
    path = tmp_path / "state.pdparams"
    checkpoint.save(STATE, path)
    whole = path.read_bytes()
    content, checksum = whole[: whole.index(b"\nchexnet ")], whole[whole.index(b"\nchexnet ") :]
    outcomes = Outcomes(tally, "damaged states with a checksum")

    @tries(ci=60, full=1500)
    @given(damaged([content]).map(lambda data: data + checksum) | damaged([whole]))
    def check(data):
        path.write_bytes(data)
        assert data in (whole, content) or outcomes.attempt(lambda: checkpoint.load(path)) is None

    check()
    outcomes.close()


def test_safetensors(tmp_path, tally):
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(STATE["weights"], path)
    with_checksum = path.read_bytes()
    outcomes = Outcomes(tally, "damaged .safetensors files")

    @tries(ci=60, full=1500)
    @given(damaged([with_checksum, safetensors(STATE["weights"])]) | st.binary(max_size=40))
    def check(data):
        path.write_bytes(data)
        weights = outcomes.attempt(lambda: checkpoint.read_weights(path))
        if weights is not None and b'{"chexnet":"' in data:
            assert all(np.array_equal(weights[name], array.astype("f4")) for name, array in STATE["weights"].items())

    check()
    outcomes.close()


@pytest.mark.filterwarnings("ignore")  # PyTorch warns about unknown content
def test_files_of_pytorch(tmp_path, tally):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "model.pth"
    content = {"epoch": 3, "state_dict": {"w": torch.ones(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}}
    originals = []
    for zipped in (True, False):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        originals.append(path.read_bytes())
    outcomes = Outcomes(tally, "damaged files of PyTorch")

    @tries(ci=60, full=1500)
    @given(damaged(originals))
    def check(data):
        path.write_bytes(data)
        outcomes.attempt(lambda: torch_files.read(path))

    check()
    outcomes.close()

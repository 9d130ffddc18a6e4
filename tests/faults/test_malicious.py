"""Files with code: no code runs, and each file is refused with the name of the function."""

import copyreg
import hashlib
import io
import pickle
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.convert import from_torch
from faults.gadgets import EXTENSION, GADGETS, PLACEHOLDER, WRITERS, called, named, planted, text


@pytest.fixture(autouse=True)
def extension():
    copyreg.add_extension("posix", "system", EXTENSION)
    yield
    copyreg.remove_extension("posix", "system", EXTENSION)
    copyreg.clear_extension_cache()


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """The folder that a gadget creates when it runs."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "executed"


@pytest.mark.parametrize("gadget", [name for name, gadget in GADGETS.items() if gadget.live])
def test_the_gadgets_work(gadget, marker):
    """Python's own unpickler runs them, so the tests below are able to fail."""
    value = pickle.loads(b"\x80\x02" + GADGETS[gadget].code(marker) + b".")
    if isinstance(value, subprocess.Popen):
        value.wait()
    sys.modules.pop(marker.stem, None)
    assert marker.is_dir()


# In files of Paddle

CONTENTS: dict[str, Any] = {
    "the file itself": PLACEHOLDER,
    "nested": {"a": [{"b": (1, PLACEHOLDER)}]},
    "in the state of an optimizer": {"linear_0.w_0_moment1_0": np.ones(2), "LR_Scheduler": {"last_epoch": PLACEHOLDER}},
    "in an array of objects": {"w": np.array([PLACEHOLDER], dtype=object)},
    "as a name": {PLACEHOLDER: np.ones(2)},
}


@pytest.mark.parametrize("location", CONTENTS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_no_gadget_runs_from_a_file_of_paddle(gadget, location, marker, tmp_path, tally):
    path = tmp_path / ("evil.pdopt" if "optimizer" in location else "evil.pdparams")
    path.write_bytes(planted(CONTENTS[location], GADGETS[gadget].code(marker)))
    with pytest.raises(InputError, match=rf"{path.name}: .*{re.escape(GADGETS[gadget].refusal)}.* not run") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    tally("code in .pdparams and .pdopt", 1, 1, "nothing; each was refused by name")


def with_checksum(data: bytes) -> bytes:
    """Return the data with a valid checksum of this library, which anyone can compute."""
    digest = hashlib.sha256(data + b"\n").hexdigest()
    return data + f"\nchexnet schema 1 sha256 {digest}\n".encode()


def test_a_file_with_a_valid_checksum_is_not_trusted(marker, tmp_path):
    path = tmp_path / "evil.pdparams"
    path.write_bytes(with_checksum(planted(CONTENTS["nested"], GADGETS["os.system"].code(marker))))
    with pytest.raises(InputError, match=r"refused: it asks to run posix\.system"):
        checkpoint.load(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["dtype", "ndarray"])
def test_a_file_cannot_change_numpy(name, tmp_path):
    path = tmp_path / "evil.pdparams"
    patch = named("numpy", name) + b"}" + text("__setstate__") + named("numpy", "ndarray") + b"sb"
    path.write_bytes(planted({"a": PLACEHOLDER}, patch))
    with pytest.raises(InputError, match="refused: it asks to set up a "):
        checkpoint.load(path)


@pytest.mark.parametrize("value", [named("numpy", "ndarray"), called("numpy", "dtype", text("f8"))])
def test_functions_that_create_arrays_are_not_values(value, tmp_path):
    path = tmp_path / "odd.pdparams"
    path.write_bytes(planted({"a": [(1, PLACEHOLDER)]}, value))
    with pytest.raises(InputError, match=r"odd\.pdparams: .*arrays and plain values"):
        checkpoint.load(path)


# In files of PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


TORCH_CONTENTS: dict[str, Callable[[Any], Any]] = {
    "the file itself": lambda weights: PLACEHOLDER,
    "next to the weights": lambda weights: {"state_dict": weights, "epoch": PLACEHOLDER},
    "among the weights": lambda weights: {"state_dict": {**weights, "extra": PLACEHOLDER}},
    "in the state of an optimizer": lambda weights: {
        "state_dict": weights,
        "optimizer": {"state": [{0: (PLACEHOLDER,)}]},
    },
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("location", TORCH_CONTENTS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_no_gadget_runs_from_a_file_of_pytorch(gadget, location, kind, torch, marker, tmp_path, tally):
    path = tmp_path / "evil.pth"
    content = TORCH_CONTENTS[location]({"features.conv0.weight": torch.ones(2)})
    WRITERS[kind](torch, content, GADGETS[gadget].code(marker), path)
    refusal = GADGETS[gadget].torch_refusal or GADGETS[gadget].refusal
    with pytest.raises(InputError, match=rf"evil\.pth: .*{re.escape(refusal)}.* not run") as caught:
        from_torch(path, tmp_path / "out.pdparams")
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    tally("code in files of PyTorch", 1, 1, "nothing; each was refused by name")


@pytest.mark.parametrize("kind", WRITERS)
def test_only_the_user_can_allow_code_to_run(kind, torch, marker, tmp_path):
    path = tmp_path / "evil.pth"
    WRITERS[kind](torch, {"state_dict": {}, "epoch": PLACEHOLDER}, GADGETS["os.system"].code(marker), path)
    with pytest.raises(InputError, match="--allow_pickle"):
        from_torch(path, tmp_path / "out.pdparams")
    assert not marker.exists()
    with pytest.raises(InputError, match="no tensors found"):
        from_torch(path, tmp_path / "out.pdparams", allow_pickle=True)
    assert marker.exists()


@pytest.mark.usefixtures("torch")
def test_tar_files_of_2016_are_not_unpacked(marker, tmp_path):
    path = tmp_path / "evil.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("../storages", "storages", "tensors", "pickle"):
            data = b"\x80\x02" + GADGETS["os.system"].code(marker) + b"."
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(InputError, match=r"evil\.pth: refused: it is in PyTorch's tar format"):
        from_torch(path, tmp_path / "out.pdparams")
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_torchscript_program_is_refused(torch, tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1)), tmp_path / "program.pth")
    with pytest.raises(InputError, match="it is a TorchScript program"):
        from_torch(tmp_path / "program.pth", tmp_path / "out.pdparams")

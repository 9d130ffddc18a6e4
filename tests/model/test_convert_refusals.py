"""Files that cannot be converted: the error names the cause, nothing is written, nothing is run."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.gadgets import PLACEHOLDER, WRITERS, called, number
from safetensors.numpy import save_file
from torch_layouts import run

from chexnet.model import checkpoint
from convert_torch_weights import main


def refused(capsys, tmp_path: Path, source: Path, *flags: str) -> str:
    """Return the error line; check that an older output is unchanged and that no other file is left."""
    output = tmp_path / "output" / "out.pdparams"
    output.parent.mkdir(exist_ok=True)
    output.write_text("older")
    assert run(source, output, *flags) == 2
    assert [path.name for path in output.parent.iterdir()] == ["out.pdparams"]
    assert output.read_text() == "older"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


BIAS = "densenet121.classifier.0.bias"
CONV = "densenet121.features.denseblock4.denselayer16.conv2.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({CONV: None, BIAS: None}, "missing 2: features.denseblock4.denselayer16.conv2.weight, classifier.0.bias"),
        ({"densenet121.fc.weight": np.ones(3, "float32")}, "left over 1: densenet121.fc.weight"),
        ({BIAS: np.ones(15, "float32")}, f"of another shape 1: {BIAS} [15] for [14]"),
        ({BIAS: np.full(14, np.nan, "float32")}, f"with NaN or infinity 1: {BIAS}"),
        ({BIAS: np.full(14, 1e300)}, f"with NaN or infinity 1: {BIAS}"),
        ({BIAS: np.ones(14, "int64")}, f"not floating-point 1: {BIAS}"),
        ({f"module.{BIAS}": np.ones(14, "float32")}, f"left over 1: module.{BIAS}"),
        ({"densenet121.classifier.0.weight": np.ones((8, 1024), "float32")}, "8 outputs found, 14 expected"),
    ],
    ids=["missing", "left over", "shape", "nan", "overflow", "integer", "in two places", "8 classes"],
)
def test_an_incomplete_or_invalid_model_is_refused(change, expected, torch_arrays, tmp_path, capsys):
    state = {name: array for name, array in {**torch_arrays, **change}.items() if array is not None}
    save_file(state, tmp_path / "in.safetensors")
    assert expected in refused(capsys, tmp_path, tmp_path / "in.safetensors")


def test_all_problems_are_listed_in_one_message(torch_arrays, tmp_path, capsys):
    state = {**torch_arrays, "extra": np.ones(1, "float32"), BIAS: np.ones(3, "float32")}
    del state[CONV]
    save_file(state, tmp_path / "in.safetensors")
    line = refused(capsys, tmp_path, tmp_path / "in.safetensors")
    assert "missing 1: " in line
    assert "left over 1: extra;" in line
    assert "of another shape 1: " in line


def test_another_network_is_refused(tmp_path, capsys):
    save_file({"layer1.0.conv1.weight": np.ones((2, 2), "float32")}, tmp_path / "resnet.safetensors")
    assert "DenseNet-121" in refused(capsys, tmp_path, tmp_path / "resnet.safetensors")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_pytorch_file_is_refused(legacy, torch, torch_network, tmp_path, capsys):
    complete, source = tmp_path / "complete.pth", tmp_path / "model.pth"
    torch.save(torch_network.state_dict(), complete, _use_new_zipfile_serialization=not legacy)
    data = complete.read_bytes()
    for length in (3, 1000, len(data) // 2, len(data) - 1):
        source.write_bytes(data[:length])
        assert "PyTorch" in refused(capsys, tmp_path, source)


def test_a_truncated_safetensors_file_is_refused(torch_arrays, tmp_path, capsys):
    source = tmp_path / "in.safetensors"
    save_file(torch_arrays, source)
    for length in (source.stat().st_size - 1, 1000, 3):
        os.truncate(source, length)
        assert "safetensors file" in refused(capsys, tmp_path, source)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Hello, this is a text file.\n", "'Hello"),
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"PK\x06\x07" + b"\2" * 16 + b"PK\5\6" + bytes(18), "PyTorch"),  # a zip archive of several disks
    ],
)
def test_a_file_of_another_kind_is_refused(content, expected, tmp_path, capsys):
    (tmp_path / "model.pth").write_bytes(content)
    assert expected in refused(capsys, tmp_path, tmp_path / "model.pth")


def test_a_file_without_weights_is_refused(torch, tmp_path, capsys):
    for content in ({"epoch": 3}, [1, 2], torch.ones(3), {"state_dict": {}}):
        torch.save(content, tmp_path / "model.pth")
        assert "no tensors found" in refused(capsys, tmp_path, tmp_path / "model.pth")


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert "no.pth: cannot be read: No such file" in refused(capsys, tmp_path, tmp_path / "no.pth")
    assert "cannot be read: Is a directory" in refused(capsys, tmp_path, tmp_path)


@pytest.mark.parametrize("suffix", [".pdparams", ".pth", ".safetensors"])
def test_a_paddle_file_is_not_taken_for_pytorch_under_any_name(suffix, tmp_path, capsys):
    source = tmp_path / f"in{suffix}"
    state = {"densenet121.conv1_func._conv.weight": np.ones(1, "float32")}
    checkpoint.save_weights(state, tmp_path / ("in.safetensors" if suffix == ".safetensors" else "in.pdparams"))
    if not source.exists():
        (tmp_path / "in.pdparams").rename(source)
    assert "--reverse" in refused(capsys, tmp_path, source)


def test_unusable_outputs_are_refused(torch_arrays, tmp_path, capsys):
    source = tmp_path / "in.safetensors"
    save_file({"a": torch_arrays[BIAS]}, source)
    (tmp_path / "folder.pdparams").mkdir()
    for output, expected in (("out.pth", ".pdparams or .safetensors"), ("folder.pdparams", "is a folder")):
        assert run(source, tmp_path / output) == 2
        assert expected in capsys.readouterr().err
    for output, expected in (("out.pdparams", "model.pth"), ("in.safetensors", "--output")):
        assert main(["--reverse", str(source), "--output", str(tmp_path / output)]) == 2
        assert expected in capsys.readouterr().err


def test_missing_pytorch_is_reported_if_needed(torch_arrays, tmp_path, capsys, monkeypatch):
    save_file(torch_arrays, tmp_path / "in.safetensors")
    assert run(tmp_path / "in.safetensors", tmp_path / "in.pdparams") == 0
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / "out.pth")]) == 2
    assert "pip install torch" in capsys.readouterr().err


# Files that run code


@pytest.mark.parametrize("kind", WRITERS)
def test_a_refusal_names_what_the_file_asked_to_run(kind, torch, tmp_path, capsys):
    """If the weights are incomplete; otherwise the class is left out, see test_convert_layouts.py."""
    content = {"state_dict": {"features.conv0.weight": torch.ones(2)}, "x": PLACEHOLDER}
    WRITERS[kind](torch, content, called("mylib.net", "Model", number(3)), tmp_path / "model.pth")
    assert "mylib.net.Model, which was not run" in refused(capsys, tmp_path, tmp_path / "model.pth")


def test_the_missing_package_of_a_module_is_named_with_allow_pickle(torch, tmp_path, capsys):
    WRITERS["zip"](torch, PLACEHOLDER, called("torchxrayvision_2.models", "DenseNet"), tmp_path / "model.pth")
    line = refused(capsys, tmp_path, tmp_path / "model.pth", "--allow_pickle")
    assert "torchxrayvision_2, which is not installed" in line


# Existing files at the output path


@pytest.mark.parametrize("content", ['{"predictions": []}', "[1, 2]", "no JSON"])
def test_a_json_that_is_not_metadata_is_not_replaced(content, torch_arrays, tmp_path, capsys):
    source, other = tmp_path / "in.safetensors", tmp_path / "out.json"
    save_file(torch_arrays, source)
    other.write_text(content)
    assert run(source, tmp_path / "out.pdparams") == 2
    assert "out.json: " in capsys.readouterr().err
    assert other.read_text() == content
    assert not (tmp_path / "out.pdparams").exists()
    other.write_text('{"backbone": "densenet121", "source": {}}')
    assert run(source, tmp_path / "out.pdparams") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", ["back.pth", "back.safetensors"])
def test_a_full_disk_leaves_one_line_and_no_half_file(name, torch, torch_arrays, tmp_path, capsys):
    import resource

    save_file(torch_arrays, tmp_path / "in.safetensors")
    assert run(tmp_path / "in.safetensors", tmp_path / "in.pdparams") == 0
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / name)]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{name}: cannot be written: " in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"in.safetensors", "in.pdparams", "in.json"}


def test_a_densenet_of_another_size_is_refused_in_one_short_line(torch_arrays, tmp_path, capsys):
    state = {name.replace("denselayer16", "denselayer33"): array for name, array in torch_arrays.items()}
    save_file(state, tmp_path / "in.safetensors")
    line = refused(capsys, tmp_path, tmp_path / "in.safetensors")
    assert "missing 20: " in line
    assert "left over 20: " in line
    assert len(line) < 1500


@pytest.mark.parametrize("flag", ["--key=x", "--classes_file=x", "--allow_pickle", "--resize=224"])
def test_flags_for_the_other_direction_are_refused(flag, tmp_path, capsys):
    assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / "out.pth"), flag]) == 2
    assert f"{flag.partition('=')[0]}: " in capsys.readouterr().err


def test_control_characters_in_names_are_escaped(torch_arrays, tmp_path, capsys):
    state = {f"\x1b[2Jm.{name}": array for name, array in torch_arrays.items()}
    save_file({**state, "\x1b[2Jm.criterion.w": np.ones(1, "float32")}, tmp_path / "in.safetensors")
    assert run(tmp_path / "in.safetensors", tmp_path / "out.pdparams") == 0
    report = capsys.readouterr().out
    assert "\x1b" not in report
    assert "\\x1b[2Jm.criterion.w" in report

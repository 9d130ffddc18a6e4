"""tools/release_weights.py and its output files."""

import json

import numpy as np
import paddle
import pytest

from chexnet.errors import InputError
from chexnet.model import checkpoint
from tools import release_weights

NOTICE = "Trained on two images."


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "best.pdparams"
    values = {
        "weight": np.linspace(-3, 3, 1000, dtype=np.float32).reshape(10, 100),
        "tiny": np.full(2, 1e-9, np.float32),
    }
    checkpoint.save_weights(values, path)
    checkpoint.write_metadata_file(path, {"resize": 40, "crop": 32, "notice": "an older one"})
    return path


def test_weights_are_rounded_to_float16_with_their_metadata_and_the_notice(source, tmp_path, capsys):
    target = tmp_path / "model.safetensors"
    assert (
        release_weights.main(["--ckpt", str(source), "--output", str(target), "--notice", NOTICE, "--map_limit", "25"])
        == 0
    )
    before, after = checkpoint.read_weights(source), checkpoint.read_weights(target)
    assert after["weight"].dtype == np.float16
    np.testing.assert_allclose(after["weight"].astype("f8"), before["weight"], rtol=2**-11)
    assert (after["tiny"] == 0).all()
    metadata = json.loads(target.with_suffix(".json").read_text())
    assert metadata["notice"] == NOTICE
    assert (metadata["resize"], metadata["crop"], metadata["precision"], metadata["map_limit"]) == (
        40,
        32,
        "float16",
        25,
    )
    assert checkpoint.read_metadata_file(source)["notice"] == "an older one"
    assert "MB, SHA-256" in capsys.readouterr().out


def test_a_network_loads_them_and_computes_in_float32(source, tmp_path):
    linear = paddle.nn.Linear(3, 2)
    checkpoint.save_weights(linear.state_dict(), source)
    checkpoint.export_weights(source, tmp_path / "model.safetensors")
    other = paddle.nn.Linear(3, 2)
    checkpoint.load_weights(other, tmp_path / "model.safetensors")
    assert other.weight.dtype == paddle.float32
    np.testing.assert_array_equal(other.weight.numpy(), linear.weight.numpy().astype("f2").astype("f4"))


def test_without_a_notice_the_one_of_the_source_is_kept(source, tmp_path):
    assert checkpoint.export_weights(source, tmp_path / "model.safetensors")["notice"] == "an older one"


def test_a_missing_notice_is_reported(source, tmp_path, capsys):
    checkpoint.write_metadata_file(source, {})
    assert release_weights.main(["--ckpt", str(source), "--output", str(tmp_path / "m.safetensors")]) == 0
    assert "--notice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "notice", "message"),
    [
        ("best.safetensors", "", r"best\.json: "),
        ("model.pdparams", "", r"model\.pdparams: .*\.safetensors"),
        ("model.safetensors", "two\nlines", r"two\\nlines"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(source, tmp_path, target, notice, message):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=message):
        checkpoint.export_weights(source, tmp_path / target, notice)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_weight_too_large_for_half_precision_is_named_and_nothing_written(source, tmp_path):
    checkpoint.save_weights({"fine": np.ones(2), "huge": np.array([1.0, 70000.0])}, source)
    with pytest.raises(InputError, match=r"model\.safetensors: .*\bhuge\b.*float16"):
        checkpoint.export_weights(source, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()

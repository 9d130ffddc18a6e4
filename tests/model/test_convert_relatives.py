"""torchxrayvision's and MONAI's DenseNet-121, and jrzech's checkpoint: outputs, classes and preprocessing."""

import json
import sys

import numpy as np
import pytest
from torch_layouts import run

from chexnet import model
from chexnet.labels import CLASS_NAMES

GRAY = np.random.default_rng(5).integers(0, 256, (2, 1, 48, 48), dtype=np.uint8)

INPUTS = {
    "torchxrayvision": lambda gray: (2 * (gray / np.float32(255)) - 1) * 1024,
    "zero_one": lambda gray: gray / np.float32(255),
    "minus_one_one": lambda gray: 2 * (gray / np.float32(255)) - 1,
    "imagenet": lambda gray: (gray / np.float32(255) - np.float32(0.485)) / np.float32(0.229),
}
"""Normalization -> function from gray pixels to the input of a network with one channel."""


@pytest.fixture(scope="module")
def relatives(torch):
    import torch_relatives

    return torch_relatives


def randomized_network(network, seed=1):
    from torch_densenet import randomize

    randomize(network, seed)
    return network


def outputs(torch, network, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(inputs)).numpy()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def predicted(path, gray=GRAY) -> np.ndarray:
    return model.load(path).predict(gray)


@pytest.fixture(scope="module")
def xrv(torch, relatives):
    """A network with a small first convolution, for inputs up to 1024."""
    network = randomized_network(relatives.XrvDenseNet())
    with torch.no_grad():
        network.features.conv0.weight /= 1024
    return network


def test_torchxrayvision_weights_give_the_same_probabilities(torch, relatives, xrv, tmp_path, capsys):
    """Compare sigmoids of logits, and outputs rescaled by the operating points of 14 classes, as in `nih` weights."""
    logits = outputs(torch, xrv, INPUTS["torchxrayvision"](GRAY))
    thresholds = torch.cat([torch.linspace(0.1, 0.6, 14), torch.full((4,), torch.nan)])
    state = {**xrv.state_dict(), "op_threshs": thresholds}
    torch.save(state, tmp_path / "xrv.pt")
    assert run(tmp_path / "xrv.pt", tmp_path / "xrv.pdparams") == 0
    report = capsys.readouterr().out
    assert "Lung Lesion, Fracture, " in report
    assert "op_threshs" in report
    metadata = json.loads((tmp_path / "xrv.json").read_text())
    assert (metadata["resize"], metadata["crop"], metadata["crops"], metadata["normalization"]) == (
        224,
        224,
        1,
        "minus_one_one",
    )
    assert metadata["classes"][:3] == ["Atelectasis", "Consolidation", "Infiltration"]
    assert len(metadata["classes"]) == 14
    found = predicted(tmp_path / "xrv.pdparams")
    np.testing.assert_allclose(found, sigmoid(logits)[:, :14], rtol=0, atol=1e-5)
    xrv.op_threshs = thresholds
    normed = outputs(torch, xrv, INPUTS["torchxrayvision"](GRAY))
    xrv.op_threshs = None
    again = relatives.op_norm(torch.from_numpy(found), thresholds[:14]).numpy()
    np.testing.assert_allclose(again, normed[:, :14], rtol=0, atol=1e-4)
    assert (normed[:, 14:] == 0.5).all()


def test_a_whole_module_of_torchxrayvision_is_recognized(torch, relatives, xrv, tmp_path, monkeypatch, capsys):
    package = type(torch)("torchxrayvision.models")
    package.DenseNet = type("DenseNet", (relatives.XrvDenseNet,), {"__module__": "torchxrayvision.models"})
    monkeypatch.setattr(xrv, "__class__", package.DenseNet)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torchxrayvision", type(torch)("torchxrayvision"))
        patch.setitem(sys.modules, "torchxrayvision.models", package)
        torch.save(xrv, tmp_path / "xrv.pt")
    assert run(tmp_path / "xrv.pt", tmp_path / "xrv.pdparams") == 0
    assert "as in torchxrayvision shorter side 224" in capsys.readouterr().out
    assert len(model.load_model_config(tmp_path / "xrv.pdparams").classes) == 18


@pytest.mark.parametrize("normalization", INPUTS)
def test_one_input_channel_gives_the_same_probabilities(normalization, torch, relatives, tmp_path, capsys):
    """The images have only 48 x 48 pixels, so that a wrong offset would show at the borders."""
    network = randomized_network(relatives.MonaiDenseNet121(in_channels=1, outputs=5))
    inputs = INPUTS[normalization](GRAY)
    with torch.no_grad():
        network.features.conv0.weight /= float(np.abs(inputs).max())
    torch.save(network.state_dict(), tmp_path / "monai.pt")
    (tmp_path / "names.txt").write_text("A\nB\nC\nD\nE\n")
    flags = ["--classes_file", str(tmp_path / "names.txt")]
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams", *flags) == 2
    assert "--normalization" in capsys.readouterr().err
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams", *flags, "--normalization", normalization) == 0
    wanted = sigmoid(outputs(torch, network, inputs))
    assert wanted.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(predicted(tmp_path / "out.pdparams"), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 15])
def test_monai_with_three_channels_and_any_number_of_classes(count, torch, relatives, tmp_path, capsys):
    network = randomized_network(relatives.MonaiDenseNet121(in_channels=3, outputs=count))
    torch.save({"net": network.state_dict()}, tmp_path / "monai.pt")
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams") == 2
    line = capsys.readouterr().err
    assert f"{count} outputs found" in line
    assert "--classes_file FILE" in line
    (tmp_path / "names.txt").write_text("".join(f"finding {number}\n" for number in range(count)))
    flags = [
        "--classes_file",
        str(tmp_path / "names.txt"),
        "--normalization",
        "zero_one",
        "--resize",
        "240",
        "--crop",
        "192",
    ]
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams", *flags, "--crops", "1") == 0
    assert "MONAI's dense layers" in capsys.readouterr().out
    wanted = sigmoid(outputs(torch, network, np.repeat(INPUTS["zero_one"](GRAY), 3, axis=1)))
    np.testing.assert_allclose(predicted(tmp_path / "out.pdparams"), wanted, rtol=0, atol=1e-5)
    known = model.load_model_config(tmp_path / "out.pdparams")
    assert known.classes == tuple(f"finding {number}" for number in range(count))
    assert (known.preprocessing.resize, known.preprocessing.crop, known.crops) == (240, 192, 1)


def test_another_number_of_names_than_outputs_is_refused(torch, relatives, tmp_path, capsys):
    network = randomized_network(relatives.MonaiDenseNet121(in_channels=3, outputs=3))
    torch.save(network.state_dict(), tmp_path / "monai.pt")
    (tmp_path / "names.txt").write_text("A\nB\n")
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams", "--classes_file", str(tmp_path / "names.txt")) == 2
    assert "3 outputs found, expected 2" in capsys.readouterr().err


def test_a_three_dimensional_network_is_refused(torch, relatives, tmp_path, capsys):
    state = relatives.MonaiDenseNet121(in_channels=1, outputs=14).state_dict()
    state["features.conv0.weight"] = torch.ones(64, 1, 7, 7, 7)
    torch.save(state, tmp_path / "monai.pt")
    assert run(tmp_path / "monai.pt", tmp_path / "out.pdparams", "--normalization", "zero_one") == 2
    assert "features.conv0.weight [64, 1, 7, 7, 7] for [64, 1, 7, 7]" in capsys.readouterr().err


def test_jrzech_preprocessing_is_recognized(torch, torch_network, tmp_path, capsys):
    """Its program saves the whole module and resizes images to 224 pixels; arnoweng's has 256 and ten crops."""
    content = {"model": torch_network, "best_loss": 0.1, "epoch": 5, "rng_state": torch.get_rng_state(), "LR": 0.01}
    torch.save(content, tmp_path / "checkpoint", _use_new_zipfile_serialization=False)
    assert run(tmp_path / "checkpoint", tmp_path / "out.pdparams") == 0
    assert "as in jrzech/reproduce-chexnet shorter side 224 pixels, crop 224, 1 crop" in (capsys.readouterr().out)
    known = model.load_model_config(tmp_path / "out.pdparams")
    assert (known.preprocessing.resize, known.preprocessing.crop, known.crops) == (224, 224, 1)
    assert known.classes == CLASS_NAMES
    assert run(tmp_path / "checkpoint", tmp_path / "out.pdparams", "--resize", "256", "--crops", "10") == 0
    known = model.load_model_config(tmp_path / "out.pdparams")
    assert (known.preprocessing.resize, known.preprocessing.crop, known.crops) == (256, 224, 10)

"""Weights of every PyTorch layout in circulation, written by PyTorch itself, convert to Paddle unchanged."""

import hashlib
import json
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from torch_layouts import (
    assert_equal,
    counterless,
    dotted,
    probabilities,
    run,
    write_2017,
    write_bare,
    write_channels_last,
    write_cuda,
    write_modern,
    write_safetensors,
    write_torchvision,
)

from chexnet.data.transforms import MEAN, STD
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.model import checkpoint, convert
from chexnet.model.convert import torch_files, weight_names
from convert_torch_weights import main

# The table


def test_the_table_equals_the_network_in_paddle():
    from chexnet.model.backbones import BACKBONES

    shapes = {name: tuple(tensor.shape) for name, tensor in BACKBONES["densenet121"](14).state_dict().items()}
    table = list(weight_names.model_weights())
    assert {weight.paddle: weight.paddle_shape for weight in table} == shapes
    assert len(table) == 606
    assert sum(int(np.prod(weight.shape)) for weight in table) == 7_051_854
    assert len(list(weight_names.backbone_weights())) == 604


def test_the_table_equals_the_network_in_pytorch(torch_network):
    shapes = {name: tuple(tensor.shape) for name, tensor in counterless(torch_network.state_dict()).items()}
    assert {weight_names.PREFIX + weight.torch: weight.shape for weight in weight_names.model_weights()} == shapes


def test_580_names_of_2017_are_spelled_differently(torch_network):
    """Without renaming, `strict=False` loads only the other 26, silently, and the AUROC is about 0.5."""
    modern = {f"module.{name}" for name in counterless(torch_network.state_dict())}
    old = dotted(torch_network.state_dict()).keys()
    assert (len(old), len(old - modern)) == (606, 580)


# Layouts

LAYOUTS = {
    "model.pth.tar": (write_2017, "module.densenet121.features.* with dotted dense layers, float32; "),
    "cuda.pth.tar": (write_cuda, "legacy PyTorch file, weights in 'state_dict'"),
    "modern.pth": (write_modern, "module.densenet121.features.* with undotted dense layers, float32; zip"),
    "bare.pt": (write_bare, " densenet121.features.* with undotted dense layers, float32; zip PyTorch file"),
    "torchvision.pth": (write_torchvision, " features.* with undotted dense layers"),
    "channels_last.pth": (write_channels_last, "bare state dict"),
    "weights.safetensors": (write_safetensors, "safetensors file"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_converted_exactly(name, torch, torch_network, paddle_arrays, tmp_path, capsys):
    write, expected = LAYOUTS[name]
    write(torch, torch_network.state_dict(), tmp_path / name)
    assert run(tmp_path / name, tmp_path / "out.pdparams") == 0
    assert_equal(checkpoint.load(tmp_path / "out.pdparams"), paddle_arrays)
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(precision, torch, torch_network, paddle_arrays, tmp_path, capsys):
    dtype = getattr(torch, precision)
    state = {name: tensor.to(dtype) for name, tensor in counterless(torch_network.state_dict()).items()}
    torch.save(state, tmp_path / "model.pt")
    assert run(tmp_path / "model.pt", tmp_path / "out.pdparams") == 0
    rounded = {name: torch.from_numpy(array).to(dtype).float().numpy() for name, array in paddle_arrays.items()}
    assert_equal(checkpoint.load(tmp_path / "out.pdparams"), rounded)
    assert f"{precision} was {'rounded' if precision == 'float64' else 'widened'} to float32" in capsys.readouterr().out


def test_safetensors_in_half_precision_needs_no_torch(torch_arrays, tmp_path, monkeypatch, capsys):
    save_file({name: array.astype(np.float16) for name, array in torch_arrays.items()}, tmp_path / "half.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(tmp_path / "half.safetensors", tmp_path / "out.pdparams") == 0
    assert "float16 was widened to float32" in capsys.readouterr().out
    found = checkpoint.load(tmp_path / "out.pdparams")
    weight = torch_arrays["densenet121.classifier.0.weight"].astype(np.float16).astype(np.float32).T
    np.testing.assert_array_equal(found["densenet121.out.0.weight"], weight)


def test_safetensors_and_pdparams_outputs_hold_the_same(torch_arrays, tmp_path):
    """Convert in both directions, and load the outputs for training and evaluation."""
    from chexnet.model import CheXNet, init_weights, load

    save_file(torch_arrays, tmp_path / "in.safetensors")
    for name in ("out.pdparams", "out.safetensors"):
        assert run(tmp_path / "in.safetensors", tmp_path / name) == 0
    weights, same = (
        checkpoint.read_weights(tmp_path / "out.pdparams"),
        checkpoint.read_weights(tmp_path / "out.safetensors"),
    )
    assert_equal(same, weights)
    network = CheXNet()
    init_weights(network, str(tmp_path / "out.safetensors"))
    for filled in (network, load(tmp_path / "out.safetensors")):
        assert_equal({name: tensor.numpy() for name, tensor in filled.state_dict().items()}, weights)
    assert main(["--reverse", str(tmp_path / "out.safetensors"), "--output", str(tmp_path / "back.safetensors")]) == 0
    assert_equal(load_file(tmp_path / "back.safetensors"), torch_arrays)


# Probabilities


def test_paddle_computes_what_pytorch_computes(torch, torch_network, tmp_path):
    images = np.random.default_rng(1).standard_normal((2, 3, 64, 64), dtype=np.float32)
    write_2017(torch, torch_network.state_dict(), tmp_path / "model.pth.tar")
    convert.from_torch(tmp_path / "model.pth.tar", tmp_path / "out.pdparams")
    with torch.no_grad():
        wanted = torch_network(torch.from_numpy(images)).numpy()
    assert wanted.std(axis=0).max() > 1e-3  # the network tells the two images apart
    np.testing.assert_allclose(probabilities(tmp_path / "out.pdparams", images), wanted, rtol=0, atol=1e-5)


@pytest.mark.real_data
def test_paddle_computes_what_pytorch_computes_on_a_radiograph(nih_sample, torch, torch_network, tmp_path):
    with Image.open(min((nih_sample / "images").glob("*.png"))) as image:
        gray = np.asarray(image.convert("L").resize((256, 256), Image.Resampling.BILINEAR), dtype=np.float32)
    crop = np.stack([(gray[16:240, 16:240] / 255 - mean) / std for mean, std in zip(MEAN, STD, strict=True)])
    images = crop[None].astype(np.float32)
    write_bare(torch, torch_network.state_dict(), tmp_path / "model.pt")
    convert.from_torch(tmp_path / "model.pt", tmp_path / "out.pdparams")
    with torch.no_grad():
        wanted = torch_network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities(tmp_path / "out.pdparams", images), wanted, rtol=0, atol=1e-5)


def test_the_comparison_would_notice_a_wrong_mapping(paddle_arrays, tmp_path):
    """No two tensors are equal, and exchanging two of the same shape exceeds the tolerance above."""
    assert len({hashlib.sha256(array.tobytes()).digest() for array in paddle_arrays.values()}) == 606
    images = np.random.default_rng(1).standard_normal((1, 3, 64, 64), dtype=np.float32)
    checkpoint.save(paddle_arrays, tmp_path / "right.pdparams")
    right = probabilities(tmp_path / "right.pdparams", images)
    norm = "densenet121.db_conv_5.conv5_16.bn_ac_func2._batch_norm."
    conv = "densenet121.db_conv_4.conv4_{}.bn_ac_func2._conv.weight"
    mean, variance, weight, bias = (norm + name for name in ("_mean", "_variance", "weight", "bias"))
    swaps = [
        {mean: paddle_arrays[variance], variance: np.abs(paddle_arrays[mean])},  # a negative variance would be refused
        {weight: paddle_arrays[bias], bias: paddle_arrays[weight]},
        {conv.format(7): paddle_arrays[conv.format(8)], conv.format(8): paddle_arrays[conv.format(7)]},
    ]
    for swap in swaps:
        checkpoint.save({**paddle_arrays, **swap}, tmp_path / "wrong.pdparams")
        wrong = probabilities(tmp_path / "wrong.pdparams", images)
        assert not np.allclose(wrong, right, rtol=0, atol=1e-4)


# ImageNet backbones


@pytest.mark.parametrize("old", [False, True], ids=["timm", "torchvision"])
def test_imagenet_network_becomes_a_backbone_file(old, torch, torch_network, paddle_arrays, tmp_path, capsys):
    state = {n.removeprefix("densenet121."): t for n, t in torch_network.state_dict().items() if "classifier" not in n}
    state |= {"classifier.weight": torch.ones(1000, 1024), "classifier.bias": torch.zeros(1000)}
    torch.save(dotted(state, prefix="") if old else state, tmp_path / "densenet121-a639ec97.pth")
    output = tmp_path / "backbone.pdparams"
    assert run(tmp_path / "densenet121-a639ec97.pth", output) == 0
    backbone = {n.removeprefix("densenet121."): array for n, array in paddle_arrays.items() if ".out." not in n}
    assert len(backbone) == 604
    assert_equal(checkpoint.load(output), backbone)
    metadata = checkpoint.read_metadata_file(output)
    assert metadata["backbone"] == "densenet121"
    assert not {"resize", "crop", "classes"} & metadata.keys()
    report = capsys.readouterr().out
    assert "left out    classifier: the 1000 " in report
    assert f"python train.py --init {output}" in report
    assert "class order" not in report


def test_a_backbone_file_initializes_the_network(torch_arrays, tmp_path):
    from chexnet.model import CheXNet, init_weights

    state = {
        name.removeprefix("densenet121."): array for name, array in torch_arrays.items() if "classifier" not in name
    }
    state |= {"classifier.weight": np.ones((1000, 1024), "float32"), "classifier.bias": np.zeros(1000, "float32")}
    save_file(state, tmp_path / "imagenet.safetensors")
    convert.from_torch(tmp_path / "imagenet.safetensors", tmp_path / "backbone.pdparams")
    chexnet = CheXNet()
    init_weights(chexnet, str(tmp_path / "backbone.pdparams"))
    wanted = torch_arrays["densenet121.features.norm5.running_var"]
    np.testing.assert_array_equal(chexnet.densenet121.batch_norm._variance.numpy(), wanted)


# The report, the metadata, the file


def test_the_report_lists_what_was_converted(torch, torch_network, tmp_path, capsys):
    source, output = tmp_path / "model.pth.tar", tmp_path / "new folder" / "out.pdparams"
    state = dotted(torch_network.state_dict()) | {
        "module.densenet121.features.norm0.num_batches_tracked": torch.tensor(5)
    }
    torch.save({"epoch": 7, "best_loss": np.float64(0.15), "state_dict": state, "optimizer": {}}, source)
    assert run(source, output) == 0
    report = capsys.readouterr().out
    assert "mapped      606 tensors, 7,051,854 values\n" in report
    assert "left out    1 num_batches_tracked: " in report
    assert "left out    epoch, best_loss, optimizer: " in report
    assert "class order assumed: " in report
    assert f"next        python eval.py --ckpt '{output}'\n" in report
    for path in (source, output):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in report


def test_the_metadata_holds_classes_preprocessing_and_origin(torch_arrays, tmp_path):
    save_file(torch_arrays, tmp_path / "in.safetensors")
    conversion = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "out.pdparams")
    metadata = checkpoint.open_weights(tmp_path / "out.pdparams").metadata
    assert json.loads((tmp_path / "out.json").read_text()) == {**metadata, "weights_sha256": conversion.output_sha256}
    assert metadata == {
        "backbone": "densenet121",
        "classes": list(CLASS_NAMES),
        "resize": 256,
        "crop": 224,
        "source": {
            "file": "in.safetensors",
            "sha256": hashlib.sha256((tmp_path / "in.safetensors").read_bytes()).hexdigest(),
            "layout": conversion.layout,
        },
    }


def test_a_source_that_changes_while_it_is_read_is_refused(torch_arrays, tmp_path, monkeypatch):
    """The report would hold the checksum of other weights."""
    source = tmp_path / "in.safetensors"
    save_file(torch_arrays, source)
    read = torch_files.read

    def replaced(path, *arguments):
        content = read(path, *arguments)
        save_file({**torch_arrays, "densenet121.classifier.0.bias": np.ones(14, np.float32)}, source)
        return content

    monkeypatch.setattr(torch_files, "read", replaced)
    with pytest.raises(InputError, match=r"in\.safetensors: changed"):
        convert.from_torch(source, tmp_path / "out.pdparams")
    assert not list(tmp_path.glob("out.*"))


def test_same_source_gives_the_same_bytes(torch_arrays, tmp_path):
    save_file(torch_arrays, tmp_path / "in.safetensors")
    first = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "one.pdparams")
    second = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "two.pdparams")
    assert first.output_sha256 == second.output_sha256


@pytest.mark.parametrize("keyword", ["to_paddle", "to_torch"])
def test_an_output_that_reads_back_differently_is_not_kept(keyword, torch_arrays, tmp_path, monkeypatch):
    save_file(torch_arrays, tmp_path / "in.safetensors")
    convert.from_torch(tmp_path / "in.safetensors", tmp_path / "in.pdparams")
    if keyword == "to_paddle":
        name = "densenet121.out.0.bias"
        read = checkpoint.read_weights
        monkeypatch.setattr(checkpoint, "read_weights", lambda path: {**read(path), name: np.zeros(14, "float32")})
        with pytest.raises(InputError, match=r"out\.pdparams: .*read back"):
            convert.from_torch(tmp_path / "in.safetensors", tmp_path / "out.pdparams")
    else:
        monkeypatch.setattr(torch_files, "read", lambda path: torch_files.TorchFile({}, "empty"))
        with pytest.raises(InputError, match=r"out\.safetensors: .*read back"):
            convert.to_torch(tmp_path / "in.pdparams", tmp_path / "out.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"in.safetensors", "in.pdparams", "in.json"}


# From Paddle to PyTorch


@pytest.mark.parametrize("name", ["model.pth.tar", "model.safetensors"])
def test_a_round_trip_is_exact(name, torch, torch_network, paddle_arrays, tmp_path, capsys):
    first, back, again = tmp_path / "first.pdparams", tmp_path / name, tmp_path / "again.pdparams"
    checkpoint.save(paddle_arrays, first)
    assert main(["--reverse", str(first), "--output", str(back)]) == 0
    report = capsys.readouterr().out
    assert "mapped      606 tensors, 7,051,854 values" in report
    assert "model.load_state_dict(" in report
    if name.endswith(".safetensors"):
        from safetensors.torch import load_file

        state = load_file(back)
    else:
        state = torch.load(back, weights_only=True)["state_dict"]

    from torch_densenet import TorchCheXNet

    fresh = TorchCheXNet()
    fresh.load_state_dict(state, strict=True)
    original = counterless(torch_network.state_dict())
    assert all(torch.equal(tensor, original[name]) for name, tensor in counterless(fresh.state_dict()).items())
    assert run(back, again) == 0
    assert_equal(checkpoint.load(again), paddle_arrays)


@pytest.mark.usefixtures("torch")
def test_conversion_to_pytorch_is_reproducible(torch_arrays, tmp_path):
    save_file(torch_arrays, tmp_path / "in.safetensors")
    convert.from_torch(tmp_path / "in.safetensors", tmp_path / "in.pdparams")
    digests = {convert.to_torch(tmp_path / "in.pdparams", tmp_path / f"{n}.pth").output_sha256 for n in "ab"}
    assert len(digests) == 1


def test_half_a_model_is_not_converted_to_pytorch(torch_arrays, tmp_path, capsys):
    checkpoint.save({"densenet121.out.0.bias": np.ones(14, "float32"), "extra": np.ones(2)}, tmp_path / "in.pdparams")
    assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / "out.safetensors")]) == 2
    line = capsys.readouterr().err
    assert "missing 605: densenet121.conv1_func._conv.weight, " in line
    assert "left over 1: extra" in line
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.usefixtures("torch")
def test_another_number_of_classes_is_converted_to_pytorch(torch_arrays, tmp_path, capsys):
    state = {name: array[:5] if "classifier" in name else array for name, array in torch_arrays.items()}
    save_file(state, tmp_path / "in.safetensors")
    (tmp_path / "names.txt").write_text("A\nB\nC\nD\nE\n")
    assert (
        run(tmp_path / "in.safetensors", tmp_path / "in.pdparams", "--classes_file", str(tmp_path / "names.txt")) == 0
    )
    assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / "back.safetensors")]) == 0
    assert_equal(load_file(tmp_path / "back.safetensors"), state)
    assert "its classes: ['A', 'B', 'C', 'D', 'E']" in capsys.readouterr().out

"""Weights of every PyTorch layout in circulation, written by PyTorch itself, arrive unchanged in Paddle."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from chexnet import checkpoint, convert
from chexnet.convert import names, torch_files
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.transforms import MEAN, STD
from convert_torch_weights import main


@pytest.fixture(autouse=True)
def _clean(tmp_path):
    """Removes a test's files at once: together they are some gigabytes."""
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def network(torch):
    """PyTorch's CheXNet: every tensor random, so that no two can be taken for each other unnoticed."""
    from torch_densenet import TorchCheXNet, randomised

    torch.set_num_threads(1)
    return randomised(TorchCheXNet(), seed=0)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """A CheXNet of random numbers under modern PyTorch names; needs no PyTorch."""
    generator = np.random.default_rng(0)
    return {names.PREFIX + w.torch: generator.random(w.shape, dtype=np.float32) for w in names.model()}


@pytest.fixture(scope="module")
def expected(network) -> dict[str, np.ndarray]:
    """What every layout of `network` must become, worked out name by name and not by the table."""
    state = {}
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            turned = tensor.numpy().T if "classifier.0.weight" in name else tensor.numpy()
            state[slow_name(name)] = np.ascontiguousarray(turned)
    return state


def slow_name(name: str) -> str:
    """A second, independent way from a PyTorch name to Paddle's."""
    of_paddle = {"running_mean": "_mean", "running_var": "_variance"}
    *path, last = name.removeprefix("densenet121.").split(".")
    last = of_paddle.get(last, last)
    if path[0] == "classifier":
        return f"densenet121.out.0.{last}"
    if path[1] == "norm5":
        return f"densenet121.batch_norm.{last}"
    module = "_batch_norm" if path[-1].startswith("norm") else "_conv"
    if path[1] in ("conv0", "norm0"):
        place = "conv1_func"
    elif path[1].startswith("transition"):
        place = f"tr_conv{int(path[1][-1]) + 1}_blk.conv_ac_func"
    else:
        stage, layer = int(path[1][-1]) + 1, path[2].removeprefix("denselayer")
        place = f"db_conv_{stage}.conv{stage}_{layer}.bn_ac_func{path[3][-1]}"
    return f"densenet121.{place}.{module}.{last}"


def dotted(state, prefix="module."):
    """The spelling of 2017: `denselayer16.conv.2.weight`, below DataParallel, without batch counters."""
    return OrderedDict(
        (prefix + re.sub(r"(denselayer\d+\.)(norm|conv)(\d)", r"\1\2.\3", name), tensor)
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    )


def counterless(state):
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def run(source: Path, output: Path, *flags: str) -> int:
    return main(["--torch_ckpt", str(source), "--output", str(output), *flags])


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(array.dtype == np.float32 for array in found.values())
    different = [name for name in wanted if not np.array_equal(found[name], wanted[name])]
    assert not different


def probabilities(path: Path, images: np.ndarray) -> np.ndarray:
    import paddle

    from chexnet import model

    chexnet = model.load(path)
    chexnet.eval()
    with paddle.no_grad():
        return chexnet(paddle.to_tensor(images)).numpy()


# The table


def test_table_is_the_network_of_paddle():
    from chexnet.backbones import densenet121

    shapes = {name: tuple(tensor.shape) for name, tensor in densenet121(14).state_dict().items()}
    table = list(names.model())
    assert {weight.paddle: weight.paddle_shape for weight in table} == shapes
    assert len(table) == 606
    assert sum(int(np.prod(weight.shape)) for weight in table) == 7_051_854
    assert len(list(names.backbone())) == 604


def test_table_is_the_network_of_pytorch(network):
    shapes = {name: tuple(tensor.shape) for name, tensor in counterless(network.state_dict()).items()}
    assert {names.PREFIX + weight.torch: weight.shape for weight in names.model()} == shapes


def test_580_names_of_2017_are_spelled_differently(network):
    """Why so many report an AUROC of 0.5: without renaming, `strict=False` takes 26 tensors in silence."""
    modern = {f"module.{name}" for name in counterless(network.state_dict())}
    old = dotted(network.state_dict()).keys()
    assert (len(old), len(old - modern)) == (606, 580)


# Layouts


def write_2017(torch, state, path):
    """arnoweng's: legacy pickle, dotted names, a NumPy scalar and an optimizer beside the weights."""

    def reduce(tensor, protocol):  # as PyTorch 0.3 had it
        place = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        return torch._utils._rebuild_tensor, (tensor._typed_storage(), *place)

    checkpoint_2017 = {
        "epoch": 7,
        "best_loss": np.float64(0.15),
        "best_auroc": np.float32(0.84),
        "state_dict": dotted(state),
        "optimizer": {"state": {2**40: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3}]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "__reduce_ex__", reduce)
        torch.save(checkpoint_2017, path, _use_new_zipfile_serialization=False)
    assert b"_rebuild_tensor\n" in path.read_bytes()


def write_cuda(torch, state, path):
    """The same written on a GPU, so that the storages ask for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        write_2017(torch, state, path)
    data = path.read_bytes()
    assert data.count(b"ctorch\nFloatStorage\n") == 1  # named once, then remembered
    assert b"cuda:0" in data
    path.write_bytes(data.replace(b"ctorch\nFloatStorage\n", b"ctorch.cuda\nFloatStorage\n"))


def write_modern(torch, state, path):
    torch.save({"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)


def write_bare(torch, state, path):
    torch.save(state, path)


def write_torchvision(torch, state, path):
    """A torchvision DenseNet-121 with a Linear of 14 for its head."""
    plain = {name.removeprefix("densenet121.").replace("classifier.0", "classifier"): t for name, t in state.items()}
    torch.save({"model_state_dict": plain}, path)


def write_channels_last(torch, state, path):
    convolution = torch.channels_last
    torch.save({n: t.to(memory_format=convolution) if t.dim() == 4 else t for n, t in state.items()}, path)


def write_safetensors(torch, state, path):
    save_file({name: tensor.numpy() for name, tensor in state.items()}, path)


LAYOUTS = {
    "model.pth.tar": (write_2017, "CheXNet named module.densenet121.features.* with dotted dense layers, float32; "),
    "cuda.pth.tar": (write_cuda, "legacy PyTorch file, weights in 'state_dict'"),
    "modern.pth": (write_modern, "named module.densenet121.features.* with undotted dense layers, float32; zip"),
    "bare.pt": (write_bare, "named densenet121.features.* with undotted dense layers, float32; zip PyTorch file"),
    "torchvision.pth": (write_torchvision, "named features.* with undotted dense layers"),
    "channels_last.pth": (write_channels_last, "weights in a bare state dict"),
    "weights.safetensors": (write_safetensors, "safetensors file"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_arrives_bit_for_bit(name, torch, network, expected, tmp_path, capsys):
    write, words = LAYOUTS[name]
    write(torch, network.state_dict(), tmp_path / name)
    assert run(tmp_path / name, tmp_path / "out.pdparams") == 0
    assert_equal(checkpoint.load(tmp_path / "out.pdparams"), expected)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(precision, torch, network, expected, tmp_path, capsys):
    dtype = getattr(torch, precision)
    state = {name: tensor.to(dtype) for name, tensor in counterless(network.state_dict()).items()}
    torch.save(state, tmp_path / "model.pt")
    assert run(tmp_path / "model.pt", tmp_path / "out.pdparams") == 0
    rounded = {name: torch.from_numpy(array).to(dtype).float().numpy() for name, array in expected.items()}
    assert_equal(checkpoint.load(tmp_path / "out.pdparams"), rounded)
    assert f"{precision} was {'rounded' if precision == 'float64' else 'widened'} to float32" in capsys.readouterr().out


def test_safetensors_in_half_precision_needs_no_torch(arrays, tmp_path, monkeypatch, capsys):
    save_file({name: array.astype(np.float16) for name, array in arrays.items()}, tmp_path / "half.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(tmp_path / "half.safetensors", tmp_path / "out.pdparams") == 0
    assert "float16 was widened to float32" in capsys.readouterr().out
    found = checkpoint.load(tmp_path / "out.pdparams")
    weight = arrays["densenet121.classifier.0.weight"].astype(np.float16).astype(np.float32).T
    np.testing.assert_array_equal(found["densenet121.out.0.weight"], weight)


# Probabilities


def test_paddle_sees_what_pytorch_sees(torch, network, tmp_path):
    images = np.random.default_rng(1).standard_normal((2, 3, 64, 64), dtype=np.float32)
    write_2017(torch, network.state_dict(), tmp_path / "model.pth.tar")
    convert.from_torch(tmp_path / "model.pth.tar", tmp_path / "out.pdparams")
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()
    assert wanted.std(axis=0).max() > 1e-3  # the two images do not look alike to the network
    np.testing.assert_allclose(probabilities(tmp_path / "out.pdparams", images), wanted, rtol=0, atol=1e-5)


@pytest.mark.real_data
def test_paddle_sees_what_pytorch_sees_on_a_radiograph(nih_sample, torch, network, tmp_path):
    with Image.open(min((nih_sample / "images").glob("*.png"))) as image:
        gray = np.asarray(image.convert("L").resize((256, 256), Image.Resampling.BILINEAR), dtype=np.float32)
    crop = np.stack([(gray[16:240, 16:240] / 255 - mean) / std for mean, std in zip(MEAN, STD, strict=True)])
    images = crop[None].astype(np.float32)
    write_bare(torch, network.state_dict(), tmp_path / "model.pt")
    convert.from_torch(tmp_path / "model.pt", tmp_path / "out.pdparams")
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities(tmp_path / "out.pdparams", images), wanted, rtol=0, atol=1e-5)


def test_the_comparison_would_notice_a_wrong_mapping(expected, tmp_path):
    """No two tensors are equal, and exchanging two of one shape is far outside the tolerance above."""
    assert len({hashlib.sha256(array.tobytes()).digest() for array in expected.values()}) == 606
    images = np.random.default_rng(1).standard_normal((1, 3, 64, 64), dtype=np.float32)
    checkpoint.save(expected, tmp_path / "right.pdparams")
    right = probabilities(tmp_path / "right.pdparams", images)
    norm = "densenet121.db_conv_5.conv5_16.bn_ac_func2._batch_norm."
    conv = "densenet121.db_conv_4.conv4_{}.bn_ac_func2._conv.weight"
    pairs = [(norm + "_mean", norm + "_variance"), (norm + "weight", norm + "bias"), (conv.format(7), conv.format(8))]
    for one, other in pairs:
        checkpoint.save({**expected, one: expected[other], other: expected[one]}, tmp_path / "wrong.pdparams")
        wrong = probabilities(tmp_path / "wrong.pdparams", images)
        assert not np.allclose(wrong, right, rtol=0, atol=1e-4)  # NaN, as of a negative variance, is noticed too


# ImageNet backbones


@pytest.mark.parametrize("old", [False, True], ids=["timm", "torchvision"])
def test_imagenet_network_becomes_a_backbone_file(old, torch, network, expected, tmp_path, capsys):
    state = {n.removeprefix("densenet121."): t for n, t in network.state_dict().items() if "classifier" not in n}
    state |= {"classifier.weight": torch.ones(1000, 1024), "classifier.bias": torch.zeros(1000)}
    torch.save(dotted(state, prefix="") if old else state, tmp_path / "densenet121-a639ec97.pth")
    output = tmp_path / "backbone.pdparams"
    assert run(tmp_path / "densenet121-a639ec97.pth", output) == 0
    backbone = {n.removeprefix("densenet121."): array for n, array in expected.items() if ".out." not in n}
    assert len(backbone) == 604
    assert_equal(checkpoint.load(output), backbone)
    sidecar = checkpoint.read_sidecar(output)
    assert sidecar["backbone"] == "densenet121"
    assert not {"resize", "crop", "classes"} & sidecar.keys()
    report = capsys.readouterr().out
    assert "left out    classifier: the 1000 ImageNet classes" in report
    assert f"python train.py --init {output}" in report
    assert "class order" not in report


def test_a_backbone_file_initialises_the_network(arrays, tmp_path):
    from chexnet.model import CheXNet, initialise

    state = {name.removeprefix("densenet121."): array for name, array in arrays.items() if "classifier" not in name}
    state |= {"classifier.weight": np.ones((1000, 1024), "float32"), "classifier.bias": np.zeros(1000, "float32")}
    save_file(state, tmp_path / "imagenet.safetensors")
    convert.from_torch(tmp_path / "imagenet.safetensors", tmp_path / "backbone.pdparams")
    chexnet = CheXNet()
    initialise(chexnet, str(tmp_path / "backbone.pdparams"))
    wanted = arrays["densenet121.features.norm5.running_var"]
    np.testing.assert_array_equal(chexnet.densenet121.batch_norm._variance.numpy(), wanted)


# The report, the sidecar, the file


def test_report_says_what_was_done(torch, network, tmp_path, capsys):
    source, output = tmp_path / "model.pth.tar", tmp_path / "new folder" / "out.pdparams"
    state = dotted(network.state_dict()) | {"module.densenet121.features.norm0.num_batches_tracked": torch.tensor(5)}
    torch.save({"epoch": 7, "best_loss": np.float64(0.15), "state_dict": state, "optimizer": {}}, source)
    assert run(source, output) == 0
    report = capsys.readouterr().out
    assert "mapped      606 tensors, 7,051,854 values\n" in report
    assert "left out    1 num_batches_tracked: " in report
    assert "left out    epoch, best_loss, optimizer: not weights\n" in report
    assert "class order assumed: the reference order, Atelectasis ... Hernia" in report
    assert f"next        python eval.py --ckpt '{output}'\n" in report
    for path in (source, output):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in report


def test_sidecar_says_what_the_weights_need(arrays, tmp_path):
    save_file(arrays, tmp_path / "in.safetensors")
    conversion = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "out.pdparams")
    assert json.loads((tmp_path / "out.json").read_text()) == {
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


def test_same_source_gives_the_same_bytes(arrays, tmp_path):
    save_file(arrays, tmp_path / "in.safetensors")
    first = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "one.pdparams")
    second = convert.from_torch(tmp_path / "in.safetensors", tmp_path / "two.pdparams")
    assert first.output_sha256 == second.output_sha256


@pytest.mark.parametrize("keyword", ["to_paddle", "to_torch"])
def test_an_output_that_reads_back_differently_is_not_kept(keyword, arrays, tmp_path, monkeypatch):
    save_file(arrays, tmp_path / "in.safetensors")
    convert.from_torch(tmp_path / "in.safetensors", tmp_path / "in.pdparams")
    if keyword == "to_paddle":
        name = "densenet121.out.0.bias"
        load = checkpoint.load
        monkeypatch.setattr(checkpoint, "load", lambda path: {**load(path), name: np.zeros(14, "float32")})
        with pytest.raises(InputError, match=r"out\.pdparams: what was read back is not what was written"):
            convert.from_torch(tmp_path / "in.safetensors", tmp_path / "out.pdparams")
    else:
        monkeypatch.setattr(torch_files, "read", lambda path: torch_files.TorchFile({}, "empty"))
        with pytest.raises(InputError, match=r"out\.safetensors: what was read back is not what was written"):
            convert.to_torch(tmp_path / "in.pdparams", tmp_path / "out.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"in.safetensors", "in.pdparams", "in.json"}


# Refusals


def refused(capsys, tmp_path: Path, source: Path, *flags: str) -> str:
    """The one line of a refusal that leaves an older output as it was and nothing else behind."""
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
    ("change", "words"),
    [
        ({CONV: None, BIAS: None}, "missing 2: features.denseblock4.denselayer16.conv2.weight, classifier.0.bias"),
        ({"densenet121.fc.weight": np.ones(3, "float32")}, "left over 1: densenet121.fc.weight"),
        ({BIAS: np.ones(15, "float32")}, f"of another shape 1: {BIAS} [15] for [14]"),
        ({BIAS: np.full(14, np.nan, "float32")}, f"with NaN or infinity 1: {BIAS}"),
        ({BIAS: np.full(14, 1e300)}, f"with NaN or infinity 1: {BIAS}"),
        ({BIAS: np.ones(14, "int64")}, f"not floating-point 1: {BIAS}"),
        ({f"module.{BIAS}": np.ones(14, "float32")}, f"One tensor under two names: {BIAS} and module.{BIAS}"),
        ({"densenet121.classifier.0.weight": np.ones((8, 1024), "float32")}, "8 outputs found, 14 expected"),
    ],
    ids=["missing", "left over", "shape", "nan", "overflow", "integer", "twice", "8 classes"],
)
def test_a_model_that_is_not_whole_is_refused(change, words, arrays, tmp_path, capsys):
    state = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    save_file(state, tmp_path / "in.safetensors")
    assert words in refused(capsys, tmp_path, tmp_path / "in.safetensors")


def test_all_faults_are_listed_at_once(arrays, tmp_path, capsys):
    state = {**arrays, "extra": np.ones(1, "float32"), BIAS: np.ones(3, "float32")}
    del state[CONV]
    save_file(state, tmp_path / "in.safetensors")
    line = refused(capsys, tmp_path, tmp_path / "in.safetensors")
    assert "missing 1: " in line
    assert "left over 1: extra;" in line
    assert "of another shape 1: " in line


def test_another_network_is_refused(tmp_path, capsys):
    save_file({"layer1.0.conv1.weight": np.ones((2, 2), "float32")}, tmp_path / "resnet.safetensors")
    assert "not a DenseNet-121" in refused(capsys, tmp_path, tmp_path / "resnet.safetensors")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_pytorch_file_is_refused(legacy, torch, network, tmp_path, capsys):
    whole, source = tmp_path / "whole.pth", tmp_path / "model.pth"
    torch.save(network.state_dict(), whole, _use_new_zipfile_serialization=not legacy)
    data = whole.read_bytes()
    for length in (3, 1000, len(data) // 2, len(data) - 1):
        source.write_bytes(data[:length])
        assert "not a readable PyTorch weight file" in refused(capsys, tmp_path, source)


def test_a_truncated_safetensors_file_is_refused(arrays, tmp_path, capsys):
    source = tmp_path / "in.safetensors"
    save_file(arrays, source)
    for length in (source.stat().st_size - 1, 1000, 3):
        os.truncate(source, length)
        assert "not a readable safetensors file" in refused(capsys, tmp_path, source)


def test_bfloat16_in_safetensors_is_refused_by_name(torch, tmp_path, capsys):
    from safetensors.torch import save_file as save_tensors

    save_tensors({"features.conv0.weight": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "in.safetensors")
    assert "BF16" in refused(capsys, tmp_path, tmp_path / "in.safetensors")


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Hello, this is a text file.\n", "not a readable PyTorch weight file"),
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a readable PyTorch weight file"),
    ],
)
def test_a_file_of_another_kind_is_refused(content, words, tmp_path, capsys):
    (tmp_path / "model.pth").write_bytes(content)
    assert words in refused(capsys, tmp_path, tmp_path / "model.pth")


def test_a_file_without_weights_is_refused(torch, tmp_path, capsys):
    for content in ({"epoch": 3}, [1, 2], torch.ones(3), {"state_dict": {}}):
        torch.save(content, tmp_path / "model.pth")
        assert "no tensors found" in refused(capsys, tmp_path, tmp_path / "model.pth")


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert "no.pth: cannot be read: No such file" in refused(capsys, tmp_path, tmp_path / "no.pth")
    assert "cannot be read: Is a directory" in refused(capsys, tmp_path, tmp_path)


def test_a_paddle_file_is_not_taken_for_pytorch(tmp_path, capsys):
    assert "--reverse" in refused(capsys, tmp_path, tmp_path / "model.pdparams")


def test_unusable_outputs_are_refused(arrays, tmp_path, capsys):
    source = tmp_path / "in.safetensors"
    save_file({"a": arrays[BIAS]}, source)
    (tmp_path / "folder.pdparams").mkdir()
    for output, words in (("out.pth", "ends so"), ("folder.pdparams", "is a folder")):
        assert run(source, tmp_path / output) == 2
        assert words in capsys.readouterr().err
    for output, words in (("out.pdparams", "like model.pth"), ("in.safetensors", "another name")):
        assert main(["--reverse", str(source), "--output", str(tmp_path / output)]) == 2
        assert words in capsys.readouterr().err


def test_missing_and_old_pytorch_are_named(torch, tmp_path, capsys, monkeypatch):
    (tmp_path / "model.pth").write_bytes(b"any")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu121")
    assert "PyTorch 2.5.1+cu121 is too old" in refused(capsys, tmp_path, tmp_path / "model.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install torch" in refused(capsys, tmp_path, tmp_path / "model.pth")


# Files that run code


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_file_does_not_run(legacy, torch, network, tmp_path, capsys):
    source, marker = tmp_path / "model.pth", tmp_path / "executed"
    content = {"state_dict": network.state_dict(), "epoch": Payload(marker)}
    torch.save(content, source, _use_new_zipfile_serialization=not legacy)
    line = refused(capsys, tmp_path, source)
    assert f"it asks to run {os.mkdir.__module__}.mkdir" in line
    assert "--allow_pickle" in line
    assert not marker.exists()
    assert run(source, tmp_path / "out.pdparams", "--allow_pickle") == 0
    assert marker.exists()  # so the payload was a live one


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", [None, "model"], ids=["bare", "in a checkpoint"])
def test_a_pickled_module_needs_the_consent_of_the_user(key, legacy, torch, network, expected, tmp_path, capsys):
    source, output = tmp_path / "model.pth", tmp_path / "out.pdparams"
    content = {key: network, "epoch": 3} if key else network
    torch.save(content, source, _use_new_zipfile_serialization=not legacy)
    line = refused(capsys, tmp_path, source)
    assert "whole pickled module" in line
    assert "--allow_pickle" in line
    assert run(source, output, "--allow_pickle") == 0
    assert_equal(checkpoint.load(output), expected)
    report = capsys.readouterr().out
    assert "code in the source was allowed to run" in report
    assert "pickled module" in report


def test_a_pickled_module_of_a_missing_package_names_the_package(torch, tmp_path, capsys):
    data = b"\x80\x02ctorchxrayvision.models\nDenseNet\n."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: __import__("pickle").loads(data))
        (tmp_path / "model.pth").write_bytes(data)
        line = refused(capsys, tmp_path, tmp_path / "model.pth", "--allow_pickle")
    assert "needs the package torchxrayvision, which is not installed" in line


# And back


@pytest.mark.parametrize("name", ["model.pth.tar", "model.safetensors"])
def test_there_and_back_is_bit_exact(name, torch, network, expected, tmp_path, capsys):
    first, back, again = tmp_path / "first.pdparams", tmp_path / name, tmp_path / "again.pdparams"
    checkpoint.save(expected, first)
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
    original = counterless(network.state_dict())
    assert all(torch.equal(tensor, original[name]) for name, tensor in counterless(fresh.state_dict()).items())
    assert run(back, again) == 0
    assert_equal(checkpoint.load(again), expected)


@pytest.mark.usefixtures("torch")
def test_going_back_gives_the_same_bytes_each_time(arrays, tmp_path):
    save_file(arrays, tmp_path / "in.safetensors")
    convert.from_torch(tmp_path / "in.safetensors", tmp_path / "in.pdparams")
    digests = {convert.to_torch(tmp_path / "in.pdparams", tmp_path / f"{n}.pth").output_sha256 for n in "ab"}
    assert len(digests) == 1


def test_half_a_model_does_not_go_back(arrays, tmp_path, capsys):
    checkpoint.save({"densenet121.out.0.bias": np.ones(14, "float32"), "extra": np.ones(2)}, tmp_path / "in.pdparams")
    assert main(["--reverse", str(tmp_path / "in.pdparams"), "--output", str(tmp_path / "out.safetensors")]) == 2
    line = capsys.readouterr().err
    assert "missing 605: densenet121.conv1_func._conv.weight, " in line
    assert "left over 1: extra" in line
    assert not (tmp_path / "out.safetensors").exists()

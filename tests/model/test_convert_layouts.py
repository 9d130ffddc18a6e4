"""Weights of a DenseNet-121 are found in any container and under any prefix, or the alternatives are listed."""

import argparse
import sys
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from faults.gadgets import PLACEHOLDER, WRITERS, called
from safetensors.torch import save_file
from torch_layouts import dotted, expected_paddle_name

from chexnet.errors import InputError
from chexnet.model import checkpoint, convert
from chexnet.model.convert import ConversionOptions, weight_names


@pytest.fixture
def narrow(monkeypatch):
    """Set the growth rate to 2 instead of 32, with all names unchanged."""
    monkeypatch.setattr(weight_names, "GROWTH", 2)
    monkeypatch.setattr(weight_names, "FEATURES", 64)


@pytest.fixture
def weights(narrow, torch):
    """Name in the table -> random tensor, with a batch counter; the head has 14 outputs."""
    generator = torch.Generator().manual_seed(3)
    state = {weight.torch: torch.rand(weight.shape, generator=generator) for weight in weight_names.model_weights()}
    return {**state, "features.norm0.num_batches_tracked": torch.tensor(7)}


def wanted(weights) -> dict[str, np.ndarray]:
    """Convert to Paddle's names and layouts one name at a time, without the table."""
    arrays = {name: tensor.float().numpy() for name, tensor in weights.items() if "num_batches" not in name}
    return {
        expected_paddle_name(name): array.T if "classifier.0.weight" in name else array
        for name, array in arrays.items()
    }


def assert_same(found, arrays):
    assert found.keys() == arrays.keys()
    assert not [name for name in arrays if not np.array_equal(found[name], arrays[name])]


# Combinations: every entry of a list occurs with many entries of the others

PREFIXES = [
    *("", "module.", "densenet121.", "module.densenet121.", "_orig_mod.", "model.", "net.", "backbone.", "encoder."),
    *("densenet.", "module.model.", "_orig_mod.module.net.", "student.encoder."),
]
CONTAINERS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {0: {"step": 1}}}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": 0.1},
    "model": lambda state: {"model": state, "ema": None},
    "net": lambda state: {"net": state, "acc": 91.2, "epoch": 5},
    "weights": lambda state: {"weights": state},
    "network": lambda state: {"network": state, "args": argparse.Namespace(lr=0.1, data=Path("x"))},
    "params": lambda state: {"params": state},
    "model_state": lambda state: {"model_state": state, "config": {"lr": 0.1}},
    "two deep": lambda state: {"checkpoint": {"generator": state}, "step": 4},
    "list": lambda state: [state, {"lr": 0.1}],
    "Lightning": lambda state: {
        "pytorch-lightning_version": "2.4.0",
        "state_dict": state,
        "callbacks": {"ModelCheckpoint{'monitor': 'auroc'}": {"best_model_score": state[next(iter(state))].sum()}},
        "optimizer_states": [{"state": {0: {"exp_avg": state[next(iter(state))]}}}],
        "hyper_parameters": {"lr": 0.1, "args": argparse.Namespace(x=1)},
    },
}
HEADS = ["classifier.0", "classifier", "classifier.1", "fc", "out", "head.fc", "class_layers.out"]
PRECISIONS = ["float32", "float16", "bfloat16", "float64"]
SPELLINGS = {
    "torchvision": lambda name: name,
    "2017": lambda name: next(iter(dotted({name: 0}, prefix="")), name),
    "MONAI": lambda name: (
        name.replace(".norm", ".layers.norm").replace(".conv", ".layers.conv") if "denselayer" in name else name
    ),
    "children": lambda name: name.removeprefix("features."),
}
FORMATS = ["zip", "legacy"]
LAYOUTS = list(
    islice(
        zip(
            *map(cycle, (PREFIXES, CONTAINERS, HEADS, PRECISIONS[::-1], SPELLINGS)),
            (FORMATS[number % 3 % 2] for number in range(99)),
            strict=False,
        ),
        39,
    )
)


@pytest.mark.parametrize(("prefix", "container", "head", "precision", "spelling", "kind"), LAYOUTS)
def test_weights_in_any_layout_are_found(prefix, container, head, precision, spelling, kind, weights, torch, tmp_path):
    dtype = getattr(torch, precision)
    weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    spelled = {prefix + SPELLINGS[spelling](name).replace("classifier.0", head): t for name, t in weights.items()}
    path = tmp_path / "model.pth"
    torch.save(CONTAINERS[container](spelled), path, _use_new_zipfile_serialization=kind == "zip")
    assert_same(convert.read_torch(path).state, wanted(weights))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_in_safetensors_is_stripped(prefix, weights, tmp_path):
    save_file({prefix + name: tensor for name, tensor in weights.items()}, tmp_path / "model.safetensors")
    assert_same(convert.read_torch(tmp_path / "model.safetensors").state, wanted(weights))


def test_bfloat16_in_safetensors_is_widened(weights, torch, tmp_path):
    state = {name: t.bfloat16() if t.is_floating_point() else t for name, t in weights.items()}
    save_file(state, tmp_path / "model.safetensors")
    found = convert.read_torch(tmp_path / "model.safetensors")
    assert_same(found.state, wanted(state))
    assert found.file.widened == ("bfloat16",)
    assert checkpoint.read_weights(tmp_path / "model.safetensors")["classifier.0.bias"].dtype == np.float32


def test_numbered_children_of_features_are_renamed(weights, torch, tmp_path):
    """As in `nn.Sequential(*densenet.features.children())` with a separate head."""
    numbers = {name: number for number, name in weight_names.CHILD_NAMES.items()}
    state = {}
    for name, tensor in weights.items():
        _, child, rest = name.split(".", 2)
        state[f"cnn.{numbers[child]}.{rest}" if name.startswith("features") else name.replace("classifier.0", "fc")] = (
            tensor
        )
    torch.save(state, tmp_path / "model.pth")
    assert_same(convert.read_torch(tmp_path / "model.pth").state, wanted(weights))


@pytest.mark.parametrize("head", ["head.weight", "model.head.weight"])
def test_a_head_outside_the_backbone_is_found(head, weights, torch, tmp_path):
    head = head.removesuffix(".weight")
    state = {f"model.backbone.{name}".replace("model.backbone.classifier.0", head): t for name, t in weights.items()}
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    assert_same(convert.read_torch(tmp_path / "model.pth").state, wanted(weights))


def test_backbone_and_head_in_separate_dictionaries_are_found(weights, torch, tmp_path):
    content = {
        "backbone": {name: t for name, t in weights.items() if "classifier" not in name},
        "head": {name.removeprefix("classifier.0."): t for name, t in weights.items() if "classifier" in name},
        "epoch": 3,
    }
    torch.save(content, tmp_path / "model.pth")
    found = convert.read_torch(tmp_path / "model.pth")
    assert_same(found.state, wanted(weights))
    assert found.found.extra_keys == ("epoch",)


# Several networks


def several_networks(torch, weights, kind):
    other = {name: tensor + 1 for name, tensor in weights.items()}
    if kind == "EMA":
        return {"state_dict": weights, "state_dict_ema": other}, "state_dict", "state_dict_ema"
    if kind == "student and teacher":
        prefixed = {f"student.net.{n}": t for n, t in weights.items()} | {
            f"teacher.net.{n}": t for n, t in other.items()
        }
        return {"state_dict": prefixed}, "state_dict.student", "state_dict.teacher"
    return {**weights, **{f"ema.{name}": tensor for name, tensor in other.items()}}, "", "ema"


@pytest.mark.parametrize("kind", ["EMA", "student and teacher", "a copy next to bare weights"])
def test_the_user_selects_one_of_several_networks(kind, weights, torch, tmp_path):
    content, first, second = several_networks(torch, weights, kind)
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"model\.pth: .*2 DenseNets: .*--key NAME") as caught:
        convert.read_torch(path)
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert_same(convert.read_torch(path, options=ConversionOptions(key=first)).state, wanted(weights))
    other = {name: tensor + 1 for name, tensor in weights.items()}
    assert_same(convert.read_torch(path, options=ConversionOptions(key=second)).state, wanted(other))
    with pytest.raises(InputError, match=f"--key model, expected {first}"):
        convert.read_torch(path, options=ConversionOptions(key="model"))


def test_parameters_without_statistics_are_not_a_network(weights, torch, tmp_path):
    parameters = {name: tensor for name, tensor in weights.items() if "running" not in name}
    torch.save({"shadow": parameters, "model": weights, "momentum": parameters}, tmp_path / "model.pth")
    assert_same(convert.read_torch(tmp_path / "model.pth").state, wanted(weights))


def test_the_same_weights_under_two_keys_are_one_network(weights, torch, tmp_path):
    torch.save({"last": weights, "best": weights}, tmp_path / "model.pth")
    assert_same(convert.read_torch(tmp_path / "model.pth").state, wanted(weights))


def test_leftover_tensors_are_refused_unless_only_training_needs_them(weights, torch, tmp_path):
    path = tmp_path / "model.pth"
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    torch.save({**state, "criterion.pos_weight": torch.ones(14), "train_loss.total": torch.ones(1)}, path)
    assert convert.read_torch(path).found.dropped == ("criterion.pos_weight", "train_loss.total")
    torch.save({**state, "attention.weight": torch.ones(14)}, path)
    with pytest.raises(InputError, match=r"left over 1: attention\.weight\. --key model"):
        convert.read_torch(path)
    found = convert.read_torch(path, options=ConversionOptions(key="model"))
    assert found.found.dropped == ("attention.weight",)
    assert_same(found.state, wanted(weights))
    torch.save({**state, "model.features.se.weight": torch.ones(14)}, path)
    with pytest.raises(InputError, match=r"left over 1: model\.features\.se\.weight"):
        convert.read_torch(path, options=ConversionOptions(key="model"))


def test_two_heads_are_refused_by_name(weights, torch, tmp_path):
    state = {**weights, "projection.weight": torch.ones(8, 64), "projection.bias": torch.ones(8)}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"2 layers .*: classifier\.0, projection"):
        convert.read_torch(tmp_path / "model.pth")


def test_a_head_of_two_layers_is_refused(weights, torch, tmp_path):
    state = {f"model.{name}": tensor for name, tensor in weights.items() if "classifier" not in name}
    state |= {"head.0.weight": torch.ones(8, 64), "head.0.bias": torch.ones(8), "head.2.weight": torch.ones(3, 8)}
    torch.save(state, tmp_path / "model.pth")
    for key in (None, "model"):
        with pytest.raises(InputError, match=r"left over 1: head\.2\.weight"):
            convert.read_torch(tmp_path / "model.pth", options=ConversionOptions([f"c{n}" for n in range(8)], key=key))


def test_the_counter_of_averaged_model_is_ignored(weights, torch, tmp_path):
    """`torch.optim.swa_utils.AveragedModel` stores a counter next to its module."""
    state = {f"module.{name}": tensor for name, tensor in weights.items()} | {"n_averaged": torch.tensor(3)}
    torch.save(state, tmp_path / "model.pth")
    assert_same(convert.read_torch(tmp_path / "model.pth").state, wanted(weights))


# Objects of classes that are not imported


class TrainingConfig(dict):
    """A class of a training script: a dictionary with attributes."""

    learning_rate = 0.1


@pytest.mark.parametrize("kind", WRITERS)
def test_objects_of_unknown_classes_are_left_out_and_reported(kind, weights, torch, tmp_path):
    config = TrainingConfig(batch=8)
    config.note = "an attribute"
    content = {"state_dict": weights, "args": argparse.Namespace(lr=1), "config": config, "rng": PLACEHOLDER}
    WRITERS[kind](torch, content, called("mylib.state", "make", b"K\x01"), tmp_path / "model.pth")
    found = convert.read_torch(tmp_path / "model.pth")
    assert_same(found.state, wanted(weights))
    assert set(found.file.unknown) == {f"{__name__}.TrainingConfig", "argparse.Namespace", "mylib.state.make"}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_with_an_attack_is_refused_although_its_weights_are_complete(kind, weights, torch, tmp_path):
    content = {"state_dict": weights, "args": PLACEHOLDER}
    WRITERS[kind](torch, content, called("posix", "system", b"K\x01"), tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"asks to run posix\.system"):
        convert.read_torch(tmp_path / "model.pth")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", [None, "model"], ids=["bare", "in a checkpoint"])
def test_a_whole_module_is_read_without_its_class(
    key, legacy, torch, torch_network, paddle_arrays, tmp_path, monkeypatch
):
    """As jrzech's and torchxrayvision's programs save it, also inside DataParallel."""
    source = tmp_path / "model.pth"
    module = torch.nn.DataParallel(torch_network) if legacy else torch_network
    torch.save({key: module, "epoch": 3} if key else module, source, _use_new_zipfile_serialization=not legacy)
    for package in ("torch", "torch_densenet"):
        monkeypatch.setitem(sys.modules, package, None)
    data = convert.read_torch(source)
    assert_same(data.state, paddle_arrays)
    assert "torch_densenet.TorchCheXNet" in data.file.unknown


def test_pytorch_reads_a_module_if_the_user_allows_it(torch, torch_network, paddle_arrays, tmp_path):
    torch.save({"model": torch_network}, tmp_path / "model.pth")
    data = convert.read_torch(tmp_path / "model.pth", allow_pickle=True)
    assert_same(data.state, paddle_arrays)
    assert data.file.ran_code

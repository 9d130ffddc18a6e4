"""PyTorch's CheXNet, and its weights as every program in circulation wrote them."""

import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from chexnet.model.convert import weight_names
from convert_torch_weights import main


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def torch_network(torch):
    """PyTorch's CheXNet with different random numbers in every tensor, so that a mix-up shows."""
    from torch_densenet import TorchCheXNet, randomize

    torch.set_num_threads(1)
    return randomize(TorchCheXNet(), seed=0)


@pytest.fixture(scope="module")
def torch_arrays() -> dict[str, np.ndarray]:
    """Random arrays under the modern PyTorch names of CheXNet; needs no PyTorch."""
    generator = np.random.default_rng(0)
    return {
        weight_names.PREFIX + w.torch: generator.random(w.shape, dtype=np.float32) for w in weight_names.model_weights()
    }


@pytest.fixture(scope="module")
def paddle_arrays(torch_network) -> dict[str, np.ndarray]:
    """Expected conversion of every layout of `torch_network`, computed without the table of names."""
    state = {}
    for name, tensor in torch_network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            array = tensor.numpy().T if "classifier.0.weight" in name else tensor.numpy()
            state[expected_paddle_name(name)] = np.ascontiguousarray(array)
    return state


def expected_paddle_name(name: str) -> str:
    """Convert a PyTorch name to Paddle's, independently of the table."""
    paddle_names = {"running_mean": "_mean", "running_var": "_variance"}
    *path, last = name.removeprefix("densenet121.").split(".")
    last = paddle_names.get(last, last)
    if path[0] == "classifier":
        return f"densenet121.out.0.{last}"
    if path[1] == "norm5":
        return f"densenet121.batch_norm.{last}"
    module = "_batch_norm" if path[-1].startswith("norm") else "_conv"
    if path[1] in ("conv0", "norm0"):
        layer = "conv1_func"
    elif path[1].startswith("transition"):
        layer = f"tr_conv{int(path[1][-1]) + 1}_blk.conv_ac_func"
    else:
        stage, number = int(path[1][-1]) + 1, path[2].removeprefix("denselayer")
        layer = f"db_conv_{stage}.conv{stage}_{number}.bn_ac_func{path[3][-1]}"
    return f"densenet121.{layer}.{module}.{last}"


def dotted(state, prefix="module."):
    """Rename to the spelling of 2017: `denselayer16.conv.2.weight`, inside DataParallel, without batch counters."""
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


def write_2017(torch, state, path):
    """Write arnoweng's layout: legacy pickle, dotted names, a NumPy scalar and an optimizer next to the weights."""

    def reduce(tensor, protocol):  # as PyTorch 0.3 had it
        view = tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        return torch._utils._rebuild_tensor, (tensor._typed_storage(), *view)

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
    """Write the same layout as saved on a GPU, with CUDA storages."""
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
    """Write a torchvision DenseNet-121 whose head is a Linear with 14 outputs."""
    plain = {name.removeprefix("densenet121.").replace("classifier.0", "classifier"): t for name, t in state.items()}
    torch.save({"model_state_dict": plain}, path)


def write_channels_last(torch, state, path):
    convolution = torch.channels_last
    torch.save({n: t.to(memory_format=convolution) if t.dim() == 4 else t for n, t in state.items()}, path)


def write_safetensors(torch, state, path):
    save_file({name: tensor.numpy() for name, tensor in state.items()}, path)

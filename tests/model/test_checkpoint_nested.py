"""Weights of other Paddle programs: nested in a dictionary, and under prefixes."""

import numpy as np
import paddle
import pytest

from chexnet.errors import InputError
from chexnet.model import CheXNet, checkpoint, init_weights, open_checkpoint


@pytest.fixture(scope="module")
def network():
    return CheXNet(14, "lenet")


@pytest.fixture(scope="module")
def densenet():
    return CheXNet(14)


def arrays(network) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "content",
    [
        lambda state: {"model": state},
        lambda state: {"epoch": 3, "model": state, "loss": [0.1, 0.2]},
        lambda state: {"state": {"net": state, "step": 4}},
        lambda state: {"model": {name: tensor.numpy() for name, tensor in state.items()}, "epoch": 1},
    ],
    ids=["alone", "next to an epoch", "two deep", "as arrays"],
)
def test_weights_nested_in_a_dictionary_are_found(content, network, tmp_path):
    paddle.save(content(network.state_dict()), str(tmp_path / "model.pdparams"))
    assert_same(checkpoint.read_weights(tmp_path / "model.pdparams"), arrays(network))


def test_several_networks_are_refused_by_name(network, tmp_path):
    state = network.state_dict()
    paddle.save({"model": state, "ema": {"shadow": state}}, str(tmp_path / "model.pdparams"))
    with pytest.raises(InputError, match=r"model\.pdparams: .*2 keys, model, ema\.shadow"):
        checkpoint.read_weights(tmp_path / "model.pdparams")


@pytest.mark.parametrize("prefix", ["_layers.", "model.", "0.", "Student.backbone."])
def test_prefixes_of_wrapping_programs_are_stripped(prefix, network, tmp_path):
    """Prefixes of `paddle.DataParallel` inside another layer, of `nn.Sequential` and of PaddleClas."""
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    paddle.save(state, str(tmp_path / "model.pdparams"))
    filled = open_checkpoint(tmp_path / "model.pdparams", "lenet").build_network()
    assert_same(arrays(filled), arrays(network))
    other = CheXNet(14, "lenet")
    init_weights(other, str(tmp_path / "model.pdparams"))
    assert_same(arrays(other), arrays(network))


@pytest.mark.parametrize("prefix", ["", "backbone.", "_layers."])
def test_a_densenet_of_paddleclas_is_renamed(prefix, densenet, tmp_path):
    """Its names are those of `paddle.vision`; its head is a single Linear."""
    state = {
        prefix + name.removeprefix("densenet121.").replace("out.0.", "out."): tensor
        for name, tensor in densenet.state_dict().items()
    }
    paddle.save(state, str(tmp_path / "model.pdparams"))
    assert_same(arrays(open_checkpoint(tmp_path / "model.pdparams").build_network()), arrays(densenet))
    other = CheXNet(3)
    init_weights(other, str(tmp_path / "model.pdparams"))
    assert_same(
        {name: array for name, array in arrays(other).items() if ".out." not in name},
        {name: array for name, array in arrays(densenet).items() if ".out." not in name},
    )


def test_another_network_is_refused_in_one_short_line(densenet, tmp_path):
    state = {f"backbone.{name}.x": tensor for name, tensor in densenet.state_dict().items()}
    paddle.save(state, str(tmp_path / "model.pdparams"))
    with pytest.raises(InputError, match=r"model\.pdparams: .*missing \d+: ") as caught:
        open_checkpoint(tmp_path / "model.pdparams").build_network()
    assert len(str(caught.value)) < 2000

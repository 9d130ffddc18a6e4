"""One backbone of each kind, with few layers, in every engine and exported format.

DenseNet-121 is whole here, and in every engine in test_engines.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
import pytest

from chexnet.config import InferenceConfig
from chexnet.inference import Predictor, cam, engines
from chexnet.inference.deployment import deploy
from chexnet.model import CheXNet, checkpoint

OUTPUTS = 3


@dataclass(frozen=True)
class Case:
    """A checkpoint with spread probabilities, and what eager Paddle computes with it.

    Attributes:
        path: the weight file.
        network: its network.
        crops: crops whose feature maps have 2 x 2 cells, uint8 [3, 1, side, side].
        probabilities: probabilities of the crops.
        maps: their Grad-CAM.
    """

    path: Path
    network: CheXNet
    crops: np.ndarray
    probabilities: np.ndarray
    maps: np.ndarray


@pytest.fixture(scope="module")
def case(request, small_backbones, tmp_path_factory) -> Case:
    backbone = request.param
    paddle.seed(1)
    network = CheXNet(OUTPUTS, backbone)
    side = network.backbone.min_input_size + network.grid.stride
    crops = np.random.default_rng(0).integers(0, 256, (3, 1, side, side), dtype=np.uint8)
    network.eval()
    with paddle.no_grad():
        deviation = network.logits(paddle.to_tensor(crops)).std()
    for name, parameter in network.backbone.named_parameters():
        if name.startswith(network.backbone.head_prefixes) and name.endswith("weight"):
            parameter.set_value(parameter / deviation)  # so that a wrong logit is a wrong probability
    path = tmp_path_factory.mktemp(backbone) / "model.pdparams"
    checkpoint.save_weights(network.state_dict(), path)
    metadata = {
        "backbone": backbone,
        "resize": side + network.grid.stride,
        "crop": side,
        "classes": [f"finding {index}" for index in range(OUTPUTS)],
    }
    checkpoint.write_metadata_file(path, metadata)
    return Case(path, network, crops, network.predict(crops), cam.grad_cam(network, crops))


def skip_without_onnx() -> None:
    if why := engines.why_unavailable("onnxruntime"):
        pytest.skip(why)


@pytest.mark.parametrize("case", ["resnext50_32x4d", "vgg16", "googlenet", "alexnet", "lenet"], indirect=True)
@pytest.mark.parametrize("name", ["paddle", "openvino"])
def test_an_engine_equals_eager_paddle(case, name):
    if engines.why_unavailable(name):
        pytest.skip(engines.why_unavailable(name))
    predictor = Predictor(case.path, engine=name, device="cpu")
    probabilities, maps = predictor.predict_cam(case.crops)
    np.testing.assert_allclose(predictor.predict_crops(case.crops), probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities, case.probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose(maps, case.maps, rtol=0, atol=1e-4 * np.abs(maps).max())
    if case.network.backbone_name == "lenet":
        assert Predictor(case.path, engine=name, device="cpu", maps=False).predict_cam(case.crops)[1] is None


@pytest.mark.parametrize("case", ["resnext50_32x4d", "vgg16", "googlenet", "alexnet", "lenet"], indirect=True)
def test_a_whole_image_graph_equals_the_checkpoint(case, tmp_path):
    skip_without_onnx()
    facts = deploy(InferenceConfig(ckpt=str(case.path), crops=1), tmp_path / "out", "onnx").description
    assert facts["largest_difference"] < 1e-5


@pytest.mark.parametrize("case", ["resnext50_32x4d", "googlenet", "densenet_cifar", "densenet121"], indirect=True)
def test_crop_graphs_equal_the_checkpoint_if_the_head_is_linear(case, tmp_path):
    skip_without_onnx()
    done = deploy(case.path, tmp_path / "out", "onnx", whole_image=False)
    assert done.description["crops"] == 10
    assert done.description["largest_difference"] < 1e-5
    done = deploy(InferenceConfig(ckpt=str(case.path), crops="dense"), tmp_path / "out", "onnx", whole_image=False)
    assert done.description["largest_difference"] < 1e-5

"""Every backbone: input and output sizes, a training step, state-dict names, weight files and class maps."""

import numpy as np
import paddle
import pytest

from chexnet import model
from chexnet.config import backbone_registry
from chexnet.config.backbone_registry import list_backbones
from chexnet.errors import InputError
from chexnet.inference import cam
from chexnet.model import CheXNet, checkpoint
from chexnet.model.backbones import BACKBONES, classic
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import AUXILIARY_WEIGHT, BinaryCrossEntropy, loss_of_heads

pytestmark = pytest.mark.usefixtures("narrow_layers")

LINEAR = {name for name in list_backbones() if name.startswith(("dense", "res", "goog"))}

DISTINCT = ["densenet121", "densenet_cifar", "resnext50_32x4d", "resnet50", "vgg16", "googlenet", "alexnet", "lenet"]
"""The other backbones differ from one of these only in depth."""

OUTPUTS = 3


@pytest.fixture(scope="module", params=list_backbones())
def network(request, narrow_layers) -> CheXNet:
    """Each backbone with three outputs."""
    paddle.seed(1)
    return CheXNet(OUTPUTS, request.param)


def smallest_crops(network: CheXNet) -> np.ndarray:
    """Return two crops of the smallest size, uint8 [2, 1, side, side]."""
    side = network.backbone.min_input_size
    return np.random.default_rng(0).integers(0, 256, (2, 1, side, side), dtype=np.uint8)


@pytest.fixture
def crops(network) -> np.ndarray:
    return smallest_crops(network)


def test_every_listed_backbone_is_registered():
    assert set(BACKBONES) == set(list_backbones())


def test_the_registry_knows_sizes_and_heads_without_the_classes(monkeypatch):
    expected = {name: (kind.min_input_size, kind.has_linear_head) for name, kind in BACKBONES.items()}
    built_in = [name for name in BACKBONES if backbone_registry.is_built_in(name)]
    monkeypatch.setattr(backbone_registry, "BACKBONES", {})
    assert len(built_in) >= 14
    for name in built_in:
        assert (backbone_registry.min_input_size(name), backbone_registry.has_linear_head(name)) == expected[name]


def test_state_dict_names_begin_with_the_backbone_name(network):
    assert all(name.startswith(f"{network.backbone_name}.") for name in network.state_dict())
    assert model.infer_backbone(network.state_dict()) == network.backbone_name
    assert (network.backbone.weights_url is None) == (network.backbone_name in ("densenet_cifar", "lenet"))


def test_smallest_input_gives_one_cell_and_the_map_grows_by_its_stride(network):
    network.eval()
    minimum, stride = network.backbone.min_input_size, network.grid.stride
    with paddle.no_grad():
        small = network.features(paddle.randn([1, 3, minimum, minimum]))
        large = network.features(paddle.randn([1, 3, minimum + stride, minimum + 2 * stride]))
    assert small.shape[2:] == [1, 1]
    assert large.shape == [1, small.shape[1], 2, 3]
    assert network.classify(large).shape == [1, OUTPUTS]
    with pytest.raises(InputError, match=f"{minimum} pixels for {network.backbone_name}"):
        model.check_input_size(minimum - 1, network.backbone_name)


@pytest.mark.parametrize("network", DISTINCT, indirect=True)
def test_one_step_lowers_the_loss(network):
    side = network.backbone.min_input_size + network.grid.stride
    images = paddle.to_tensor(np.random.default_rng(1).standard_normal((4, 3, side, side)).astype(np.float32))
    labels = paddle.to_tensor(np.array([[0, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0]], np.float32))
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}

    def loss():
        network.train()
        paddle.seed(2)  # the same dropout
        return loss_of_heads(BinaryCrossEntropy(), network.training_logits(images), labels)

    first = loss()
    first.backward()
    optimizer = paddle.optimizer.SGD(1e-3, parameters=network.parameters())
    optimizer.step()
    optimizer.clear_grad()
    with paddle.no_grad():
        assert float(loss()) < float(first)
    network.set_state_dict(before)


@pytest.mark.parametrize("network", DISTINCT, indirect=True)
def test_weights_come_back_and_fit_no_other_backbone(network, crops, tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save_weights(network.state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": network.backbone_name, "classes": ["a", "b", "c"], "crop": 200})
    again = model.load(path)
    assert (again.backbone_name, again.classes) == (network.backbone_name, ("a", "b", "c"))
    assert (again.preprocessing.crop, again.training) == (200, False)
    np.testing.assert_array_equal(again.predict(crops), network.predict(crops))
    other = "lenet" if network.backbone_name == "densenet_cifar" else "densenet_cifar"
    with pytest.raises(InputError, match=rf"a\.json: .* {network.backbone_name}, .* {other}; .*--backbone"):
        model.load_model_config(path, other)
    checkpoint.metadata_path(path).unlink()
    with pytest.raises(
        InputError,
        match=rf"a\.safetensors: .* {network.backbone_name}, expected .* {other}.*--backbone {network.backbone_name}",
    ):
        model.load(path, other, ["a", "b", "c"])


@pytest.mark.parametrize("network", DISTINCT, indirect=True)
def test_cams_add_up_to_the_logit_if_the_head_is_linear(network, crops):
    network.eval()
    assert network.supports_cam == (network.backbone_name in LINEAR)
    maps = cam.grad_cam(network, crops)
    with paddle.no_grad():
        features = network.features(paddle.to_tensor(crops))
        logits = network.classify(features).numpy()
    assert maps.shape == (2, OUTPUTS, *features.shape[2:])
    if network.supports_cam:
        found = network.predict_cam(crops)
        scale = np.abs(found).max()
        np.testing.assert_allclose(found.mean(axis=(2, 3)) + network.bias(), logits, atol=1e-5 * scale + 1e-6)
        np.testing.assert_allclose(maps, found, atol=1e-4 * scale)


@pytest.mark.parametrize("backbone", ["densenet_cifar", "vgg16", "googlenet", "alexnet", "lenet", "resnet50"])
def test_a_cell_depends_on_the_image_around_its_center(backbone):
    """The oracle: the center of the pixels that a cell depends on, weighted by their gradients."""
    paddle.seed(0)
    network = BACKBONES[backbone](1)
    network.eval()
    stride, offset = network.grid
    side = {"vgg16": 224, "densenet_cifar": 72, "lenet": 72}.get(
        backbone, 352
    )  # large enough for the whole receptive field
    images = paddle.randn([1, 3, side, side])
    images.stop_gradient = False
    features = network.features(images)
    index = round((side / 2 - offset) / stride)
    cell = features[0, :, index, index]
    (gradient,) = paddle.grad((cell * paddle.randn(cell.shape)).sum(), images)
    weight = gradient.abs().sum(axis=[0, 1]).numpy()
    positions = np.arange(side) + 0.5
    centers = [(weight.sum(axis) * positions).sum() / weight.sum() - index * stride for axis in (0, 1)]
    assert np.mean(centers) == pytest.approx(offset, abs=0.12 * stride)


def test_googlenet_auxiliary_heads_are_used_in_training_only():
    paddle.seed(0)
    network = CheXNet(2, "googlenet")
    images = paddle.randn([2, 3, 64, 64])
    labels = paddle.to_tensor([[1.0, 0.0], [0.0, 0.0]])
    logits = network.training_logits(images)
    assert [head.shape for head in logits] == [[2, 2]] * 3
    alone = [float(BinaryCrossEntropy()(head, labels)) for head in logits]
    together = loss_of_heads(BinaryCrossEntropy(), logits, labels)
    assert float(together) == pytest.approx(alone[0] + AUXILIARY_WEIGHT * (alone[1] + alone[2]), rel=1e-6)
    together.backward()
    assert all(tensor.grad is not None for tensor in network.parameters() if not tensor.stop_gradient)
    outputs = network(images)
    probabilities, kept = AUROC(2, ["a", "b"]).compute(*outputs, labels)
    assert probabilities is outputs[0]
    assert kept is labels
    network.eval()
    assert network(images).shape == [2, 2]


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 9), (16, 13), (21, 7)])
def test_feature_maps_of_any_size_are_pooled_to_the_cells_of_the_linear_layers(shape):
    features = paddle.randn([2, 3, *shape])
    wanted = paddle.nn.functional.adaptive_avg_pool2d(features, 7).flatten(2).numpy()
    np.testing.assert_allclose(classic._adaptive_avg_pool(features, 7).numpy(), wanted, atol=1e-6)


def test_missing_imagenet_weights_are_an_error():
    for name in ("lenet", "densenet_cifar"):
        with pytest.raises(InputError, match=f"ImageNet weights of {name}; .*--init random or --init PATH"):
            model.init_weights(CheXNet(1, name), "imagenet")

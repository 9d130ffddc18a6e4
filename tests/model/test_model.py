import hashlib

import numpy as np
import paddle
import pytest
from paddle.vision.models import densenet121

from chexnet import model
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.errors import InputError
from chexnet.inference import Predictor
from chexnet.labels import N_CLASSES
from chexnet.model import CheXNet, checkpoint, init_weights, load_model_config


@pytest.fixture(scope="module")
def network() -> CheXNet:
    paddle.seed(0)
    network = CheXNet(N_CLASSES)
    network.eval()
    return network


def test_golden_names_shapes_and_count(network):
    """The names and shapes of the published checkpoints: 606 entries, 7,051,854 values."""
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 606
    assert shapes["densenet121.out.0.weight"] == [1024, 14]
    assert shapes["densenet121.conv1_func._conv.weight"] == [64, 3, 7, 7]
    assert shapes["densenet121.db_conv_5.conv5_16.bn_ac_func2._batch_norm._variance"] == [128]
    listing = "".join(f"{name} {shape}\n" for name, shape in sorted(shapes.items()))
    assert hashlib.sha256(listing.encode()).hexdigest() == (
        "64f104ec873fda00a8793d906eded4e854a7c1bf2bc109b04ca5bb3eac79e32c"
    )
    summary = paddle.summary(CheXNet(N_CLASSES), (1, 3, 224, 224))
    assert summary["total_params"] == 7_051_854


def test_it_computes_what_paddle_vision_computes(network):
    """The oracle: paddle.vision's network with CheXNet's head, as the earlier code built it."""
    reference = densenet121()
    reference.out = paddle.nn.Sequential(paddle.nn.Linear(1024, N_CLASSES), paddle.nn.Sigmoid())
    weights = {name.removeprefix("densenet121."): value for name, value in network.state_dict().items()}
    missing, unexpected = reference.set_state_dict(weights)
    assert not missing
    assert not unexpected
    reference.eval()
    images = paddle.randn([2, 3, 64, 64])
    np.testing.assert_array_equal(network(images).numpy(), reference(images).numpy())


def test_gray_bytes_are_normalized_as_three_equal_channels(network):
    gray = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    channels = [(gray[:, 0] / 255.0 - mean) / std for mean, std in zip(MEAN, STD, strict=True)]
    normalized = paddle.to_tensor(np.stack(channels, axis=1).astype(np.float32))
    probabilities = network(paddle.to_tensor(gray)).numpy()
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, network(normalized).numpy(), atol=1e-6)
    np.testing.assert_allclose(network.predict(gray), probabilities, atol=1e-6)


def test_constants_of_the_normalization_are_neither_weights_nor_copied_in_each_pass(monkeypatch):
    network = CheXNet(2, "lenet", "minus_one_one")
    constants = network.normalization_mean, network.normalization_std
    assert {"normalization_mean", "normalization_std"}.isdisjoint(network.state_dict())
    assert not network.parameters()[0].name.startswith("normalization")
    assert [list(value.shape) for value in constants] == [[1, 3, 1, 1]] * 2
    gray = paddle.to_tensor(np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8))
    network.set_state_dict(CheXNet(2, "lenet").state_dict())
    network.eval()
    before = network(gray).numpy()
    assert (network.normalization_mean is constants[0], network.normalization_std is constants[1]) == (True, True)
    monkeypatch.setattr(paddle, "to_tensor", lambda *_, **__: pytest.fail("copied"))
    np.testing.assert_array_equal(network(gray).numpy(), before)


def test_normalization_comes_from_the_metadata(network, tmp_path):
    """Here -1..1 instead of ImageNet's mean and deviation."""
    gray = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    checkpoint.save(network.state_dict(), tmp_path / "a.pdparams")
    checkpoint.write_metadata_file(tmp_path / "a.pdparams", {"normalization": "minus_one_one"})
    scaled = paddle.to_tensor(np.repeat(gray / 127.5 - 1, 3, axis=1).astype(np.float32))
    found = model.load(tmp_path / "a.pdparams").predict(gray)
    np.testing.assert_allclose(found, network(scaled).numpy(), atol=1e-6)
    assert np.abs(found - network.predict(gray)).max() > 1e-4


def test_the_head_is_linear_in_the_mean_of_the_feature_map(network):
    images = paddle.randn([1, 3, 64, 96])
    features = network.features(images)
    assert features.shape == [1, 1024, 2, 3]
    logits = network.densenet121.out[0](features.mean(axis=[2, 3]))
    np.testing.assert_allclose(network.logits(images).numpy(), logits.numpy(), atol=1e-5)


def arrays(layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in layer.state_dict().items()}


def test_init_from_a_whole_model_loads_all_weights(network, tmp_path):
    checkpoint.save(network.state_dict(), tmp_path / "whole.pdparams")
    other = CheXNet()
    assert "all weights" in init_weights(other, str(tmp_path / "whole.pdparams")).description
    filled = arrays(other)
    for name, value in arrays(network).items():
        np.testing.assert_array_equal(filled[name], value)


@pytest.mark.parametrize("head", [True, False], ids=["with its 1000-way head", "without a head"])
def test_init_from_a_backbone_keeps_the_head(network, tmp_path, head):
    state = arrays(network.densenet121)
    backbone = {name: value for name, value in state.items() if not name.startswith("out.")}
    outputs = {"out.weight": np.zeros((1024, 1000), np.float32), "out.bias": np.zeros(1000, np.float32)}
    checkpoint.save({**backbone, **(outputs if head else {})}, tmp_path / "backbone.pdparams")
    other = CheXNet()
    head_before = other.densenet121.out[0].weight.numpy().copy()
    assert "random head" in init_weights(other, str(tmp_path / "backbone.pdparams")).description
    filled = arrays(other.densenet121)
    for name, value in backbone.items():
        np.testing.assert_array_equal(filled[name], value)
    np.testing.assert_array_equal(other.densenet121.out[0].weight.numpy(), head_before)


def test_a_failed_download_lists_the_alternatives(monkeypatch):
    def offline(*arguments, **options):
        raise RuntimeError("Downloading failed")

    monkeypatch.setattr("paddle.utils.download.get_weights_path_from_url", offline)
    with pytest.raises(InputError) as caught:
        init_weights(CheXNet(), "imagenet")
    message = str(caught.value)
    assert all(way in message for way in ("internet", "convert_torch_weights.py", "--init PATH", "--init random"))
    assert "\n" not in message


def test_a_missing_checkpoint_lists_the_ways_to_get_one(tmp_path):
    with pytest.raises(InputError) as caught:
        model.load(tmp_path / "model.pdparams")
    assert all(way in str(caught.value) for way in ("convert_torch_weights.py", "download", "train.py"))


def test_another_number_of_outputs_is_refused(network, tmp_path):
    checkpoint.save(network.state_dict(), tmp_path / "fourteen.pdparams")
    with pytest.raises(InputError, match=r"fourteen\.pdparams: .*14 outputs, expected 3.*--classes_file"):
        model.load(tmp_path / "fourteen.pdparams", classes=["a", "b", "c"])


def test_preprocessing_comes_from_the_metadata_or_the_defaults(tmp_path):
    assert model.load_model_config(tmp_path / "a.pdparams").preprocessing == Preprocessing()
    checkpoint.write_metadata_file(tmp_path / "b.pdparams", {"resize": 128, "crop": 112, "epoch": 3})
    assert model.load_model_config(tmp_path / "b.pdparams").preprocessing == Preprocessing(128, 112)


@pytest.mark.parametrize(("before", "now"), [("symmetric", "minus_one_one"), ("unit", "zero_one")])
def test_normalization_names_of_earlier_versions_are_read(tmp_path, before, now):
    for number, metadata in enumerate(({"scaling": before}, {"normalization": now})):
        checkpoint.write_metadata_file(tmp_path / f"{number}.pdparams", metadata)
        assert model.load_model_config(tmp_path / f"{number}.pdparams").preprocessing.scaling == now


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"classes": ["Mass", "Mass"]}, "class 2 is 'Mass'"),
        ({"classes": ["Mass", " "]}, "class 2 is ' '"),
        ({"classes": ["avg"]}, "class 1 is 'avg'"),
        ({"classes": ["a\nb"]}, r"class 1 is 'a\\nb'"),
        ({"classes": []}, "no class"),
        ({"classes": "Mass"}, "classes are 'Mass'"),
        ({"classes": [1]}, "class 1 is 1"),
        ({"backbone": "densenet"}, "'densenet', expected one of densenet121, "),
        ({"backbone": ["resnet50"]}, r"\['resnet50'\], expected one of densenet121, "),
        ({"backbone": "alexnet", "crop": 62}, "crop 62 .* at least 63"),
        ({"normalization": "none"}, "normalization is 'none', expected .*minus_one_one"),
        ({"scaling": [1]}, r"normalization is \[1\]"),
        ({"resize": "256"}, "{'resize': '256'}"),
        ({"crop": True}, "{'crop': True}"),
        ({"resize": 100, "crop": 200}, "crop 200"),
        ({"crop": 31}, "crop 31 .* 32 pixels"),
    ],
)
def test_invalid_metadata_is_an_error_that_names_its_file(tmp_path, metadata, message):
    checkpoint.write_metadata_file(tmp_path / "a.pdparams", metadata)
    with pytest.raises(InputError, match=rf"a\.json: .*{message}"):
        model.load_model_config(tmp_path / "a.pdparams")


def test_crops_come_from_the_metadata_unless_they_are_given(tmp_path):
    checkpoint.save_weights(CheXNet(14, "lenet").state_dict(), tmp_path / "a.pdparams")
    metadata = {"backbone": "lenet", "resize": 40, "crop": 32}
    for stored, given, expected in (({}, None, 10), ({"crops": 1}, None, 1), ({"crops": 1}, 10, 10)):
        checkpoint.write_metadata_file(tmp_path / "a.pdparams", {**metadata, **stored})
        assert Predictor(tmp_path / "a.pdparams", crops=given).crops == expected
    for wrong in (5, "1", True, 1.0, [1]):
        checkpoint.write_metadata_file(tmp_path / "a.pdparams", {**metadata, "crops": wrong})
        with pytest.raises(InputError, match=r"a\.json: crops is .* 10 or 1"):
            load_model_config(tmp_path / "a.pdparams")

"""Code written for the earlier Paddle-CheXNet."""

import inspect

import numpy as np
import paddle
import pytest
from conftest import make_folder
from paddle.io import DataLoader
from paddle.vision import transforms
from PIL import Image

from chexnet.data import ChestXrayDataSet
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.errors import InputError
from chexnet.inference import cam
from chexnet.model import CheXNet, CheXNetCAM, checkpoint
from chexnet.utility import AUROC, CLASS_NAMES, N_CLASSES, Lambda, TenCrop


@pytest.fixture(scope="module")
def network():
    paddle.seed(3)
    network = CheXNet(N_CLASSES, backbone_pretrained=False)
    network.eval()
    return network


@pytest.fixture
def data(tmp_path):
    return make_folder(tmp_path, 4, sizes=((70, 90), (80, 60)))


normalize = transforms.Normalize(list(MEAN), list(STD))


def test_the_names_exist():
    assert (N_CLASSES, len(CLASS_NAMES), CLASS_NAMES[:2]) == (14, 14, ["Atelectasis", "Cardiomegaly"])
    assert isinstance(CLASS_NAMES, list)


def test_the_ten_crops_of_its_eval_equal_ours(data, network):
    images, image_list = data
    dataset = ChestXrayDataSet(
        data_dir=str(images),
        image_list_file=str(image_list),
        transform=transforms.Compose(
            [
                transforms.Resize(64),
                TenCrop(48),
                Lambda(lambda crops: paddle.stack([transforms.ToTensor()(crop) for crop in crops])),
                Lambda(lambda crops: paddle.stack([normalize(crop) for crop in crops])),
            ]
        ),
    )
    ours = ChestXrayDataSet(images, image_list, "ten", Preprocessing(64, 48))
    batches = list(DataLoader(dataset=dataset, batch_size=2, shuffle=False, num_workers=0))
    assert [list(part.shape) for part in batches[0]] == [[2, 10, 3, 48, 48], [2, 14]]
    crops = np.concatenate([inputs.numpy() for inputs, _ in batches])
    for index in range(4):
        gray, labels = ours[index]
        expected = (gray.astype(np.float32) / 255 - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
        np.testing.assert_allclose(crops[index], expected, atol=1e-5)
        np.testing.assert_array_equal(batches[index // 2][1].numpy()[index % 2], labels)
    auroc = AUROC(num_classes=N_CLASSES, class_names=CLASS_NAMES)
    with paddle.no_grad():
        for inputs, target in batches:
            output = network(inputs.reshape((-1, 3, 48, 48)))
            auroc.update(output.reshape((2, 10, -1)).mean(1), target)
    assert len(auroc.accumulate()) == N_CLASSES + 1
    assert auroc.name()[-1] == "AUROC_avg"


def test_its_training_lines_run(data):
    images, image_list = data
    steps = [transforms.Resize(40), transforms.RandomCrop(32), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    dataset = ChestXrayDataSet(str(images), str(image_list), transforms.Compose([*steps, normalize]))
    model = paddle.Model(CheXNet(N_CLASSES, "lenet"))
    metric = AUROC(num_classes=N_CLASSES, class_names=CLASS_NAMES)
    optimizer = paddle.optimizer.Adam(0.001, parameters=model.parameters())
    model.prepare(optimizer=optimizer, loss=paddle.nn.BCELoss(), metrics=metric)
    model.fit(train_data=dataset, eval_data=dataset, batch_size=2, epochs=1, verbose=0, num_workers=0)


def test_without_a_transform_an_item_is_the_image(data):
    images, image_list = data
    image, labels = ChestXrayDataSet(data_dir=images, image_list_file=image_list)[1]
    assert (image.mode, image.size) == ("RGB", (60, 80))
    np.testing.assert_array_equal(np.asarray(image)[..., 1], np.asarray(Image.open(images / "list_001.png")))
    assert labels.dtype == paddle.float32
    with pytest.raises(InputError, match="list_file or image_list_file"):
        ChestXrayDataSet(images)
    with pytest.raises(InputError, match="list_file or image_list_file"):
        ChestXrayDataSet(images, image_list, image_list_file=image_list)


def test_the_maps_equal_ours(network, tmp_path):
    """Weights load with `set_dict`; the maps are those of predict.py, not stretched to their own extremes."""
    checkpoint.save_weights(network.state_dict(), tmp_path / "model_paddle.pdparams")
    net = CheXNetCAM(N_CLASSES, backbone_pretrained=False)
    net.set_dict(paddle.load(str(tmp_path / "model_paddle.pdparams")))
    net.eval()
    gray = np.random.default_rng(0).integers(0, 256, (2, 1, 64, 64), dtype=np.uint8)
    inputs = paddle.stack(
        [normalize(transforms.ToTensor()(np.repeat(image.transpose(1, 2, 0), 3, axis=2))) for image in gray]
    )
    with paddle.no_grad():
        results, cams = net(inputs)
    np.testing.assert_allclose(results.numpy(), network.predict(gray), atol=1e-5)
    assert (cams.dtype, list(cams.shape)) == (paddle.uint8, [2, 14, 64, 64])
    maps, bias = network.predict_cam(gray), network.bias()
    geometry = Preprocessing(64, 64).geometry(64, 64, crops=1)
    for image in range(2):
        for finding in range(14):
            opacity = cam.to_opacity(
                cam.upsample_to_image(maps[image, None, finding], geometry, network.grid), bias[finding]
            )
            np.testing.assert_allclose(cams.numpy()[image, finding], 255 * opacity, atol=1)
    assert cams.numpy().max(axis=(2, 3)).min() < 255  # an absent finding does not glow


@pytest.mark.parametrize("line", ["CheXNet()", "CheXNet(14)", "CheXNet(14, False)", "CheXNetCAM(14)"])
def test_nothing_is_downloaded_by_default(line, monkeypatch):
    def download(*_):
        raise AssertionError("a download")

    monkeypatch.setattr("paddle.utils.download.get_weights_path_from_url", download)
    assert len(eval(line).state_dict()) == 606
    assert "random" in inspect.getdoc(CheXNet)


@pytest.mark.parametrize("line", ["CheXNet(14, backbone_pretrained=True)", "CheXNet(14, True)", "CheXNetCAM(14, True)"])
def test_imagenet_weights_load_on_request(line, network, monkeypatch, tmp_path):
    state = {name: value.numpy() for name, value in network.densenet121.state_dict().items()}
    backbone = {name: value for name, value in state.items() if not name.startswith("out.")}
    checkpoint.save(backbone, tmp_path / "densenet121.pdparams")
    monkeypatch.setattr(
        "paddle.utils.download.get_weights_path_from_url", lambda *_: str(tmp_path / "densenet121.pdparams")
    )
    filled = eval(line).densenet121.state_dict()
    assert all(np.array_equal(filled[name].numpy(), value) for name, value in backbone.items())


def test_crops_are_squares_within_the_image():
    image = Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6))
    assert [crop.size for crop in TenCrop((4, 4))(image)] == [(4, 4)] * 10
    upside_down = TenCrop(5, vertical_flip=True)(image)[5]
    np.testing.assert_array_equal(np.asarray(upside_down), np.asarray(image)[::-1, :5])
    with pytest.raises(InputError, match="6 x 5 px"):
        TenCrop(6)(image)
    with pytest.raises(InputError, match="square"):
        TenCrop((4, 5))
    with pytest.raises(InputError, match="'resnet18', expected one of densenet121"):
        CheXNet(14, "resnet18")

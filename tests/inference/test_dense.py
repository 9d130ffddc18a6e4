"""Dense evaluation: the mean over all windows of the whole image and its mirror image, in every engine."""

import numpy as np
import paddle
import pytest
from conftest import make_folder
from dense_data import CROP, RESIZE, SHAPES, save_network, shape_image
from hypothesis import given
from hypothesis import strategies as st
from paddle import nn
from PIL import Image

from chexnet.config import ENGINES, EvalConfig
from chexnet.data.cache import build_cache
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.evaluation.localization import boxes
from chexnet.inference import Predictor, cam, engines
from chexnet.inference.image_batches import predict_images
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint, load
from chexnet.model.backbones import BACKBONES
from chexnet.model.backbones.base import GlobalPoolBackbone

pytestmark = pytest.mark.usefixtures("small_backbones")


class Brightness(GlobalPoolBackbone):
    """The mean brightness of each cell of 32 x 32 pixels, without a receptive field beyond the cell."""

    head_prefixes = ("classifier.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.avg_pool2d(images, 32)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory, small_backbones):
    return save_network(tmp_path_factory.mktemp("ckpt") / "model.pdparams", "resnet50")


def slow_form(network: CheXNet, image: np.ndarray, cells: int) -> np.ndarray:
    """Apply the head to each window of the feature maps, one after the other."""
    resized = Preprocessing(RESIZE, CROP).resize_image(image)
    probabilities = []
    with paddle.no_grad():
        for view in (resized, resized[:, ::-1]):
            features = network.features(paddle.to_tensor(np.ascontiguousarray(view)[None, None]))
            for top in range(features.shape[2] - cells + 1):
                for left in range(features.shape[3] - cells + 1):
                    logits = network.classify(features[:, :, top : top + cells, left : left + cells]).numpy()[0]
                    probabilities.append(1 / (1 + np.exp(-logits.astype(np.float64))))
    return np.mean(probabilities, axis=0)


@pytest.mark.parametrize(
    ("backbone", "cells"), [("densenet121", 2), ("resnet50", 2), ("densenet_cifar", 8), ("googlenet", 1)]
)
def test_probabilities_equal_a_loop_over_the_windows(tmp_path, backbone, cells):
    """The cells of a crop of 64 pixels are computed by hand: ResNet rounds up, and GoogLeNet rounds down."""
    path = save_network(tmp_path / "model.pdparams", backbone)
    network = load(path)
    predictor = Predictor(path, crops="dense", device="cpu", images=1)
    for shape in SHAPES[:3]:
        found = predictor.predict(shape_image(shape))
        expected = slow_form(network, shape_image(shape), cells)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=2e-6)


@pytest.fixture(scope="module")
def slow_probabilities(ckpt) -> list[np.ndarray]:
    """The probabilities of an image of each shape."""
    network = load(ckpt)
    return [slow_form(network, shape_image(shape), 2) for shape in SHAPES]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_predicts_images_of_all_shapes(ckpt, slow_probabilities, tmp_path, engine):
    if why := engines.why_unavailable(engine):
        pytest.skip(why)
    paths = []
    for index, shape in enumerate([*SHAPES, *SHAPES]):  # images of one shape are predicted together
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(shape_image(shape)).save(paths[-1])
    predictor = Predictor(ckpt, crops="dense", device="cpu", engine=engine, num_workers=1)
    found = list(predictor.predict_all(paths))
    for prediction, path, expected in zip(found, paths, [*slow_probabilities, *slow_probabilities], strict=True):
        assert prediction.name == str(path)
        np.testing.assert_allclose(prediction.probabilities, expected, rtol=0, atol=1e-5)


def test_a_mirror_image_gives_the_same_probabilities_and_the_mirrored_map(ckpt):
    predictor = Predictor(ckpt, crops="dense", device="cpu", images=1)
    for shape in SHAPES:
        image = shape_image(shape)
        first, second = predictor.predict(image), predictor.predict(np.ascontiguousarray(image[:, ::-1]))
        if min(shape) == RESIZE:  # otherwise the resized image is not the exact mirror image
            np.testing.assert_allclose(first.probabilities, second.probabilities, rtol=0, atol=1e-6)
            values = first.cam("Mass")
            np.testing.assert_allclose(values, second.cam("Mass")[:, ::-1], atol=1e-4 * np.abs(values).max())
        assert first.cam("Mass").shape == shape
        assert not np.isnan(first.cam("Mass")).any()


@given(height=st.integers(1, 6), width=st.integers(1, 9), window=st.integers(1, 6), seed=st.integers(0, 99))
def test_window_means_of_maps_equal_a_loop(height, width, window, seed):
    window = min(window, height, width)
    rng = np.random.default_rng(seed)
    maps, bias = rng.normal(size=(2, 3, height, width)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    logits = [
        maps[:, :, top : top + window, left : left + window].astype(np.float64).mean(axis=(2, 3)) + bias
        for top in range(height - window + 1)
        for left in range(width - window + 1)
    ]
    found = cam.dense_probabilities(maps, bias, window)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (1 / (1 + np.exp(-np.stack(logits)))).mean(axis=0), rtol=0, atol=1e-6)


def test_differences_of_saturated_probabilities_are_kept():
    maps = np.full((1, 1, 2, 2), 15.5, np.float32)
    maps[0, 0, 0, 0] = 13
    single = cam.probabilities(maps[:, :, :1, 1:], np.zeros(1, np.float32))
    assert float(cam.dense_probabilities(maps, np.zeros(1, np.float32), 1)[0, 0]) != float(single[0, 0])


@given(
    sides=st.lists(st.tuples(st.integers(3, 5), st.integers(3, 5)), min_size=1, max_size=9),
    crops=st.sampled_from([1, 2, 10]),
    max_pixels=st.integers(1, 300),
)
def test_the_composition_of_a_batch_does_not_matter(sides, crops, max_pixels):
    rng = np.random.default_rng(len(sides))
    batch = [rng.integers(0, 256, (crops, 1, *side), np.uint8) for side in sides]

    def predict(images):
        assert images.size <= max(max_pixels, crops * images[0].size)
        return images.mean(axis=(2, 3), dtype=np.float32), images / np.float32(255)

    for image, (probabilities, maps) in zip(batch, predict_images(batch, predict, max_pixels), strict=True):
        np.testing.assert_array_equal(probabilities, image.mean(axis=(2, 3), dtype=np.float32).mean(0, np.float64))
        np.testing.assert_array_equal(maps, image / np.float32(255))


def test_evaluation_gives_the_numbers_of_the_predictor_with_and_without_a_cache(ckpt, tmp_path):
    images, listed = make_folder(tmp_path, 7, sizes=SHAPES[:4])
    config = EvalConfig(
        data_dir=str(images), test_list=str(listed), ckpt=str(ckpt), crops="dense", device="cpu", batch_size=3
    )
    names = [path.name for path in images.iterdir()]
    build_cache(images, names, tmp_path / "cache", Preprocessing(RESIZE, CROP), workers=1)
    plain = evaluate(config)
    cached = evaluate(EvalConfig(**{**vars(config), "image_cache": str(tmp_path / "cache"), "num_workers": 0}))
    np.testing.assert_array_equal(plain.predictions.probabilities, cached.predictions.probabilities)
    predictor = Predictor(ckpt, crops="dense", device="cpu", images=1)
    expected = [predictor.predict(images / name).probabilities for name in plain.names]
    np.testing.assert_allclose(plain.predictions.probabilities, expected, rtol=0, atol=1e-5)
    assert plain.config.crops == "dense"


@pytest.mark.parametrize("shape", [(212, 212), (212, 371), (400, 212), (106, 300), (530, 1300)])
def test_the_peak_of_a_map_is_where_the_bright_square_is(tmp_path, monkeypatch, shape):
    """Squares in all corners and in the middle, in images whose sides are no multiples of the stride."""
    monkeypatch.setitem(BACKBONES, "brightness", Brightness)
    path = tmp_path / "model.pdparams"
    network = CheXNet(14, "brightness")
    network.backbone.classifier.weight.set_value(paddle.full([3, 14], 1.0))
    checkpoint.save_weights(network.state_dict(), path)
    facts = {"backbone": "brightness", "resize": RESIZE, "crop": CROP, "classes": CLASS_NAMES}
    checkpoint.write_metadata_file(path, facts)
    predictor = Predictor(path, crops="dense", device="cpu", images=1)
    height, width = shape
    side = round(48 * min(shape) / RESIZE)  # one and a half cells
    for row, column in [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5), (0.3, 0.8), (0.9, 0.35)]:
        top, left = round(row * (height - side)), round(column * (width - side))
        image = np.full(shape, 40, np.uint8)
        image[top : top + side, left : left + side] = 220
        x, y = boxes.peak_location(predictor.predict(image).cam("Mass"))
        assert top <= y <= top + side
        assert left <= x <= left + side


def test_a_single_window_is_the_mean_of_the_image_and_its_mirror_image(tmp_path):
    """Without a margin, a square image is one crop."""
    path = save_network(tmp_path / "model.pdparams", "densenet_cifar", resize=CROP)
    image = shape_image((CROP, CROP))
    expected = load(path).predict(np.stack([image, image[:, ::-1]])[:, None]).mean(axis=0)
    found = Predictor(path, crops="dense", device="cpu", images=1).predict(image)
    np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("backbone", ["lenet", "vgg16"])
def test_a_backbone_with_another_head_is_refused_before_it_is_built(tmp_path, backbone, monkeypatch):
    path = tmp_path / "model.pdparams"
    checkpoint.save_weights(CheXNet(14, "lenet").state_dict(), path)
    facts = {"backbone": backbone, "classes": CLASS_NAMES}
    checkpoint.write_metadata_file(path, facts)
    with pytest.raises(InputError, match=rf"model\.pdparams: --crops is dense.*; {backbone} .*densenet121, .*resnet50"):
        Predictor(path, crops="dense", device="cpu")
    checkpoint.write_metadata_file(path, {**facts, "crops": "dense"})
    with pytest.raises(InputError, match=rf"model\.json: crops is dense.*; {backbone} "):
        Predictor(path, device="cpu")
    with pytest.raises(InputError, match="--crops is 5, expected 10, 1 or dense"):
        Predictor(save_network(path), crops=5, device="cpu")

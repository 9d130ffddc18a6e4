"""Class activation maps: what they add up to, where they lie, how they are shown."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation.localization import boxes
from chexnet.inference import cam
from chexnet.model import CheXNet
from chexnet.model.backbones import FeatureGrid
from chexnet.phantom import draw

STRIDE = FeatureGrid().stride


@pytest.fixture(scope="module")
def network() -> CheXNet:
    """Random, with a bias that is not small."""
    paddle.seed(5)
    network = CheXNet()
    head = network.densenet121.out[0]
    head.weight.set_value(head.weight * 8)
    head.bias.set_value(paddle.linspace(-3, 3, 14))
    return network


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """uint8 [4, 1, 96, 96]."""
    return np.stack([draw(["Mass"], 96, patient=patient).image[None] for patient in range(4)])


def test_a_maps_mean_plus_the_bias_is_the_logit(network, crops):
    maps = network.predict_cam(crops)
    assert maps.shape == (4, 14, 3, 3)
    assert maps.dtype == np.float32
    with paddle.no_grad():
        logits = network.logits(paddle.to_tensor(crops)).numpy()
    assert np.ptp(maps, axis=(2, 3)).min() > 0.1
    np.testing.assert_allclose(maps.mean(axis=(2, 3)) + network.bias(), logits, atol=2e-6 * np.abs(maps).max())


def test_probabilities_come_out_of_the_same_pass(network, crops):
    probabilities = cam.probabilities(network.predict_cam(crops), network.bias())
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, network.predict(crops), atol=1e-6)


def test_probabilities_of_extreme_logits_are_0_and_1():
    with np.errstate(all="raise"):
        maps = np.array([-1e4, 0, 1e4], np.float32)[:, None, None]
        assert cam.probabilities(maps, np.zeros(3, np.float32)).tolist() == [0, 0.5, 1]


def test_the_network_looks_where_the_map_says(network):
    """Noise in the pixels of one place changes that place of the maps most, also where the crop is no multiple."""
    gray = np.full((1, 1, 112, 144), 100, np.uint8)
    before = network.predict_cam(gray)
    assert before.shape == (1, 14, 3, 4)
    rng = np.random.default_rng(0)
    for row, column in [(0, 0), (1, 2), (2, 3), (2, 0)]:
        changed = gray.copy()
        block = changed[0, 0, row * STRIDE : (row + 1) * STRIDE, column * STRIDE : (column + 1) * STRIDE]
        block[...] = rng.integers(0, 256, block.shape)
        difference = np.abs(network.predict_cam(changed) - before).sum(axis=(0, 1))
        assert np.unravel_index(difference.argmax(), difference.shape) == (row, column)


def places(geometry, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the centres of each crop's places lie in the original image: y and x, [K, side, side] each."""
    centre = (np.arange(side) + 0.5) * STRIDE
    scale_y, scale_x = (n / m for n, m in zip(geometry.original, geometry.resized, strict=True))
    rows, columns = [], []
    for crop in geometry.crops:
        across = geometry.side - centre if crop.flipped else centre
        rows.append(np.repeat((centre[:, None] + crop.top) * scale_y, side, axis=1))
        columns.append(np.repeat((across[None] + crop.left) * scale_x, side, axis=0))
    return np.stack(rows), np.stack(columns)


@pytest.mark.parametrize(
    ("height", "width", "crops"), [(512, 512, 10), (300, 280, 10), (130, 140, 10), (900, 400, 1), (400, 900, 1)]
)
@pytest.mark.parametrize("crop", [224, 240])
def test_values_that_grow_evenly_over_the_image_do_so_in_its_map(height, width, crop, crops):
    """The exact oracle: each place holds a linear function of where it is, so every pixel between places must too.

    240 pixels are seven places and a half, the last half of which has no place of its own.
    """
    geometry = Preprocessing(resize=256, crop=crop).geometry(height, width, crops)
    y, x = places(geometry, crop // STRIDE)
    values = cam.upsample_to_image((0.7 * y - 0.4 * x).astype(np.float32), geometry)
    assert values.shape == (height, width)
    assert values.dtype == np.float32

    rows, columns = (np.arange(n) + 0.5 for n in (height, width))
    margin = 2 * max(height, width) / 256  # what the resizing mixes
    # Where every crop has two places on each side, which a cubic needs: beyond them values are continued.
    y, x = y[:, 1:-1, 1:-1], x[:, 1:-1, 1:-1]
    inner_rows = (rows > y.min(axis=(1, 2)).max() + margin) & (rows < y.max(axis=(1, 2)).min() - margin)
    inner_columns = (columns > x.min(axis=(1, 2)).max() + margin) & (columns < x.max(axis=(1, 2)).min() - margin)
    inner = inner_rows[:, None] & inner_columns
    assert inner.mean() > 0.05
    expected = 0.7 * rows[:, None] - 0.4 * columns
    np.testing.assert_allclose(values[inner], expected[inner], atol=0.01)


@pytest.mark.parametrize("index", [0, 3, 4, 5, 8])
def test_one_high_place_of_one_crop_is_highest_where_it_belongs(index):
    """For corner crops and mirrored ones, in an image that is not square."""
    geometry = Preprocessing(resize=256, crop=224).geometry(512, 700, crops=10)
    maps = np.zeros((10, 7, 7), np.float32)
    maps[index, 2, 5] = 1
    values = cam.upsample_to_image(maps, geometry)
    y, x = places(geometry, 7)
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    # Where other crops stop looking, the mean jumps: the maximum is that of the place within half of it.
    assert abs(row + 0.5 - y[index, 2, 5]) < 32
    assert abs(column + 0.5 - x[index, 2, 5]) < 32
    highest = values[int(y[index, 2, 5]), int(x[index, 2, 5])]
    assert highest > 0.09
    far = np.hypot(np.arange(512)[:, None] - y[index, 2, 5], np.arange(700) - x[index, 2, 5]) > 4 * np.sqrt(2) * 32 + 2
    assert np.nanmax(np.abs(values[far])) < 1e-5


def test_the_maximum_lies_between_places_where_their_values_say_so():
    """A wide blob is found where it is, and not only at the middle of the place that it is nearest to."""
    centre = (np.arange(7) + 0.5) * STRIDE
    geometry = Preprocessing(resize=224, crop=224).geometry(224, 224, crops=1)
    for y, x in [(100.0, 118.0), (90.0, 122.0), (112.0, 104.0)]:
        blob = np.exp(-((centre[:, None] - y) ** 2 + (centre - x) ** 2) / (2 * 40.0**2))
        found_x, found_y = boxes.peak_location(cam.upsample_to_image(blob[None].astype(np.float32), geometry))
        nearest = min(np.hypot(row - y, column - x) for row in centre for column in centre)
        assert np.hypot(found_y - y, found_x - x) < max(4, nearest / 2)


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (6, 6), (4, 6)])
def test_the_maximum_of_a_place_at_the_rim_is_in_it_and_no_higher(place):
    geometry = Preprocessing(resize=240, crop=240).geometry(240, 240, crops=1)
    maps = np.random.default_rng(0).random((1, 7, 7), np.float32)
    maps[0][place] = 3
    values = cam.upsample_to_image(maps, geometry)
    assert values.max() == pytest.approx(3, abs=0.02)
    x, y = boxes.peak_location(values)
    # Along the rim it may lie towards the higher neighbour, at most half of the way.
    assert np.abs(np.array([y, x]) - (np.array(place) + 0.5) * STRIDE).max() <= STRIDE / 2


def test_a_map_of_one_place_is_that_value_everywhere():
    geometry = Preprocessing(resize=40, crop=40).geometry(40, 40, crops=1)
    np.testing.assert_array_equal(cam.upsample_to_image(np.full((1, 1, 1), 2.5), geometry), np.full((40, 40), 2.5))


def test_a_constant_map_is_constant_and_what_was_not_looked_at_is_nan():
    for crops, seen in ((10, 1.0), (1, (224 / 256) ** 2)):
        values = cam.upsample_to_image(np.full((crops, 7, 7), 2.5), Preprocessing().geometry(1024, 1024, crops))
        assert np.isfinite(values).mean() == pytest.approx(seen, abs=1e-3)
        np.testing.assert_allclose(values[np.isfinite(values)], 2.5, rtol=1e-6)


def test_the_same_value_always_looks_the_same():
    values = np.array([[-20, -1, 2.5, 7], [14.5, 26.5, 40, np.nan]], np.float32)
    shown = cam.to_opacity(values, 0.5, 30)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, [[0, 0, 0.1, 0.25], [0.5, 0.9, 1, np.nan]], rtol=1e-6)
    for part in (np.s_[:1], np.s_[1:], np.s_[0, 2:3]):  # whatever else is in the map
        np.testing.assert_array_equal(cam.to_opacity(values[part], 0.5, 30), shown[part])
    assert not cam.to_opacity(np.full((3, 3), -2.0, np.float32), 0.5).any()


def test_a_checkpoint_says_what_its_maps_reach(tmp_path):
    ckpt = tmp_path / "a.safetensors"
    assert cam.heatmap_range({}, ckpt) == cam.DISPLAY_LIMIT
    assert cam.heatmap_range({"map_limit": 25}, ckpt) == 25
    for wrong in (0, -1, "25", True, None, math.inf):
        with pytest.raises(InputError, match=r"a\.safetensors: map_limit is .*expected a number above 0"):
            cam.heatmap_range({"map_limit": wrong}, ckpt)


def test_grad_cam_of_a_linear_head_is_the_class_map(network, crops):
    maps = network.predict_cam(crops)
    found = cam.grad_cam(network, crops)
    for finding in range(14):
        np.testing.assert_allclose(found[:, finding], maps[:, finding], rtol=1e-4, atol=1e-5 * np.abs(maps).max())
    assert network.densenet121.out[0].weight.grad is None


class Bent(nn.Layer):
    """A network whose head is not linear in the pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(1, 6, 8, stride=8)
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(self.stem(images.astype("float32") / 255))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        return self.second(nn.functional.tanh(self.first(features.mean(axis=[2, 3]) ** 2)))


def test_grad_cam_of_another_head_has_the_slopes_of_its_logit():
    """The oracle: a channel's weight is by how much the logit grows when the whole channel does."""
    paddle.seed(1)
    network = Bent()
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 24), dtype=np.uint8)
    with paddle.no_grad():
        features = network.features(paddle.to_tensor(images)).astype("float64")
        network.to(dtype="float64")
        weights = np.zeros((2, 6))
        for channel in range(6):
            step = np.zeros((1, 6, 1, 1))
            step[0, channel] = 1e-5
            ends = [network.classify(features + sign * paddle.to_tensor(step))[:, 2].numpy() for sign in (1, -1)]
            weights[:, channel] = (ends[0] - ends[1]) / 2e-5
        network.to(dtype="float32")
    expected = np.einsum("nc,nchw->nhw", weights, features.numpy())
    np.testing.assert_allclose(cam.grad_cam(network, images)[:, 2], expected, rtol=1e-3, atol=1e-6)

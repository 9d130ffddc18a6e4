"""Class activation maps: sums, positions and opacity."""

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
    """A random network with large biases."""
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


def test_mean_of_map_plus_bias_is_the_logit(network, crops):
    maps = network.predict_cam(crops)
    assert maps.shape == (4, 14, 3, 3)
    assert maps.dtype == np.float32
    with paddle.no_grad():
        logits = network.logits(paddle.to_tensor(crops)).numpy()
    assert np.ptp(maps, axis=(2, 3)).min() > 0.1
    np.testing.assert_allclose(maps.mean(axis=(2, 3)) + network.bias(), logits, atol=2e-6 * np.abs(maps).max())


def test_probabilities_come_from_the_same_pass(network, crops):
    probabilities = cam.probabilities(network.predict_cam(crops), network.bias())
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, network.predict(crops), atol=1e-6)


def test_probabilities_of_extreme_logits_are_0_and_1():
    with np.errstate(all="raise"):
        maps = np.array([-1e4, 0, 1e4], np.float32)[:, None, None]
        assert cam.probabilities(maps, np.zeros(3, np.float32)).tolist() == [0, 0.5, 1]


def test_changed_pixels_change_their_cell_of_the_maps_most(network):
    """Add noise to the pixels of one cell, also in a crop whose side is not a multiple of the stride."""
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


def cell_centers(geometry, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell centers of each crop in the original image: y and x, [K, side, side] each."""
    center = (np.arange(side) + 0.5) * STRIDE
    scale_y, scale_x = (n / m for n, m in zip(geometry.original, geometry.resized, strict=True))
    rows, columns = [], []
    for crop in geometry.crops:
        across = geometry.size[1] - center if crop.flipped else center
        rows.append(np.repeat((center[:, None] + crop.top) * scale_y, side, axis=1))
        columns.append(np.repeat((across[None] + crop.left) * scale_x, side, axis=0))
    return np.stack(rows), np.stack(columns)


@pytest.mark.parametrize(
    ("height", "width", "crops"), [(512, 512, 10), (300, 280, 10), (130, 140, 10), (900, 400, 1), (400, 900, 1)]
)
@pytest.mark.parametrize("crop", [224, 240])
def test_a_linear_function_of_position_stays_linear(height, width, crop, crops):
    """An exact oracle: cells hold a linear function of their position, so every pixel between them must as well.

    240 pixels are seven and a half cells; the last half has no cell of its own.
    """
    geometry = Preprocessing(resize=256, crop=crop).geometry(height, width, crops)
    y, x = cell_centers(geometry, crop // STRIDE)
    values = cam.upsample_to_image((0.7 * y - 0.4 * x).astype(np.float32), geometry)
    assert values.shape == (height, width)
    assert values.dtype == np.float32

    rows, columns = (np.arange(n) + 0.5 for n in (height, width))
    margin = 2 * max(height, width) / 256  # pixels that resizing mixes
    # The cubic needs two cells on each side in every crop; beyond them, values are extrapolated.
    y, x = y[:, 1:-1, 1:-1], x[:, 1:-1, 1:-1]
    inner_rows = (rows > y.min(axis=(1, 2)).max() + margin) & (rows < y.max(axis=(1, 2)).min() - margin)
    inner_columns = (columns > x.min(axis=(1, 2)).max() + margin) & (columns < x.max(axis=(1, 2)).min() - margin)
    inner = inner_rows[:, None] & inner_columns
    assert inner.mean() > 0.05
    expected = 0.7 * rows[:, None] - 0.4 * columns
    np.testing.assert_allclose(values[inner], expected[inner], atol=0.01)


@pytest.mark.parametrize("index", [0, 3, 4, 5, 8])
def test_a_single_high_cell_of_one_crop_is_highest_at_its_position(index):
    """Corner crops and flipped ones, in an image that is not square."""
    geometry = Preprocessing(resize=256, crop=224).geometry(512, 700, crops=10)
    maps = np.zeros((10, 7, 7), np.float32)
    maps[index, 2, 5] = 1
    values = cam.upsample_to_image(maps, geometry)
    y, x = cell_centers(geometry, 7)
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    # The mean jumps at the edges of other crops, so the maximum lies within half a cell of the center.
    assert abs(row + 0.5 - y[index, 2, 5]) < 32
    assert abs(column + 0.5 - x[index, 2, 5]) < 32
    highest = values[int(y[index, 2, 5]), int(x[index, 2, 5])]
    assert highest > 0.09
    far = np.hypot(np.arange(512)[:, None] - y[index, 2, 5], np.arange(700) - x[index, 2, 5]) > 4 * np.sqrt(2) * 32 + 2
    assert np.nanmax(np.abs(values[far])) < 1e-5


def test_the_maximum_may_lie_between_cell_centers():
    """The maximum of a wide blob is found at its position, not at the nearest cell center."""
    center = (np.arange(7) + 0.5) * STRIDE
    geometry = Preprocessing(resize=224, crop=224).geometry(224, 224, crops=1)
    for y, x in [(100.0, 118.0), (90.0, 122.0), (112.0, 104.0)]:
        blob = np.exp(-((center[:, None] - y) ** 2 + (center - x) ** 2) / (2 * 40.0**2))
        found_x, found_y = boxes.peak_location(cam.upsample_to_image(blob[None].astype(np.float32), geometry))
        nearest = min(np.hypot(row - y, column - x) for row in center for column in center)
        assert np.hypot(found_y - y, found_x - x) < max(4, nearest / 2)


@pytest.mark.parametrize("cell", [(0, 0), (0, 3), (6, 6), (4, 6)])
def test_the_maximum_of_a_border_cell_is_inside_it_and_not_higher(cell):
    geometry = Preprocessing(resize=240, crop=240).geometry(240, 240, crops=1)
    maps = np.random.default_rng(0).random((1, 7, 7), np.float32)
    maps[0][cell] = 3
    values = cam.upsample_to_image(maps, geometry)
    assert values.max() == pytest.approx(3, abs=0.02)
    x, y = boxes.peak_location(values)
    # Along the border, it may lie up to half a cell towards the higher neighbor.
    assert np.abs(np.array([y, x]) - (np.array(cell) + 0.5) * STRIDE).max() <= STRIDE / 2


def test_a_map_of_one_cell_has_its_value_everywhere():
    geometry = Preprocessing(resize=40, crop=40).geometry(40, 40, crops=1)
    np.testing.assert_array_equal(cam.upsample_to_image(np.full((1, 1, 1), 2.5), geometry), np.full((40, 40), 2.5))


def test_a_constant_map_is_constant_inside_the_crops_and_nan_outside():
    for crops, covered in ((10, 1.0), (1, (224 / 256) ** 2)):
        values = cam.upsample_to_image(np.full((crops, 7, 7), 2.5), Preprocessing().geometry(1024, 1024, crops))
        assert np.isfinite(values).mean() == pytest.approx(covered, abs=1e-3)
        np.testing.assert_allclose(values[np.isfinite(values)], 2.5, rtol=1e-6)


def test_the_same_value_always_has_the_same_opacity():
    values = np.array([[-20, -1, 2.5, 7], [14.5, 26.5, 40, np.nan]], np.float32)
    opacity = cam.to_opacity(values, 0.5, 30)
    assert opacity.dtype == np.float32
    np.testing.assert_allclose(opacity, [[0, 0, 0.1, 0.25], [0.5, 0.9, 1, np.nan]], rtol=1e-6)
    for part in (np.s_[:1], np.s_[1:], np.s_[0, 2:3]):  # independent of the other values of the map
        np.testing.assert_array_equal(cam.to_opacity(values[part], 0.5, 30), opacity[part])
    assert not cam.to_opacity(np.full((3, 3), -2.0, np.float32), 0.5).any()


def test_the_heatmap_range_is_read_from_the_metadata(tmp_path):
    ckpt = tmp_path / "a.safetensors"
    assert cam.heatmap_range({}, ckpt) == cam.DISPLAY_LIMIT
    assert cam.heatmap_range({"map_limit": 25}, ckpt) == 25
    for wrong in (0, -1, "25", True, None, math.inf):
        with pytest.raises(InputError, match=r"a\.safetensors: map_limit is "):
            cam.heatmap_range({"map_limit": wrong}, ckpt)


def test_grad_cam_of_a_linear_head_is_the_class_map(network, crops):
    maps = network.predict_cam(crops)
    found = cam.grad_cam(network, crops)
    for finding in range(14):
        np.testing.assert_allclose(found[:, finding], maps[:, finding], rtol=1e-4, atol=1e-5 * np.abs(maps).max())
    assert network.densenet121.out[0].weight.grad is None


class NonlinearHead(nn.Layer):
    """A network whose head is not linear in the pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(1, 6, 8, stride=8)
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(self.stem(images.astype("float32") / 255))

    def classify(self, features: paddle.Tensor) -> paddle.Tensor:
        return self.second(nn.functional.tanh(self.first(features.mean(axis=[2, 3]) ** 2)))


def test_grad_cam_of_a_nonlinear_head_equals_finite_differences():
    """An oracle: the weight of a channel is the change of the logit per change of the whole channel."""
    paddle.seed(1)
    network = NonlinearHead()
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 32, 24), dtype=np.uint8)
    with paddle.no_grad():
        features = network.features(paddle.to_tensor(images)).astype("float64")
        network.to(dtype="float64")
        weights = np.zeros((2, 6))
        for channel in range(6):
            step = np.zeros((1, 6, 1, 1))
            step[0, channel] = 1e-5
            values = [network.classify(features + sign * paddle.to_tensor(step))[:, 2].numpy() for sign in (1, -1)]
            weights[:, channel] = (values[0] - values[1]) / 2e-5
        network.to(dtype="float32")
    expected = np.einsum("nc,nchw->nhw", weights, features.numpy())
    np.testing.assert_allclose(cam.grad_cam(network, images)[:, 2], expected, rtol=1e-3, atol=1e-6)

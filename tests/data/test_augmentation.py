"""Augmentations of training images."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chexnet.config import AUGMENTATIONS
from chexnet.data import ChestXrayDataSet, augmentation
from chexnet.data.augmentation import N_RANDOM, augment, augmentation_params
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

UNIT = st.floats(0, 1, exclude_max=True)


@pytest.fixture
def image() -> np.ndarray:
    """A smooth image, so that interpolation changes little, that is not symmetric."""
    rows, columns = np.mgrid[:64, :80]
    return (100 + 50 * np.sin(rows / 9) + 1.2 * columns).astype(np.uint8)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_crop_depends_on_its_random_numbers_alone_and_leaves_the_image(image, name):
    image.flags.writeable = False
    u = np.random.default_rng(1).random(N_RANDOM[name])
    crop = augment(name, image, 48, u)
    assert (crop.dtype, crop.shape) == (np.uint8, (1, 48, 48))
    np.testing.assert_array_equal(crop, augment(name, image, 48, u))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_last_number_flips_unless_this_is_off(image, name):
    u = np.random.default_rng(1).random((2, N_RANDOM[name]))[0]
    left, right = (np.append(u[:-1], last) for last in (0.4, 0.6))
    np.testing.assert_array_equal(augment(name, image, 48, left), augment(name, image, 48, right)[..., ::-1])
    np.testing.assert_array_equal(augment(name, image, 48, left, flip=False), augment(name, image, 48, right))
    flips = augmentation_params(0, 0, 2000, N_RANDOM[name])[:, -1] < 0.5
    assert 900 < flips.sum() < 1100


def test_the_random_numbers_of_the_reference_are_those_of_earlier_versions():
    np.testing.assert_array_equal(augmentation_params(3, 5, 7), np.random.default_rng((3, 5)).random((7, 3)))


@given(height=st.integers(20, 90), width=st.integers(20, 90), u=st.tuples(*[UNIT] * 4))
def test_a_random_part_is_inside_and_has_its_area_and_its_shape(height, width, u):
    left, top, w, h = augmentation._random_box((height, width), np.array(u))
    assert left >= 0
    assert top >= 0
    assert left + w <= width + 1e-9
    assert top + h <= height + 1e-9
    if max(height / width, width / height) <= 4 / 3:
        area = w * h / (height * width)
        assert area == pytest.approx(0.5 + 0.5 * u[0])
        assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9


def test_a_resized_crop_is_the_resized_part_of_the_image(image):
    """Cutting out whole pixels first gives the same inside; at the border, the filter sees what is outside."""
    u = np.array([0.37, 0.5, 0.5, 0.5, 0.9])
    left, top, w, h = augmentation._random_box(image.shape, u)
    crop = augment("resized_crop", image, 48, u)[0]
    box = [math.floor(left), math.floor(top), math.ceil(left + w), math.ceil(top + h)]
    part = image[box[1] : box[3], box[0] : box[2]]
    expected = np.asarray(Image.fromarray(part).resize((48, 48), Image.Resampling.BILINEAR))
    assert np.abs(crop.astype(int) - expected).mean() < 3


def slow_affine(image: np.ndarray, crop: int, u: np.ndarray) -> np.ndarray:
    """Interpolate every pixel at the rotated position, then scale brightness and contrast."""
    left, top, w, h = augmentation._random_box(image.shape, u)
    angle = math.radians(10 * (2 * u[4] - 1))
    values = np.zeros((crop, crop))
    for row in range(crop):
        for column in range(crop):
            right, down = ((column + 0.5) / crop - 0.5) * w, ((row + 0.5) / crop - 0.5) * h
            right, down = (
                right * math.cos(angle) - down * math.sin(angle),
                right * math.sin(angle) + down * math.cos(angle),
            )
            x, y = left + w / 2 + right, top + h / 2 + down
            if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:
                x, y = np.clip(x - 0.5, 0, image.shape[1] - 1), np.clip(y - 0.5, 0, image.shape[0] - 1)
                c, r = int(x), int(y)
                c1, r1 = min(c + 1, image.shape[1] - 1), min(r + 1, image.shape[0] - 1)
                fx, fy = x - c, y - r
                values[row, column] = (1 - fy) * ((1 - fx) * image[r, c] + fx * image[r, c1]) + fy * (
                    (1 - fx) * image[r1, c] + fx * image[r1, c1]
                )
    brightness, contrast = 0.9 + 0.2 * u[5], 0.9 + 0.2 * u[6]
    return np.clip(brightness * (values.mean() + contrast * (values - values.mean())), 0, 255)


@pytest.mark.parametrize("seed", range(4))
def test_affine_against_the_slow_version(image, seed):
    u = np.append(np.random.default_rng(seed).random(7), 0.9)
    difference = augment("affine", image, 48, u)[0] - slow_affine(image, 48, u)
    assert np.abs(difference).max() < 3
    assert np.abs(difference).mean() < 0.8


def test_without_rotation_affine_shows_the_part_of_the_resized_crop(image):
    u = np.array([0.3, 0.6, 0.2, 0.7, 0.5, 0.5, 0.5, 0.9])
    plain = augment("resized_crop", image, 48, np.append(u[:4], 0.9))[0]
    assert np.abs(augment("affine", image, 48, u)[0].astype(int) - plain).mean() < 2


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_samples_depend_on_seed_epoch_and_index_alone(folder, name):
    images, list_file = folder(6)
    preprocessing = Preprocessing(40, 32)
    arguments = {"preprocessing": preprocessing, "seed": 3, "augmentation": name}
    one, other = (ChestXrayDataSet(images, list_file, "train", **arguments) for _ in range(2))
    first = [one[index][0] for index in range(6)]
    for index in reversed(range(6)):
        np.testing.assert_array_equal(first[index], other[index][0])
    other.epoch = 1
    assert any(not np.array_equal(first[index], other[index][0]) for index in range(6))


def test_an_unknown_augmentation_is_refused_with_the_known_ones(folder):
    images, list_file = folder(2)
    with pytest.raises(InputError, match="'rotate', expected one of reference, resized_crop, affine"):
        ChestXrayDataSet(images, list_file, "train", augmentation="rotate")

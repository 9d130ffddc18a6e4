import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.errors import InputError
from chexnet.transforms import Preprocessing

FINGERPRINT = 1553142405
"""Of the sizes that all published weights were trained with."""


def coordinates(height: int, width: int) -> np.ndarray:
    """An image whose pixel says where it is: 16 * row + column."""
    return (16 * np.arange(height)[:, None] + np.arange(width)).astype(np.uint8)


def test_ten_crops_are_four_corners_the_centre_and_their_mirror_images():
    crops = Preprocessing(resize=10, crop=6).ten_crop(coordinates(10, 12))[:, 0]
    assert [tuple(divmod(int(crop[0, 0]), 16)) for crop in crops[:5]] == [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    mirrored = Preprocessing(resize=10, crop=6).ten_crop(coordinates(10, 12)[:, ::-1])[:5, 0]
    np.testing.assert_array_equal(crops[5:], mirrored)
    np.testing.assert_array_equal(crops[5], crops[1][:, ::-1])  # top left of the mirrored = top right, mirrored
    assert crops.dtype == np.uint8


def test_the_centre_crop_is_the_fifth_of_ten():
    image = np.random.default_rng(0).integers(0, 256, (256, 301), dtype=np.uint8)
    preprocessing = Preprocessing()
    np.testing.assert_array_equal(preprocessing.center_crop(image), preprocessing.ten_crop(image)[4])


@given(height=st.integers(20, 60), width=st.integers(20, 60))
def test_resizing_keeps_the_shape_and_sets_the_shorter_side(height, width):
    resized = Preprocessing(resize=32, crop=32).resized(np.zeros((height, width), np.uint8))
    assert min(resized.shape) == 32
    longer = max(height, width) * 32 / min(height, width)
    assert 0 <= longer - max(resized.shape) < 1


def test_an_image_of_the_right_size_is_not_touched():
    image = np.zeros((256, 300), np.uint8)
    assert Preprocessing().resized(image) is image


def test_random_crops_reach_every_place_and_are_mirrored_half_of_the_time():
    preprocessing = Preprocessing(resize=8, crop=6)
    corners = {}
    for draw in np.random.default_rng(0).random((1200, 3)):
        crop = preprocessing.train_crop(coordinates(8, 9), draw)[0]
        mirrored = crop[0, 0] > crop[0, 1]
        corner = int(crop[0, -1] if mirrored else crop[0, 0])
        corners.setdefault(divmod(corner, 16), []).append(mirrored)
    assert set(corners) == {(row, column) for row in range(3) for column in range(4)}
    assert all(60 < len(seen) < 150 for seen in corners.values())  # 100 expected
    assert 500 < sum(map(sum, corners.values())) < 700


@pytest.mark.parametrize(("draw", "corner"), [(0.0, (0, 0)), (np.nextafter(1.0, 0.0), (2, 3))])
def test_the_least_and_the_largest_draw_are_the_outermost_places(draw, corner):
    crop = Preprocessing(resize=8, crop=6).train_crop(coordinates(8, 9), np.array([draw, draw, 0.5]))[0]
    assert divmod(int(crop[0, 0]), 16) == corner


def test_the_fingerprint_tells_pixels_apart(monkeypatch):
    assert Preprocessing().fingerprint() == Preprocessing(crop=32).fingerprint() == FINGERPRINT
    assert Preprocessing(255, 224).fingerprint() != FINGERPRINT
    original = Preprocessing.resized
    one = np.zeros((256, 262), np.uint8)
    one[100, 100] = 1
    monkeypatch.setattr(Preprocessing, "resized", lambda self, gray: original(self, gray) ^ one)
    assert Preprocessing().fingerprint() != FINGERPRINT


def test_a_size_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match="resize 99999 is above 4096 pixels"):
        Preprocessing(99999, 224)


@pytest.mark.parametrize("crop", [0, 257])
def test_a_crop_larger_than_the_image_is_refused(crop):
    with pytest.raises(InputError, match=f"{crop} is not within 1..256"):
        Preprocessing(256, crop)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

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
    resized = Preprocessing(resize=32, crop=32).resize_image(np.zeros((height, width), np.uint8))
    assert min(resized.shape) == 32
    longer = max(height, width) * 32 / min(height, width)
    assert 0 <= longer - max(resized.shape) < 1


def test_an_image_of_the_right_size_is_not_touched():
    image = np.zeros((256, 300), np.uint8)
    assert Preprocessing().resize_image(image) is image


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
    monkeypatch.setattr(Preprocessing, "resize_image", lambda self, gray: original(self, gray) ^ one)
    assert Preprocessing().fingerprint() != FINGERPRINT


def test_a_size_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match="resize 99999 is above 4096 pixels"):
        Preprocessing(99999, 224)


@pytest.mark.parametrize("crop", [0, 257])
def test_a_crop_larger_than_the_image_is_refused(crop):
    with pytest.raises(InputError, match=f"{crop} is not within 1..256"):
        Preprocessing(256, crop)


@given(height=st.integers(20, 70), width=st.integers(20, 70), crop=st.integers(1, 32))
def test_a_geometry_knows_the_resized_size_and_keeps_its_crops_inside(height, width, crop):
    preprocessing = Preprocessing(resize=32, crop=crop)
    ten = preprocessing.geometry(height, width, crops=10)
    assert ten.resized == preprocessing.resize_image(np.zeros((height, width), np.uint8)).shape
    assert ten.original == (height, width)
    assert all(0 <= one.top <= ten.resized[0] - crop and 0 <= one.left <= ten.resized[1] - crop for one in ten.crops)
    assert preprocessing.geometry(height, width, crops=1).crops == (ten.crops[4],)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (10, 13), (17, 10)])
def test_what_a_geometry_cuts_are_the_ten_crops(height, width):
    preprocessing = Preprocessing(resize=10, crop=6)
    image = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    ten = preprocessing.geometry(height, width, crops=10).extract(image)
    np.testing.assert_array_equal(ten, preprocessing.ten_crop(image))
    one = preprocessing.geometry(height, width, crops=1).extract(image)
    np.testing.assert_array_equal(one[0], preprocessing.center_crop(image))


def looked_at(geometry) -> np.ndarray:
    """Pixel by pixel of the original, whether its centre lies in a crop."""
    height, width = geometry.original
    seen = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) * geometry.resized[0] / height
            x = (column + 0.5) * geometry.resized[1] / width
            seen[row, column] = any(
                one.top <= y < one.top + geometry.side and one.left <= x < one.left + geometry.side
                for one in geometry.crops
            )
    return seen


@pytest.mark.parametrize("crops", [10, 1])
@pytest.mark.parametrize(("height", "width"), [(10, 10), (10, 13), (10, 25), (27, 10)])
def test_crops_put_back_are_the_image(height, width, crops):
    """Mirrored ones included; in between the crops of a longer image nothing was looked at."""
    geometry = Preprocessing(resize=10, crop=6).geometry(height, width, crops)
    image = np.random.default_rng(1).random((height, width), dtype=np.float32)
    restored = geometry.stitch(geometry.extract(image)[:, 0])
    expected = np.where(looked_at(geometry), image, np.nan)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, rtol=1e-6)
    assert np.isnan(restored).any() == (crops == 1 or height != width)


def test_of_each_crop_the_place_comes_back():
    """One pixel of one crop, among crops that say nothing, is found where that crop took it from."""
    preprocessing = Preprocessing(resize=10, crop=6)
    image = np.arange(10 * 14, dtype=np.float32).reshape(10, 14)
    geometry = preprocessing.geometry(10, 14, crops=10)
    crops = geometry.extract(image)[:, 0]
    for index, crop in enumerate(crops):
        values = np.zeros_like(crops)
        values[index, 2, 1] = 1
        row, column = np.unravel_index(np.nanargmax(geometry.stitch(values)), image.shape)
        assert image[row, column] == crop[2, 1]


@pytest.mark.parametrize("crops", [10, 1])
@pytest.mark.parametrize(("height", "width"), [(30, 40), (77, 50), (25, 24), (9, 7)])
def test_through_the_resizing_a_ramp_stays_a_ramp_and_its_edge_stays_sharp(height, width, crops):
    """Half-pixel centres: (i + 0.5) of the original is (i + 0.5) * resized / original of the resized image."""
    geometry = Preprocessing(resize=20, crop=12).geometry(height, width, crops)
    rows, columns = (np.arange(n) + 0.5 for n in geometry.resized)
    ramp = (3 * rows[:, None] - 2 * columns).astype(np.float32)
    restored = geometry.stitch(geometry.extract(ramp)[:, 0])
    seen = looked_at(geometry)
    np.testing.assert_array_equal(np.isnan(restored), ~seen)

    y, x = ((np.arange(n) + 0.5) * m / n for n, m in zip(geometry.original, geometry.resized, strict=True))
    padded = np.pad(seen, 4)
    deep = np.lib.stride_tricks.sliding_window_view(padded, (9, 9)).all(axis=(2, 3))  # interpolated from seen ones
    assert deep.any() or min(height, width) < 20
    np.testing.assert_allclose(restored[deep], (3 * y[:, None] - 2 * x)[deep], atol=1e-4)


@pytest.mark.parametrize("crops", [10, 1])
def test_what_is_constant_stays_constant_up_to_the_edge_of_what_was_looked_at(crops):
    geometry = Preprocessing(resize=20, crop=12).geometry(90, 33, crops)
    restored = geometry.stitch(np.full((crops, 12, 12), -3.5, np.float32))
    assert np.isnan(restored).any()
    np.testing.assert_allclose(restored[~np.isnan(restored)], -3.5, rtol=1e-6)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.data.augmentation import augment
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

RESIZE_CHECKSUM = 1553142405
"""Checksum for the sizes of all published weights."""


def coordinates(height: int, width: int) -> np.ndarray:
    """Return an image whose pixel values encode their position: 16 * row + column."""
    return (16 * np.arange(height)[:, None] + np.arange(width)).astype(np.uint8)


def test_ten_crops_are_four_corners_the_center_and_their_flips():
    crops = Preprocessing(resize=10, crop=6).ten_crop(coordinates(10, 12))[:, 0]
    assert [tuple(divmod(int(crop[0, 0]), 16)) for crop in crops[:5]] == [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    flipped = Preprocessing(resize=10, crop=6).ten_crop(coordinates(10, 12)[:, ::-1])[:5, 0]
    np.testing.assert_array_equal(crops[5:], flipped)
    np.testing.assert_array_equal(crops[5], crops[1][:, ::-1])  # top left of the flipped image = top right, flipped
    assert crops.dtype == np.uint8


def test_the_center_crop_is_the_fifth_of_ten():
    image = np.random.default_rng(0).integers(0, 256, (256, 301), dtype=np.uint8)
    preprocessing = Preprocessing()
    np.testing.assert_array_equal(preprocessing.center_crop(image), preprocessing.ten_crop(image)[4])


@given(height=st.integers(20, 60), width=st.integers(20, 60))
def test_resizing_keeps_the_shape_and_sets_the_shorter_side(height, width):
    resized = Preprocessing(resize=32, crop=32).resize_image(np.zeros((height, width), np.uint8))
    assert min(resized.shape) == 32
    longer = max(height, width) * 32 / min(height, width)
    assert 0 <= longer - max(resized.shape) < 1


def test_an_image_of_the_right_size_is_returned_unchanged():
    image = np.zeros((256, 300), np.uint8)
    assert Preprocessing().resize_image(image) is image


def test_random_crops_are_uniform_over_positions_and_flipped_half_of_the_time():
    corners = {}
    for u in np.random.default_rng(0).random((1200, 3)):
        crop = augment("reference", coordinates(8, 9), 6, u)[0]
        flipped = crop[0, 0] > crop[0, 1]
        corner = int(crop[0, -1] if flipped else crop[0, 0])
        corners.setdefault(divmod(corner, 16), []).append(flipped)
    assert set(corners) == {(row, column) for row in range(3) for column in range(4)}
    assert all(60 < len(flips) < 150 for flips in corners.values())  # 100 expected
    assert 500 < sum(map(sum, corners.values())) < 700


@pytest.mark.parametrize(("u", "corner"), [(0.0, (0, 0)), (np.nextafter(1.0, 0.0), (2, 3))])
def test_extreme_random_numbers_select_the_outermost_positions(u, corner):
    crop = augment("reference", coordinates(8, 9), 6, np.array([u, u, 0.5]))[0]
    assert divmod(int(crop[0, 0]), 16) == corner


def test_the_resize_checksum_detects_a_changed_pixel(monkeypatch):
    assert Preprocessing().resize_checksum() == Preprocessing(crop=32).resize_checksum() == RESIZE_CHECKSUM
    assert Preprocessing(255, 224).resize_checksum() != RESIZE_CHECKSUM
    original = Preprocessing.resize_image
    change = np.zeros((256, 262), np.uint8)
    change[100, 100] = 1
    monkeypatch.setattr(Preprocessing, "resize_image", lambda self, gray: original(self, gray) ^ change)
    assert Preprocessing().resize_checksum() != RESIZE_CHECKSUM


def test_a_size_that_would_fill_the_memory_is_refused():
    with pytest.raises(InputError, match=r"resize 99999 .*4096"):
        Preprocessing(99999, 224)


@pytest.mark.parametrize("crop", [0, 257])
def test_a_crop_larger_than_the_image_is_refused(crop):
    with pytest.raises(InputError, match=rf"crop {crop} .*1\.\.256"):
        Preprocessing(256, crop)


@given(height=st.integers(20, 70), width=st.integers(20, 70), crop=st.integers(1, 32))
def test_a_geometry_has_the_resized_size_and_its_crops_are_inside(height, width, crop):
    preprocessing = Preprocessing(resize=32, crop=crop)
    ten = preprocessing.geometry(height, width, crops=10)
    assert ten.resized == preprocessing.resize_image(np.zeros((height, width), np.uint8)).shape
    assert ten.original == (height, width)
    assert all(0 <= top <= ten.resized[0] - crop and 0 <= left <= ten.resized[1] - crop for top, left, _ in ten.crops)
    assert preprocessing.geometry(height, width, crops=1).crops == (ten.crops[4],)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (10, 13), (17, 10)])
def test_extract_returns_the_ten_crops(height, width):
    preprocessing = Preprocessing(resize=10, crop=6)
    image = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    ten = preprocessing.geometry(height, width, crops=10).extract(image)
    np.testing.assert_array_equal(ten, preprocessing.ten_crop(image))
    center = preprocessing.geometry(height, width, crops=1).extract(image)
    np.testing.assert_array_equal(center[0], preprocessing.center_crop(image))


def covered_pixels(geometry) -> np.ndarray:
    """Return a mask of the original's pixels whose centers are inside a crop, computed pixel by pixel."""
    height, width = geometry.original
    covered = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) * geometry.resized[0] / height
            x = (column + 0.5) * geometry.resized[1] / width
            covered[row, column] = any(
                top <= y < top + geometry.size[0] and left <= x < left + geometry.size[1]
                for top, left, _ in geometry.crops
            )
    return covered


@pytest.mark.parametrize("crops", [10, 1])
@pytest.mark.parametrize(("height", "width"), [(10, 10), (10, 13), (10, 25), (27, 10)])
def test_stitched_crops_are_the_image(height, width, crops):
    """Crops of an elongated image do not cover it, so pixels between them are NaN."""
    geometry = Preprocessing(resize=10, crop=6).geometry(height, width, crops)
    image = np.random.default_rng(1).random((height, width), dtype=np.float32)
    restored = geometry.stitch(geometry.extract(image)[:, 0])
    expected = np.where(covered_pixels(geometry), image, np.nan)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, rtol=1e-6)
    assert np.isnan(restored).any() == (crops == 1 or height != width)


def test_stitch_maps_a_pixel_of_each_crop_to_its_position():
    """A single nonzero pixel in one crop is found at the position that it was extracted from."""
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
def test_resizing_back_keeps_a_linear_ramp_and_the_border_of_the_covered_area(height, width, crops):
    """Half-pixel centers: (i + 0.5) of the original is (i + 0.5) * resized / original of the resized image."""
    geometry = Preprocessing(resize=20, crop=12).geometry(height, width, crops)
    rows, columns = (np.arange(n) + 0.5 for n in geometry.resized)
    ramp = (3 * rows[:, None] - 2 * columns).astype(np.float32)
    restored = geometry.stitch(geometry.extract(ramp)[:, 0])
    covered = covered_pixels(geometry)
    np.testing.assert_array_equal(np.isnan(restored), ~covered)

    y, x = ((np.arange(n) + 0.5) * m / n for n, m in zip(geometry.original, geometry.resized, strict=True))
    padded = np.pad(covered, 4)
    # These pixels are interpolated only from covered ones.
    interior = np.lib.stride_tricks.sliding_window_view(padded, (9, 9)).all(axis=(2, 3))
    assert interior.any() or min(height, width) < 20
    np.testing.assert_allclose(restored[interior], (3 * y[:, None] - 2 * x)[interior], atol=1e-4)


@pytest.mark.parametrize("crops", [10, 1])
def test_constant_values_stay_constant_up_to_the_border_of_the_covered_area(crops):
    geometry = Preprocessing(resize=20, crop=12).geometry(90, 33, crops)
    restored = geometry.stitch(np.full((crops, 12, 12), -3.5, np.float32))
    assert np.isnan(restored).any()
    np.testing.assert_allclose(restored[~np.isnan(restored)], -3.5, rtol=1e-6)


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (97, 64), (64, 64), (640, 64)])
def test_each_row_is_resized_and_then_each_column(shape):
    """Pillow 13 takes the other order for tall images in a single call."""
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    preprocessing = Preprocessing(resize=32, crop=32)
    resized = preprocessing.resize_image(pixels)
    height, width = resized.shape

    def line(values: np.ndarray, length: int) -> np.ndarray:
        return np.asarray(Image.fromarray(values[None]).resize((length, 1), Image.Resampling.BILINEAR))[0]

    rows = np.stack([line(row, width) for row in pixels])
    np.testing.assert_array_equal(resized, np.stack([line(column, height) for column in rows.T]).T)

"""DICOM radiographs that are read; tests/data/test_dicom_refusals.py has those that are refused."""

import io
import math

import numpy as np
import pydicom
import pytest
from dicom_files import (
    EIGHT,
    SHIPPED,
    SYNTAXES,
    TWELVE,
    compressed_dataset,
    dataset,
    encapsulated_dataset,
    jpeg,
    lut_sequence,
    read,
    save,
    scale,
    scale_full_range,
)
from PIL import Image
from pydicom import uid

from chexnet.data import images

RNG = np.random.default_rng(0)
SIGNED = TWELVE.astype(np.int16) - 1500


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_lossless_syntaxes_are_decoded_exactly(syntax, tmp_path):
    np.testing.assert_array_equal(read(SYNTAXES[syntax], tmp_path), scale_full_range(TWELVE))


@pytest.mark.parametrize(
    ("ds", "expected", "tolerance"),
    [
        (encapsulated_dataset(EIGHT, uid.JPEGBaseline8Bit, jpeg(EIGHT)), EIGHT, 4),
        (encapsulated_dataset(EIGHT, uid.JPEGExtended12Bit, jpeg(EIGHT)), EIGHT, 4),
        (compressed_dataset(TWELVE, uid.JPEG2000, BitsStored=12), TWELVE, 1),
    ],
    ids=["JPEG baseline", "JPEG extended", "JPEG 2000"],
)
def test_lossy_syntaxes_are_decoded_approximately(ds, expected, tolerance, tmp_path):
    error = np.abs(read(ds, tmp_path).astype(int) - scale_full_range(expected))
    assert error.max() <= tolerance
    assert error.mean() < 1


@pytest.mark.parametrize("name", ["implicit", "bigendian", "expb", "padded", "RLE", "jp2klossless", "jpeg_ls_lossless"])
def test_an_example_of_pydicom_is_the_same_in_all_its_syntaxes(name):
    np.testing.assert_array_equal(images.read(SHIPPED / f"MR_small_{name}.dcm"), images.read(SHIPPED / "MR_small.dcm"))


def test_near_lossless_jpeg_ls_is_read(tmp_path):
    """A lossless stream is a valid near-lossless one with an error of 0."""
    shipped = pydicom.dcmread(SHIPPED / "MR_small_jpeg_ls_lossless.dcm")
    shipped.file_meta.TransferSyntaxUID = uid.JPEGLSNearLossless
    np.testing.assert_array_equal(read(shipped, tmp_path), images.read(SHIPPED / "MR_small.dcm"))


def test_a_12_bit_jpeg_resembles_its_jpeg_2000_version():
    pair = [images.read(SHIPPED / name).ravel() / 255 for name in ("JPGExtended.dcm", "JPEG2000.dcm")]
    assert np.corrcoef(pair)[0, 1] > 0.9


@pytest.mark.parametrize(("kind", "bits"), [("u1", 8), ("i1", 8), ("u2", 10), ("u2", 16), ("i2", 12), ("i2", 16)])
@pytest.mark.parametrize("photometry", ["MONOCHROME1", "MONOCHROME2"])
def test_samples_of_every_depth_and_sign(kind, bits, photometry, tmp_path):
    least = -(2 ** (bits - 1)) if kind[0] == "i" else 0
    stored = RNG.integers(least, least + 2**bits, (20, 30)).astype(kind)
    stored[0, :2] = least, least + 2**bits - 1
    expected = scale_full_range(stored)
    gray = read(dataset(stored, BitsStored=bits, PhotometricInterpretation=photometry), tmp_path)
    assert gray.dtype == np.uint8
    if photometry == "MONOCHROME1":
        assert (np.abs(255 - gray.astype(int) - expected)).max() <= 1  # np.rint rounds halves to even
        assert gray[0, 0] == 255
    else:
        np.testing.assert_array_equal(gray, expected)


def test_bits_above_bits_stored_are_ignored(tmp_path):
    dirty = TWELVE | (RNG.integers(0, 16, TWELVE.shape).astype(np.uint16) << 12)
    np.testing.assert_array_equal(read(dataset(dirty, BitsStored=12), tmp_path), scale_full_range(TWELVE))


WINDOWS = {
    "linear": {"WindowCenter": 1200, "WindowWidth": 800},
    "linear, by name": {"WindowCenter": 1200, "WindowWidth": 800, "VOILUTFunction": "LINEAR"},
    "linear exact": {"WindowCenter": 1200, "WindowWidth": 800, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 1200, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
    "width 1": {"WindowCenter": 1200, "WindowWidth": 1},
    "after a rescale": {"WindowCenter": 20, "WindowWidth": 60, "RescaleSlope": 0.05, "RescaleIntercept": -40},
    "after a negative slope": {"WindowCenter": 700, "WindowWidth": 900, "RescaleSlope": -1, "RescaleIntercept": 2000},
    "sigmoid, narrow": {"WindowCenter": 1200, "WindowWidth": 1e-3, "VOILUTFunction": "SIGMOID"},
    "the first of two": {"WindowCenter": [1200, 10], "WindowWidth": [800, 5]},
}


def apply_window(value: float, center: float, width: float, function: str) -> float:
    """Apply a window to one value (PS3.3 C.11.2.1.2 and C.11.2.1.3); the result is 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + math.exp(min(-4 * (value - center) / width, 700)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if value <= center - width / 2:
        return 0
    return 1 if value > center + width / 2 else (value - center) / width + 0.5


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("stored", [TWELVE, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.filterwarnings("error")
def test_windows_follow_the_standard(name, stored, tmp_path):
    header = WINDOWS[name]
    measured = stored.astype(float) * header.get("RescaleSlope", 1) + header.get("RescaleIntercept", 0)
    center, width = (np.atleast_1d(header[key])[0] for key in ("WindowCenter", "WindowWidth"))
    function = header.get("VOILUTFunction", "LINEAR")
    expected = [[apply_window(float(value), center, width, function) for value in row] for row in measured]
    gray = read(dataset(stored, **header), tmp_path)
    assert len(np.unique(gray)) > (1 if width <= 1 else 50)
    assert np.abs(gray - 255 * np.array(expected)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("width", [0, None])
def test_a_window_without_width_is_ignored(width, tmp_path):
    ds = dataset(TWELVE, WindowCenter=1200, WindowWidth=width)
    np.testing.assert_array_equal(read(ds, tmp_path), scale_full_range(TWELVE))


CURVE = np.rint(4095 * np.linspace(0, 1, 1500) ** 2).astype(np.uint16)


@pytest.mark.parametrize(
    ("syntax", "vr", "kind"),
    [
        (uid.ExplicitVRLittleEndian, "US", ""),
        (uid.ExplicitVRLittleEndian, "OW", "<u2"),
        (uid.ExplicitVRBigEndian, "OW", ">u2"),
    ],
)
def test_a_voi_lut_takes_precedence_over_a_window(syntax, vr, kind, tmp_path):
    ds = dataset(
        TWELVE, syntax, VOILUTSequence=lut_sequence(CURVE, 500, 12, vr=vr, kind=kind), WindowCenter=5, WindowWidth=5
    )
    expected = scale(CURVE[np.clip(TWELVE.astype(int) - 500, 0, 1499)], 0, 4095)
    np.testing.assert_array_equal(read(ds, tmp_path), expected)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_voi_lut_may_have_more_entries_than_levels(syntax, tmp_path):
    """4096 entries of 8 bits, two per word, lower byte first."""
    entries = np.arange(4096) // 16
    packed = entries.astype("u1").view("<u2")
    sequence = lut_sequence(packed, 0, 8, vr="OW", kind="<u2" if syntax.is_little_endian else ">u2")
    sequence[0].LUTDescriptor = [4096, 0, 8]
    ds = dataset(TWELVE, syntax, VOILUTSequence=sequence)
    np.testing.assert_array_equal(read(ds, tmp_path), entries[TWELVE].astype(np.uint8))


def test_a_modality_lut_is_applied_before_the_window(tmp_path):
    ds = dataset(TWELVE, ModalityLUTSequence=lut_sequence(CURVE, 500, 12), WindowCenter=2000.5, WindowWidth=2001)
    measured = CURVE[np.clip(TWELVE.astype(int) - 500, 0, 1499)]
    np.testing.assert_array_equal(read(ds, tmp_path), scale(measured, 1000, 3000))


def test_a_negative_slope_inverts_the_image(tmp_path):
    inverted = read(dataset(TWELVE, RescaleSlope=-1, RescaleIntercept=4095), tmp_path)
    assert np.abs(255 - inverted.astype(int) - scale_full_range(TWELVE)).max() <= 1


@pytest.mark.parametrize("photometry", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("stored", [TWELVE, SIGNED], ids=["unsigned", "signed"])
def test_padding_is_black_and_does_not_stretch_the_range(photometry, stored, tmp_path):
    padding = np.iinfo(stored.dtype).max - 3
    padded = stored.copy()
    padded[:, :9] = padding
    ds = dataset(padded, PixelPaddingValue=padding, PhotometricInterpretation=photometry)
    ds["PixelPaddingValue"].VR = "SS" if stored.dtype.kind == "i" else "US"
    gray = read(ds, tmp_path)
    assert not gray[:, :9].any()
    expected = read(dataset(stored[:, 9:], PhotometricInterpretation=photometry), tmp_path)
    np.testing.assert_array_equal(gray[:, 9:], expected)


def test_padding_may_be_a_range(tmp_path):
    padded = TWELVE.copy()
    padded[:3] = 60_000
    padded[3:5] = 65_000
    ds = dataset(padded, PixelPaddingValue=65_000, PixelPaddingRangeLimit=60_000)
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        ds[name].VR = "US"
    gray = read(ds, tmp_path)
    assert not gray[:5].any()
    np.testing.assert_array_equal(gray[5:], scale_full_range(TWELVE[5:]))


@pytest.mark.parametrize("padding", [None, 700])
def test_a_constant_image_is_black(padding, tmp_path):
    ds = dataset(np.full((20, 20), 700, np.uint16), PixelPaddingValue=padding)
    assert not read(ds, tmp_path).any()


def test_dicom_is_recognized_by_its_content(tmp_path):
    path = save(SYNTAXES["RLE"], tmp_path / "x.dcm")
    for name in ("IM000001", "x.png"):
        path.rename(tmp_path / name)
        path = tmp_path / name
        np.testing.assert_array_equal(images.read(path), scale_full_range(TWELVE))


def test_modality_and_view_position_are_kept_in_the_image_info(tmp_path):
    ds = dataset(TWELVE, ViewPosition="LL", PatientName="Somebody")
    assert images.open_image(save(ds, tmp_path / "x.dcm")).info == {"Modality": "DX", "ViewPosition": "LL"}


def test_dicom_files_can_be_cached(tmp_path):
    from chexnet.data.cache import ImageCache, build_cache
    from chexnet.data.transforms import Preprocessing

    save(SYNTAXES["JPEG 2000 lossless"], tmp_path / "a.dcm")
    Image.fromarray(scale_full_range(TWELVE)).save(tmp_path / "b.png")
    small = Preprocessing(resize=32, crop=32)
    build_cache(tmp_path, ["a.dcm", "b.png"], tmp_path / "cache", small, workers=1)
    cache = ImageCache(tmp_path / "cache", small)
    first, second = cache.rows(["a.dcm", "b.png"], "list", tmp_path)
    np.testing.assert_array_equal(cache.image(first), cache.image(second))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_lossy_jpeg_of_eight_bits_has_the_pixels_of_pillow(syntax, tmp_path):
    """Decoders may differ by a gray level, which a window multiplies; the installed ones do not matter."""
    stream = jpeg(EIGHT)
    decoded = np.asarray(Image.open(io.BytesIO(stream)))
    assert np.array_equal(read(encapsulated_dataset(EIGHT, syntax, stream), tmp_path), scale_full_range(decoded))

"""Combinations of DICOM header elements, compared with pydicom's rendering."""

import re
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from dicom_files import (
    TWELVE,
    dataset,
    encapsulated_dataset,
    lossless_jpeg,
    lut_sequence,
    read,
    refusal,
    save,
    scale_full_range,
)
from pydicom import Dataset, uid
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing, pixel_array

from chexnet.data import images
from chexnet.errors import InputError

SYNTAXES = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID", None)


def render(path) -> np.ndarray:
    """Render an image to 0..255 with pydicom's decoder, modality and VOI functions, over the range of their output.

    For a VOI LUT, pydicom truncates 28.999999999999996 to 28, so values are rounded first.
    """
    ds = pydicom.dcmread(path)
    measured = apply_modality_lut(pixel_array(ds), ds)
    displayed = apply_voi_lut(np.rint(measured).astype(np.int64) if "VOILUTSequence" in ds else measured, ds)
    low, high = measured.min(), measured.max()
    if "VOILUTSequence" in ds:
        low, high = 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowWidth" in ds:
        low, high = apply_windowing(np.array([-1e9, 1e9]), ds)
    level = (displayed - float(low)) / (float(high) - float(low))
    return 255 * (1 - level if ds.PhotometricInterpretation == "MONOCHROME1" else level)


def variant(rng: np.random.Generator) -> Dataset:
    """Make a radiograph of a few hundred pixels with a random valid header."""
    signed, bits = rng.random() < 0.4, int(rng.choice([7, 8, 10, 12, 14]))
    least = -(2 ** (bits - 1)) if signed else 0
    height, width = rng.integers(16, 33, 2)
    stored = least + np.add.outer(np.linspace(0, 0.6, height), np.linspace(0, 0.3, width)) * 2**bits
    stored = np.floor(stored + rng.random((height, width)) * 0.09 * 2**bits).astype(int)
    syntax = SYNTAXES[rng.integers(3)]
    words = "<u2" if syntax.is_little_endian else ">u2"
    header = {"BitsStored": bits, "PhotometricInterpretation": str(rng.choice(["MONOCHROME1", "MONOCHROME2"]))}
    if rng.random() < 0.3:
        header["PresentationLUTShape"] = {"1": "INVERSE", "2": "IDENTITY"}[header["PhotometricInterpretation"][-1]]
    measured = stored.astype(float)
    modality = rng.choice(["none", "rescale", "table"])
    if modality == "rescale":
        header["RescaleSlope"], header["RescaleIntercept"] = rng.choice([-2, -1, 0.25, 1, 3]), rng.choice([-1024, 0, 7])
        measured = measured * header["RescaleSlope"] + header["RescaleIntercept"]
    elif modality == "table":
        entries = np.sort(rng.integers(0, 2**16, int(rng.integers(2 ** (bits - 2), 2**bits))))
        header["ModalityLUTSequence"] = lut_sequence(entries, least + int(rng.integers(0, 20)), 16, signed, "OW", words)
        measured = np.sort(entries[: 2 ** (bits - 2)]).astype(float)
    low, span = measured.min(), np.ptp(measured)
    voi = rng.choice(["none", "window", "windows", "table"])
    if voi == "table":
        depth = int(rng.choice([10, 11, 12, 13, 14, 15, 16]))  # with 8 bits, pydicom computes indices modulo 256
        entries = np.sort(rng.integers(0, 2**depth, int(rng.choice([300, 4096, 2**16]))))
        entries[-1] = 2**depth - 1
        entries = entries[::-1] if rng.random() < 0.2 else entries
        header["VOILUTSequence"] = lut_sequence(entries, int(low + span / 4), depth, low < 0, "US", words)
    elif voi != "none":
        center, width = low + span * rng.uniform(0.3, 0.7), max(1, span * rng.choice([0.0, 0.2, 0.7, 2]))
        centers, widths = [round(float(center), 1), 5.0], [round(float(width), 1), 3.0]
        multiple = voi == "windows"
        header["WindowCenter"], header["WindowWidth"] = (centers, widths) if multiple else (centers[0], widths[0])
        if function := rng.choice(FUNCTIONS):
            header["VOILUTFunction"] = str(function)
    narrow = bits <= 8 and rng.random() < 0.7 and not (signed and modality == "table")  # where pydicom overflows
    kind = ("i" if signed else "u") + ("1" if narrow else "2")
    ds = dataset(stored.astype(kind), syntax, **header)
    if kind == "u2" and bits < 14 and rng.random() < 0.3:  # garbage above the samples
        garbage = (rng.integers(0, 4, stored.shape) << 14).astype(kind)
        ds.PixelData = (stored.astype(kind) | garbage).astype(words).tobytes()
    return ds


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore:overflow", "ignore:Applying a VOI LUT on a float")
def test_gray_levels_agree_with_pydicom(seed, tmp_path):
    rng, compared = np.random.default_rng(seed), 0
    for _ in range(40):
        ds = variant(rng)
        path = save(ds, tmp_path / "x.dcm")
        expected = render(path)
        if np.ptp(expected) < 1:  # a constant image
            with suppress(InputError):
                images.read(path)
            continue
        compared += 1
        assert np.abs(images.read(path) - expected).max() <= 0.5 + 1e-6, ds
    assert compared > 35


BITS = {
    "samples up to the highest bit": (TWELVE << 4, {"BitsStored": 12, "HighBit": 15}),
    "signed, up to the highest bit": ((TWELVE << 4).view(np.int16), {"BitsStored": 12, "HighBit": 15}),
    "in the middle": (TWELVE << 2, {"BitsStored": 12, "HighBit": 13}),
    "with garbage above": ((TWELVE << 2) | ((TWELVE & 1) << 15), {"BitsStored": 12, "HighBit": 13}),
    "16 bits": (TWELVE, {"BitsStored": 16, "HighBit": 15}),
    "signed, without sign extension": (
        (TWELVE.astype(np.int16) - 2048) & 4095,
        {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1},
    ),
}


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_samples_are_extracted_from_the_bits_that_the_header_gives(name, syntax, tmp_path):
    stored, header = BITS[name]
    ds = dataset(stored, syntax, **header)
    ds.HighBit = header["HighBit"]
    values = TWELVE.astype(int)
    if name == "signed, up to the highest bit":
        values = np.where(values < 2048, values, values - 4096)
    np.testing.assert_array_equal(read(ds, tmp_path), scale_full_range(values))


def test_overlays_in_unused_bits_are_ignored(tmp_path):
    """The header gives the bit of the overlay, above or below the samples."""
    for shift, position in ((0, 12), (4, 0)):
        ds = dataset((TWELVE << shift) | ((TWELVE > 2000).astype(np.uint16) << position), BitsStored=12)
        ds.HighBit = 11 + shift
        ds.add_new((0x6000, 0x0100), "US", 16)
        ds.add_new((0x6000, 0x0102), "US", position)
        np.testing.assert_array_equal(read(ds, tmp_path), scale_full_range(TWELVE))


MISFITS = {
    "12 bits, called 10": (dataset(TWELVE, BitsStored=10), "94 to 3199.*unsigned.* 10 bits$"),
    "12 bits, called signed": (dataset(TWELVE.astype(np.int16), BitsStored=12), " signed.* 12 bits$"),
    "low bits, called high": (dataset(TWELVE, BitsStored=12, HighBit=15), "12 bits.* bit 15"),
    "high bit below the samples": (dataset(TWELVE, BitsStored=12, HighBit=7), "high bit 7.* 12 bits"),
    "high bit above the memory": (dataset(TWELVE, BitsStored=12, HighBit=16), "high bit 16.* 12 bits.* 16 allocated"),
    "no bits": (dataset(TWELVE, BitsStored=0), " 0 bits stored of 16 allocated"),
    "no sign": (dataset(TWELVE, PixelRepresentation=7), "Pixel Representation 7"),
    "8 bits, called 16": (dataset(TWELVE.view(np.uint8), BitsAllocated=16), "3,840 bytes"),
    "16 bits, called 8": (dataset(TWELVE, BitsAllocated=8, BitsStored=8), "3,840 bytes"),
    "a missing column": (dataset(TWELVE, Columns=47), "3,840 bytes.*3,760"),
    "two images": (dataset(TWELVE, NumberOfFrames="1", Rows=20), "3,840 bytes"),
    "pixel aspect ratio": (dataset(TWELVE, PixelAspectRatio=[1, 2]), "PixelAspectRatio 1 by 2"),
    "pixel spacing": (dataset(TWELVE, ImagerPixelSpacing=[0.1, 0.2]), r"ImagerPixelSpacing 0\.1 by 0\.2"),
    "inverse": (dataset(TWELVE, PresentationLUTShape="INVERSE"), "MONOCHROME2.*Presentation LUT Shape INVERSE"),
    "all padding": (dataset(TWELVE, PixelPaddingValue=0, PixelPaddingRangeLimit=65535), "padding.*0 to 65535"),
    "slope 0": (dataset(TWELVE, RescaleSlope=0, RescaleIntercept=1), "Rescale Slope is 0"),
    "slope nan": (dataset(TWELVE, RescaleSlope="nan", RescaleIntercept=1), "RescaleSlope is nan"),
    "slope huge": (dataset(TWELVE, RescaleSlope=1e306, RescaleIntercept=1), r"Rescale Slope is 1e\+306"),
    "slopes": (dataset(TWELVE, RescaleSlope=[1, 2], RescaleIntercept=0), "2 values of RescaleSlope"),
    "slope alone": (dataset(TWELVE, RescaleSlope=2), r"Rescale Slope 2\.0 and Rescale Intercept None"),
    "window without pixels": (dataset(TWELVE, WindowCenter=50_000, WindowWidth=100), "94 to 3199.*window"),
    "window nan": (dataset(TWELVE, WindowCenter="nan", WindowWidth=100), "WindowCenter is nan"),
    "window inf": (dataset(TWELVE, WindowCenter=7, WindowWidth="inf"), "WindowWidth is inf"),
    "window negative": (dataset(TWELVE, WindowCenter=7, WindowWidth=-9), "Window Width is -9"),
    "window too narrow": (dataset(TWELVE, WindowCenter=7, WindowWidth=0.5), r"Window Width is 0\.5"),
    "few levels": (dataset(TWELVE, VOILUTSequence=lut_sequence(np.arange(10), 100, 8)), "VOI LUT.* 8 bits.* 9$"),
    "table without pixels": (
        dataset(TWELVE, VOILUTSequence=lut_sequence(np.arange(256), 6000, 8)),
        "VOI LUT.* 6000.* 94 to",
    ),
    "half as bright, or of 11 bits": (
        dataset(TWELVE, VOILUTSequence=lut_sequence(np.arange(4096) // 2, 0, 12)),
        "VOI LUT.* 12 bits.* 2047$",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.filterwarnings("ignore")
def test_a_header_that_contradicts_its_pixels_is_refused(name, tmp_path):
    ds, expected = MISFITS[name]
    assert re.search(expected, refusal(ds, tmp_path))


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("written", ["SS", "US"])
def test_padding_may_have_the_wrong_sign(bits, written, tmp_path):
    signed = TWELVE.astype(np.int16) - 1500
    unsigned = TWELVE + np.uint16(0)
    for stored, padding in ((signed, -2000), (unsigned, 2**16 - 2000)):
        padded = stored.copy()
        padded[:, :9] = np.array(padding).astype(stored.dtype)
        ds = dataset(padded, BitsStored=bits)
        ds.add_new("PixelPaddingValue", written, padding % 2**16 - (2**16 if written == "SS" else 0))
        gray = read(ds, tmp_path)
        assert not gray[:, :9].any()
        np.testing.assert_array_equal(gray[:, 9:], scale_full_range(stored[:, 9:]))


def test_a_linear_window_narrower_than_1_over_smaller_steps_is_linear_exact(tmp_path):
    header = {"WindowCenter": 0.45, "WindowWidth": 0.7, "RescaleSlope": 1 / 4096, "RescaleIntercept": 0}
    path = save(dataset(TWELVE, VOILUTFunction="LINEAR_EXACT", **header), tmp_path / "y.dcm")
    np.testing.assert_array_equal(read(dataset(TWELVE, **header), tmp_path), images.read(path))
    assert np.abs(images.read(path) - render(path)).max() <= 0.5 + 1e-6


def test_numbers_may_be_stored_as_text(tmp_path):
    ds = dataset(TWELVE)
    expected = read(dataset(TWELVE, WindowCenter=1200, WindowWidth=800), tmp_path)
    ds.add_new("WindowCenter", "LO", "1200\\7")
    ds.add_new("WindowWidth", "LO", "800")
    np.testing.assert_array_equal(read(ds, tmp_path), expected)
    ds.add_new("WindowWidth", "LO", "wide\x1b[31m")
    assert "WindowWidth" in refusal(ds, tmp_path)


def test_header_values_are_escaped_and_shortened_in_messages(tmp_path):
    text = "\x1b]0;\x07" + "A" * 5000
    for name in ("PhotometricInterpretation", "VOILUTFunction", "SOPClassUID", "NumberOfFrames", "RescaleSlope"):
        ds = dataset(TWELVE, WindowCenter=1, WindowWidth=5)
        ds.add_new(name, "LO", text)
        if name == "SOPClassUID":
            del ds.Rows
        assert "\x1b" not in refusal(ds, tmp_path)
    ds = dataset(TWELVE)
    ds.add_new("Modality", "LO", text)
    modality = images.open_image(save(ds, tmp_path / "x.dcm")).info["Modality"]
    assert modality.isprintable()
    assert len(modality) <= 100


def test_a_wrong_transfer_syntax_of_uncompressed_pixels_is_tolerated(tmp_path):
    path = save(dataset(TWELVE, uid.ImplicitVRLittleEndian), tmp_path / "x.dcm")
    implicit = uid.ImplicitVRLittleEndian.encode() + b"\0"
    explicit = uid.ExplicitVRLittleEndian.encode()
    data = path.read_bytes()
    start = data.index(b"\x02\0\x10\0UI")
    length = len(implicit)
    assert data[start + 8 : start + 8 + length] == implicit
    grown = len(explicit) + len(explicit) % 2
    group = int.from_bytes(data[140:144], "little") + grown - length
    syntax = data[start : start + 6] + grown.to_bytes(2, "little") + explicit.ljust(grown, b"\0")
    path.write_bytes(data[:140] + group.to_bytes(4, "little") + data[144:start] + syntax + data[start + 8 + length :])
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    np.testing.assert_array_equal(images.read(path), scale_full_range(TWELVE))


def test_lossless_jpeg_with_more_bits_than_bits_stored_is_read(tmp_path):
    ds = encapsulated_dataset(TWELVE, uid.JPEGLossless, lossless_jpeg(TWELVE, 16), BitsStored=12)
    np.testing.assert_array_equal(read(ds, tmp_path), scale_full_range(TWELVE))

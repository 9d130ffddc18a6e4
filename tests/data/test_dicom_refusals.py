"""DICOM files that are refused; tests/data/test_dicom.py has those that are read."""

import io
import logging
import re
import struct
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from conftest import ROOT
from dicom_files import (
    EIGHT,
    SHIPPED,
    SYNTAXES,
    TWELVE,
    compressed_dataset,
    dataset,
    encapsulated_dataset,
    jpeg,
    lossless_jpeg,
    save,
    scale_full_range,
)
from PIL import Image
from pydicom import Dataset, Sequence, uid
from pydicom.encaps import encapsulate

from chexnet.data import images
from chexnet.errors import InputError


def with_header(**header) -> Dataset:
    """Replace header elements of a valid file, without a change of its pixels."""
    ds = dataset(TWELVE)
    for name, value in header.items():
        setattr(ds, name, value)
    return ds


def encrypted_dataset() -> Dataset:
    ds = Dataset()
    ds.file_meta = dataset(TWELVE).file_meta
    envelope = Dataset()
    envelope.EncryptedContentTransferSyntaxUID = uid.ExplicitVRLittleEndian
    envelope.EncryptedContent = bytes(64)
    ds.EncryptedAttributesSequence = Sequence([envelope])
    return ds


def without_pixels() -> Dataset:
    ds = dataset(TWELVE)
    del ds.PixelData
    return ds


def jpeg_2000_bomb() -> Dataset:
    ds = compressed_dataset(TWELVE, uid.JPEG2000Lossless)
    at = ds.PixelData.index(b"\xff\x4f\xff\x51")
    ds.PixelData = ds.PixelData[: at + 8] + struct.pack(">II", 60_000, 60_000) + ds.PixelData[at + 16 :]
    return ds


LOSSLESS = lossless_jpeg(TWELVE, 12)
FRAME = LOSSLESS.index(b"\xff\xc3")
BOMB = LOSSLESS[: FRAME + 5] + struct.pack(">HH", 60_000, 60_000) + LOSSLESS[FRAME + 9 :]
ITEM = b"\xfe\xff\x00\xe0"
SEQUENCE = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"


def save_with_elements(elements: bytes, path) -> None:
    """Save a valid file with these extra elements after group 0008."""
    data = save(dataset(TWELVE), path).read_bytes()
    at = data.index(b"\x28\0\x02\0US")
    path.write_bytes(data[:at] + elements + data[at:])


def rle_dataset(*segments: bytes) -> Dataset:
    """Make a file of RLE segments, one per byte of the samples."""
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments)))
    return encapsulated_dataset(TWELVE, uid.RLELossless, header + b"".join(segments))


def color_dataset(syntax: str) -> Dataset:
    """Make a file whose compressed data have three channels, but whose header has one."""
    rgb = io.BytesIO()
    Image.new("RGB", TWELVE.shape[::-1]).save(rgb, "JPEG2000" if syntax == uid.JPEG2000 else "JPEG")
    return encapsulated_dataset(EIGHT, syntax, rgb.getvalue())


def dataset_with_scans(number: int) -> Dataset:
    """Make a file of a progressive JPEG whose last scan is repeated `number` times."""
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return encapsulated_dataset(EIGHT, uid.JPEGExtended12Bit, data[:-2] + last * number + data[-2:])


REFUSED = {
    "no pixels": (without_pixels(), "without pixels"),
    "frames": (with_header(NumberOfFrames=3), "3 frames"),
    "color": (with_header(PhotometricInterpretation="RGB"), "RGB.*MONOCHROME1 or MONOCHROME2"),
    "ybr": (with_header(PhotometricInterpretation="YBR_FULL_422"), "YBR_FULL_422.*MONOCHROME1"),
    "palette": (with_header(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR.*MONOCHROME1"),
    "samples": (with_header(SamplesPerPixel=3), "MONOCHROME2.* 3 samples"),
    "depth": (with_header(BitsAllocated=32), "32 bits allocated.* 8 or 16$"),
    "bits": (with_header(BitsStored=40), "40 bits stored of 16"),
    "large": (with_header(Rows=60_000, Columns=60_000), "^60000 x 60000.*50,000,000"),
    "small": (with_header(Rows=15), "^48 x 15.* 16 x 16$"),
    "more rows than pixels": (with_header(Rows=41), "3,840 bytes.*3,936.*48 x 41.* 16 bits$"),
    "window": (with_header(WindowCenter=1, WindowWidth=5, VOILUTFunction="CURVED"), "VOI LUT Function.*CURVED.*LINEAR"),
    "encrypted": (encrypted_dataset(), "encrypted"),
    "video": (encapsulated_dataset(EIGHT, uid.MPEG2MPML, b"video"), "MPEG2 Main Profile / Main Level"),
    "no JPEG": (encapsulated_dataset(EIGHT, uid.JPEGBaseline8Bit, b"no JPEG at all"), "cannot be decoded"),
    "JPEG bomb": (encapsulated_dataset(TWELVE, uid.JPEGLossless, BOMB), "48 x 40.*60000 x 60000"),
    "RLE bomb": (rle_dataset(b"\x81\0" * 1000, b"\x81\0" * 1000), "RLE"),
    "RLE of nothing": (rle_dataset(b"\x80" * 9000, b"\x80" * 9000), "RLE"),
    "truncated RLE": (encapsulated_dataset(TWELVE, uid.RLELossless, bytes(20)), "RLE"),
    "JPEG of colors": (color_dataset(uid.JPEGBaseline8Bit), "3 channels"),
    "JPEG 2000 of colors": (color_dataset(uid.JPEG2000), "3 channels"),
    "JPEG of 8 bits for 12": (
        encapsulated_dataset(TWELVE, uid.JPEGExtended12Bit, jpeg(EIGHT), BitsStored=12),
        r"12 bits.*\b8$",
    ),
    "JPEG of many scans": (dataset_with_scans(100), "106 scans.* 30$"),
    "fragments": (
        with_header(PixelData=encapsulate([bytes(2)] * 6000), file_meta=SYNTAXES["JPEG lossless"].file_meta),
        "6,001.*5,000$",
    ),
    "no photometric interpretation": (
        with_header(PhotometricInterpretation=None),
        "Photometric Interpretation.*MONOCHROME1",
    ),
    "JPEG 2000 bomb": (jpeg_2000_bomb(), "48 x 40.*60000 x 60000"),
}


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        images.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_dicom_is_refused_in_one_line(name, tmp_path):
    ds, expected = REFUSED[name]
    assert re.search(expected, refusal(save(ds, tmp_path / "x.dcm")))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"no radiograph, a text", "byte 128.*b'no radiograph, a'$"),
        (b"", "byte 128.*empty$"),
        (b"PK\x03\x04\x14\x00\x01\x00", r"byte 128.*b'PK"),
        (bytes(128) + b"DICM", "Rows or Columns"),
        (bytes(128) + b"DICM" + b"garbage" * 9, ""),
    ],
)
def test_other_content_named_dicom_is_refused_in_one_line(content, expected, tmp_path):
    (tmp_path / "x.DCM").write_bytes(content)
    assert re.search(expected, refusal(tmp_path / "x.DCM"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image_dfl.dcm", "deflated"),
        ("reportsi.dcm", "Basic Text SR Storage.*Rows or Columns"),
        ("MR_truncated.dcm", "8,130 bytes.*8,192.*64 x 64.* 16 bits$"),
    ],
)
def test_bad_examples_from_pydicom_are_refused(name, expected):
    assert re.search(expected, refusal(SHIPPED / name))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_is_refused_unless_its_pixels_are_complete(syntax, tmp_path):
    path = save(SYNTAXES[syntax], tmp_path / "x.dcm")
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 40, 61), *range(len(whole) - 40, len(whole) - 4)]:
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(whole[:-1])
    try:
        np.testing.assert_array_equal(images.read(path), scale_full_range(TWELVE))
    except InputError:
        assert not SYNTAXES[syntax].file_meta.TransferSyntaxUID.is_encapsulated  # encapsulated data end in a delimiter


def test_pixels_are_not_decoded_if_the_header_is_refused(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr("pydicom.pixels.pixel_array", decoded.append)
    for name in ("frames", "color", "large", "small", "JPEG bomb", "JPEG 2000 bomb"):
        refusal(save(REFUSED[name][0], tmp_path / "x.dcm"))
    assert not decoded


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (20 * (SEQUENCE + ITEM + b"\xff\xff\xff\xff"), "cannot be decoded"),
        (10_000 * (SEQUENCE + ITEM + b"\xff\xff\xff\xff"), "nested"),
        (SEQUENCE + 40_000 * (ITEM + bytes(4)), "15,000$"),
        (40_000 * b"\x09\0\x10\x20LO\0\0", "15,000$"),
        (b"\x09\0\x10\x20OB\0\0\xf0\xff\xff\xff", "Rows or Columns"),
    ],
)
def test_the_work_for_a_file_is_bounded(elements, expected, tmp_path):
    save_with_elements(elements, tmp_path / "x.dcm")
    assert re.search(expected, refusal(tmp_path / "x.dcm"))


def test_a_lookup_table_with_many_items_is_refused_by_its_size(tmp_path):
    ds = dataset(TWELVE)
    ds.add_new("VOILUTSequence", "OB", 200_000 * (ITEM + bytes(4)))
    path = save(ds, tmp_path / "x.dcm")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x28\0\x10\x30OB", b"\x28\0\x10\x30SQ"))
    assert re.search("VOILUTSequence.*1,600,000.*1,048,576", refusal(path))


def test_an_error_is_raised_and_not_logged(tmp_path, caplog):
    """pydicom logs a traceback for each decoder that fails. Its other users keep their logs."""
    caplog.set_level(logging.DEBUG)
    path = save(REFUSED["no JPEG"][0], tmp_path / "x.dcm")
    assert "pylibjpeg: " in refusal(path)
    assert not caplog.records
    with pytest.raises(RuntimeError):
        pydicom.pixels.pixel_array(path)
    assert caplog.records


def test_missing_pydicom_is_reported_with_the_command_to_install_it(tmp_path, monkeypatch):
    path = save(SYNTAXES["RLE"], tmp_path / "x.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refusal(path).endswith(": pip install pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg")


def test_a_missing_decoder_is_reported_with_the_command_to_install_it(tmp_path, monkeypatch):
    path = save(SYNTAXES["JPEG lossless"], tmp_path / "x.dcm")
    monkeypatch.setattr(pydicom.pixels.get_decoder(uid.JPEGLossless), "_available", {})
    assert re.search(r"JPEG Lossless, Non-Hierarchical \(Process 14\).*pip install", refusal(path))


def test_pydicom_prints_nothing(tmp_path):
    """Runs in another process, because pytest changes the warning filters."""
    odd = save(dataset(TWELVE, PixelData=TWELVE.tobytes() + bytes(50)), tmp_path / "x.dcm")
    code = (
        "import sys\n"
        "from chexnet.data import images; from chexnet.cli import process\n"
        "with process.quiet_libraries():  # as all scripts run\n"
        "    for path in sys.argv[1:]:\n"
        "        try:\n"
        "            print(path, images.read(path).shape)\n"
        "        except images.InputError as error:\n"
        "            print(error)\n"
    )
    paths = [odd, *sorted(SHIPPED.glob("*.dcm"))]
    command = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths) > 70
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith((f"{path} (", f"{path}: ")), line


def test_an_unknown_kind_of_the_modality_is_refused(tmp_path):
    """pydicom reads elements on first use."""
    path = save(dataset(TWELVE), tmp_path / "x.dcm")
    content = path.read_bytes()
    place = content.index(b"\x08\0\x60\0CS")
    path.write_bytes(content[: place + 4] + b"C\xff" + content[place + 6 :])
    with pytest.raises(InputError, match="cannot be decoded as a DICOM image"):
        images.read(path)

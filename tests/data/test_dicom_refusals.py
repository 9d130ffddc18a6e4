"""DICOM files that are no radiograph, or no DICOM files; tests/data/test_dicom.py has those that are."""

import io
import logging
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
    compressed,
    dataset,
    jpeg,
    lossless_jpeg,
    save,
    whole_range,
    wrapped,
)
from PIL import Image
from pydicom import Dataset, Sequence, uid
from pydicom.encaps import encapsulate

from chexnet.data import images
from chexnet.errors import InputError


def changed(**header) -> Dataset:
    """A sound file, and then a header that is not its own."""
    made = dataset(TWELVE)
    for name, value in header.items():
        setattr(made, name, value)
    return made


def encrypted() -> Dataset:
    made = Dataset()
    made.file_meta = dataset(TWELVE).file_meta
    envelope = Dataset()
    envelope.EncryptedContentTransferSyntaxUID = uid.ExplicitVRLittleEndian
    envelope.EncryptedContent = bytes(64)
    made.EncryptedAttributesSequence = Sequence([envelope])
    return made


def without_pixels() -> Dataset:
    made = dataset(TWELVE)
    del made.PixelData
    return made


def j2k_bomb() -> Dataset:
    made = compressed(TWELVE, uid.JPEG2000Lossless)
    at = made.PixelData.index(b"\xff\x4f\xff\x51")
    made.PixelData = made.PixelData[: at + 8] + struct.pack(">II", 60_000, 60_000) + made.PixelData[at + 16 :]
    return made


LOSSLESS = lossless_jpeg(TWELVE, 12)
FRAME = LOSSLESS.index(b"\xff\xc3")
BOMB = LOSSLESS[: FRAME + 5] + struct.pack(">HH", 60_000, 60_000) + LOSSLESS[FRAME + 9 :]
ITEM = b"\xfe\xff\x00\xe0"
SEQUENCE = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"


def beginning_with(elements: bytes, path) -> None:
    """A sound file, and such elements of group 0008 in it."""
    data = save(dataset(TWELVE), path).read_bytes()
    at = data.index(b"\x28\0\x02\0US")
    path.write_bytes(data[:at] + elements + data[at:])


def rle(*segments: bytes) -> Dataset:
    """A frame of such segments, each of which stands for a byte of the samples."""
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments)))
    return wrapped(TWELVE, uid.RLELossless, header + b"".join(segments))


def colored(made: Dataset, syntax: str) -> Dataset:
    """Compressed data of three channels under a header of one."""
    rgb = io.BytesIO()
    Image.new("RGB", TWELVE.shape[::-1]).save(rgb, "JPEG2000" if syntax == uid.JPEG2000 else "JPEG")
    return wrapped(EIGHT, syntax, rgb.getvalue(), **made)


def scans(number: int) -> Dataset:
    """A progressive JPEG whose last scan is there so many times more."""
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return wrapped(EIGHT, uid.JPEGExtended12Bit, data[:-2] + last * number + data[-2:])


REFUSED = {
    "no pixels": (without_pixels(), "a DICOM file without pixels, or cut off before them; expected a whole radiograph"),
    "frames": (changed(NumberOfFrames=3), "a DICOM file of 3 frames, expected a single image"),
    "colour": (changed(PhotometricInterpretation="RGB"), "a DICOM file of RGB pixels, expected MONOCHROME1"),
    "ybr": (changed(PhotometricInterpretation="YBR_FULL_422"), "a DICOM file of YBR_FULL_422 pixels"),
    "palette": (changed(PhotometricInterpretation="PALETTE COLOR"), "a DICOM file of PALETTE COLOR pixels"),
    "samples": (changed(SamplesPerPixel=3), "a DICOM file of MONOCHROME2 pixels in 3 samples, expected one"),
    "depth": (changed(BitsAllocated=32), "a DICOM file with 32 bits allocated for a sample, expected 8 or 16"),
    "bits": (changed(BitsStored=40), "a DICOM file with 40 bits stored of 16 allocated"),
    "large": (changed(Rows=60_000, Columns=60_000), "60000 x 60000 pixels, expected at most 50,000,000 in all"),
    "dot": (changed(Rows=15), "48 x 15 pixels, expected at least 16 x 16"),
    "more rows than pixels": (
        changed(Rows=41),
        "a DICOM file with 3,840 bytes of pixels, expected 3,936 for 48 x 41 of 16 bits",
    ),
    "window": (
        changed(WindowCenter=1, WindowWidth=5, VOILUTFunction="CURVED"),
        "a DICOM file whose VOI LUT Function is CURVED, expected LINEAR",
    ),
    "encrypted": (encrypted(), "an encrypted DICOM file, expected a readable one"),
    "video": (wrapped(EIGHT, uid.MPEG2MPML, b"video"), "a DICOM file encoded as MPEG2 Main Profile / Main Level"),
    "no JPEG": (wrapped(EIGHT, uid.JPEGBaseline8Bit, b"no JPEG at all"), "cannot be decoded as a DICOM image: "),
    "JPEG bomb": (
        wrapped(TWELVE, uid.JPEGLossless, BOMB),
        "a DICOM file of 48 x 40 pixels by its header, but 60000 x 60000 by its compressed data",
    ),
    "RLE bomb": (rle(b"\x81\0" * 1000, b"\x81\0" * 1000), "a DICOM file whose RLE data hold more than its pixels"),
    "RLE of nothing": (rle(b"\x80" * 9000, b"\x80" * 9000), "a DICOM file whose RLE data hold more than its pixels"),
    "RLE, cut": (wrapped(TWELVE, uid.RLELossless, bytes(20)), "a DICOM file whose RLE data"),
    "JPEG of colors": (
        colored({}, uid.JPEGBaseline8Bit),
        "a DICOM file of 48 x 40 pixels by its header, but of 3 channels by its compressed data, expected one",
    ),
    "JPEG 2000 of colors": (
        colored({}, uid.JPEG2000),
        "a DICOM file of 48 x 40 pixels by its header, but of 3 channels by its compressed data, expected one",
    ),
    "JPEG of 8 bits for 12": (
        wrapped(TWELVE, uid.JPEGExtended12Bit, jpeg(EIGHT), BitsStored=12),
        "a DICOM file of 12 bits by its header, but 8 by its compressed data",
    ),
    "JPEG of many scans": (scans(100), "a DICOM file whose JPEG has 106 scans, expected at most 30"),
    "pieces": (
        changed(PixelData=encapsulate([bytes(2)] * 6000), file_meta=SYNTAXES["JPEG lossless"].file_meta),
        "a DICOM file whose pixels are in 6,001 pieces, expected at most 5,000",
    ),
    "no photometric interpretation": (
        changed(PhotometricInterpretation=None),
        "a DICOM file that does not say what its pixels mean (no Photometric Interpretation), expected MONOCHROME1",
    ),
    "JPEG 2000 bomb": (j2k_bomb(), "a DICOM file of 48 x 40 pixels by its header, but 60000 x 60000"),
}


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        images.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_gray_radiograph_is_refused_in_one_line(name, tmp_path):
    made, expected = REFUSED[name]
    assert refusal(save(made, tmp_path / "x.dcm")).startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"no radiograph, a text",
            "named as DICOM, but not a DICOM file (no DICM at byte 128): it begins with b'no ra",
        ),
        (b"", "named as DICOM, but not a DICOM file (no DICM at byte 128): it is empty"),
        (b"PK\x03\x04\x14\x00\x01\x00", "named as DICOM, but not a DICOM file (no DICM at byte 128): it begins with"),
        (bytes(128) + b"DICM", "a DICOM file without an image (of no stated kind): no Rows or Columns"),
        (bytes(128) + b"DICM" + b"garbage" * 9, ""),
    ],
)
def test_what_is_only_named_dicom_is_refused_in_one_line(content, expected, tmp_path):
    (tmp_path / "x.DCM").write_bytes(content)
    assert refusal(tmp_path / "x.DCM").startswith(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image_dfl.dcm", "a deflated DICOM file, expected it uncompressed or as JPEG"),
        ("reportsi.dcm", "a DICOM file without an image (Basic Text SR Storage): no Rows or Columns"),
        ("MR_truncated.dcm", "a DICOM file with 8,130 bytes of pixels, expected 8,192 for 64 x 64 of 16 bits"),
    ],
)
def test_files_that_pydicom_ships_as_bad_examples(name, expected):
    assert refusal(SHIPPED / name).startswith(expected)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.filterwarnings("ignore")
def test_a_file_cut_anywhere_is_refused_or_lacks_nothing_of_the_image(syntax, tmp_path):
    path = save(SYNTAXES[syntax], tmp_path / "x.dcm")
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 40, 61), *range(len(whole) - 40, len(whole) - 4)]:
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(whole[:-1])
    try:
        np.testing.assert_array_equal(images.read(path), whole_range(TWELVE))
    except InputError:
        assert not SYNTAXES[syntax].file_meta.TransferSyntaxUID.is_encapsulated  # others end in a mark


def test_nothing_of_what_is_refused_by_its_header_is_decoded(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr("pydicom.pixels.pixel_array", decoded.append)
    for name in ("frames", "colour", "large", "dot", "JPEG bomb", "JPEG 2000 bomb"):
        refusal(save(REFUSED[name][0], tmp_path / "x.dcm"))
    assert not decoded


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (20 * (SEQUENCE + ITEM + b"\xff\xff\xff\xff"), "cannot be decoded as a DICOM image: "),
        (10_000 * (SEQUENCE + ITEM + b"\xff\xff\xff\xff"), "a DICOM file whose sequences are nested too deeply"),
        (SEQUENCE + 40_000 * (ITEM + bytes(4)), "a DICOM file of too many elements, expected at most some 15,000"),
        (40_000 * b"\x09\0\x10\x20LO\0\0", "a DICOM file of too many elements, expected at most some 15,000"),
        (b"\x09\0\x10\x20OB\0\0\xf0\xff\xff\xff", "a DICOM file without an image ("),
    ],
)
def test_the_work_for_a_file_is_bounded(elements, expected, tmp_path):
    beginning_with(elements, tmp_path / "x.dcm")
    assert refusal(tmp_path / "x.dcm").startswith(expected)


def test_a_table_of_many_items_is_not_looked_through(tmp_path):
    made = dataset(TWELVE)
    made.add_new("VOILUTSequence", "OB", 200_000 * (ITEM + bytes(4)))
    path = save(made, tmp_path / "x.dcm")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x28\0\x10\x30OB", b"\x28\0\x10\x30SQ"))
    assert refusal(path).startswith("a DICOM file with a VOILUTSequence of 1,600,000 bytes, expected at most 1,048,576")


def test_nothing_is_logged_of_what_stands_in_the_error(tmp_path, caplog):
    """pydicom logs a traceback for each decoder that fails; other threads, and users of pydicom, keep their logs."""
    caplog.set_level(logging.DEBUG)
    path = save(REFUSED["no JPEG"][0], tmp_path / "x.dcm")
    assert "pylibjpeg: " in refusal(path)
    assert not caplog.records
    with pytest.raises(RuntimeError):
        pydicom.pixels.pixel_array(path)
    assert caplog.records


def test_without_pydicom_the_line_says_how_to_get_it(tmp_path, monkeypatch):
    path = save(SYNTAXES["RLE"], tmp_path / "x.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refusal(path).endswith("that is not installed: pip install pydicom pylibjpeg pylibjpeg-openjpeg "
                                  "pylibjpeg-libjpeg")  # fmt: skip


def test_without_a_decoder_the_line_says_how_to_get_it(tmp_path, monkeypatch):
    path = save(SYNTAXES["JPEG lossless"], tmp_path / "x.dcm")
    monkeypatch.setattr(pydicom.pixels.get_decoder(uid.JPEGLossless), "_available", {})
    said = refusal(path)
    assert said.startswith("compressed as JPEG Lossless, Non-Hierarchical (Process 14), whose decoder is not installed")
    assert "pip install" in said


def test_pydicom_says_nothing_of_its_own_about_any_file(tmp_path):
    """In a process of its own: pytest has warning filters of its own."""
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

"""The reader of DICOM in the page gives Python's pixels, or refuses the file."""

import io
import random

import numpy as np
import pydicom
import pytest
from dicom_files import (
    EIGHT,
    RNG,
    SHIPPED,
    SYNTAXES,
    TWELVE,
    compressed_dataset,
    dataset,
    encapsulated_dataset,
    jpeg,
    lossless_jpeg,
    lut_sequence,
    save_bare,
)
from page_reader import differences, in_page, save_all
from PIL import Image
from pydicom import Dataset, uid

SIGNED = (TWELVE.astype(np.int16) - 1000).astype(np.int16)


def content(ds: Dataset) -> bytes:
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def contents(datasets: dict[str, Dataset]) -> dict[str, bytes]:
    return {f"{name}.dcm": content(ds) for name, ds in datasets.items()}


def jpeg_2000(stored: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG2000", no_jp2=True, **options)
    return file.getvalue()


def test_every_transfer_syntax_has_the_pixels_of_python(tmp_path):
    noise = RNG.integers(0, 65536, (33, 47)).astype(np.uint16)
    datasets = dict(SYNTAXES) | {
        "RLE of 8 bits": compressed_dataset(EIGHT, uid.RLELossless),
        "RLE signed": compressed_dataset(SIGNED, uid.RLELossless, BitsStored=16),
        "lossy JPEG 2000": compressed_dataset(TWELVE, uid.JPEG2000, BitsStored=12),
        "JPEG": encapsulated_dataset(EIGHT, uid.JPEGBaseline8Bit, jpeg(EIGHT)),
        "JPEG extended": encapsulated_dataset(EIGHT, uid.JPEGExtended12Bit, jpeg(EIGHT)),
        "lossless JPEG of 8 bits": encapsulated_dataset(EIGHT, uid.JPEGLossless, lossless_jpeg(EIGHT, 8)),
        "lossless JPEG of 16 bits": encapsulated_dataset(noise, uid.JPEGLosslessSV1, lossless_jpeg(noise, 16)),
        "JPEG 2000 of 8 bits": encapsulated_dataset(EIGHT, uid.JPEG2000Lossless, jpeg_2000(EIGHT)),
        "8 bits": dataset(EIGHT),
        "8 bits implicit": dataset(EIGHT, uid.ImplicitVRLittleEndian),
    }
    assert differences(contents(datasets), tmp_path) == {}


def test_files_without_preamble_or_meta_information(tmp_path):
    files = {}
    for name, syntax in (("implicit", uid.ImplicitVRLittleEndian), ("explicit", uid.ExplicitVRLittleEndian)):
        for keep_meta in (False, True):
            path = save_bare(dataset(TWELVE, syntax, BitsStored=12), tmp_path / "x", keep_meta)
            files[f"{name}_{keep_meta}"] = path.read_bytes()
    assert differences(files, tmp_path) == {}


def headers() -> dict[str, Dataset]:
    """Return files whose headers change the gray levels."""
    windows = {
        "window": {"WindowCenter": 1000, "WindowWidth": 900},
        "windows": {"WindowCenter": ["800.5", "3"], "WindowWidth": ["123.25", "4"]},
        "exact": {"WindowCenter": 1000, "WindowWidth": 900.5, "VOILUTFunction": "LINEAR_EXACT"},
        "sigmoid": {"WindowCenter": 1300, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
        "narrow": {"WindowCenter": 0.3, "WindowWidth": 0.4, "RescaleSlope": "0.0002", "RescaleIntercept": "0"},
        "no width": {"WindowCenter": 1000, "WindowWidth": 0},
        "unknown function": {"WindowCenter": 1000, "WindowWidth": 900, "VOILUTFunction": "CURVE"},
        "slope": {"RescaleSlope": "-1.5", "RescaleIntercept": "4095"},
        "slope window": {"RescaleSlope": 0.5, "RescaleIntercept": -100, "WindowCenter": 400, "WindowWidth": 300},
        "slope alone": {"RescaleSlope": 2},
        "padding": {"PixelPaddingValue": int(TWELVE[0, 0])},
        "padding range": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 500},
        "voi": {"VOILUTSequence": lut_sequence(np.arange(4096)[::-1] // 16 + 3840, 0, 12)},
        "voi 8": {"VOILUTSequence": lut_sequence(np.arange(256), 1000, 8, vr="OW", kind="u1")},
        "voi far": {"VOILUTSequence": lut_sequence(np.arange(16), 30_000, 12)},
        "modality": {"ModalityLUTSequence": lut_sequence(np.sqrt(np.arange(4096)).astype(int) * 60, 0, 12)},
        "lateral": {"ViewPosition": "LL", "Modality": "CT"},
        "frames": {"NumberOfFrames": 2},
        "one frame": {"NumberOfFrames": 1},
        "wide pixels": {"PixelSpacing": [0.1, 0.2]},
        "shape": {"PresentationLUTShape": "INVERSE"},
        "color": {"PhotometricInterpretation": "RGB"},
        "no number": {"RescaleSlope": "1", "RescaleIntercept": "0", "PixelAspectRatio": [1, 1]},
        "bits": {"BitsStored": 10},
        "high bit": {"HighBit": 15},
    }
    files = {}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        for stored, sign in ((TWELVE, "unsigned"), (SIGNED, "signed")):
            for name, header in windows.items():
                values = {"PhotometricInterpretation": photometric, "BitsStored": 12, **header}
                files[f"{name} {sign} {photometric}"] = dataset(stored, **values)
    return files


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_every_header_gives_the_pixels_and_refusals_of_python(syntax, tmp_path):
    files = {}
    for name, ds in headers().items():
        if syntax == uid.ExplicitVRBigEndian:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        file = io.BytesIO()
        pydicom.dcmwrite(file, ds, enforce_file_format=True)
        files[f"{name}.dcm"] = file.getvalue()
    assert differences(files, tmp_path) == {}


def test_elements_that_are_missing_or_contradict_the_pixels(tmp_path):
    files = {}
    for name in ("Rows", "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "PixelData", "HighBit",
                 "SamplesPerPixel", "Modality"):  # fmt: skip
        ds = dataset(TWELVE, BitsStored=12)
        delattr(ds, name)
        files[name] = ds
    for name, size in (("short", -2), ("padded", 4), ("a row more", 96)):
        files[name] = dataset(TWELVE, BitsStored=12)
        data = files[name].PixelData
        files[name].PixelData = data[:size] if size < 0 else data + bytes(size)
    files["deflated"] = dataset(TWELVE, uid.DeflatedExplicitVRLittleEndian)
    files["another stream"] = encapsulated_dataset(TWELVE, uid.JPEGLossless, lossless_jpeg(TWELVE[1:], 12))
    assert differences(contents(files), tmp_path) == {}


@pytest.mark.parametrize("syntax", ["JPEG lossless", "JPEG 2000 lossless", "RLE", "explicit little endian"])
def test_a_truncated_file_is_refused(syntax, tmp_path):
    whole = content(SYNTAXES[syntax])
    paths = save_all({f"{part}.dcm": whole[: len(whole) * part // 16] for part in range(1, 16)}, tmp_path)
    assert all(reading.refusal for reading in in_page(paths, tmp_path))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_lossless_jpeg_uses_every_predictor(bits, tmp_path):
    stored = RNG.integers(0, 2**bits, (33, 47)).astype(np.uint16 if bits > 8 else np.uint8)
    streams = {predictor: lossless_jpeg(stored, bits, predictor) for predictor in range(1, 8)}
    files = {
        str(predictor): encapsulated_dataset(stored, uid.JPEGLossless, stream, BitsStored=bits)
        for predictor, stream in streams.items()
    }
    assert differences(contents(files), tmp_path) == {}


def test_the_files_of_pydicom_are_read_as_in_python_or_refused(tmp_path):
    files = {path.name: path.read_bytes() for path in SHIPPED.rglob("*") if path.is_file() and path.stat().st_size < 2**20}
    found = differences(files, tmp_path)
    assert [name for name, difference in found.items() if not difference.startswith("refused")] == []


def test_a_changed_file_is_read_as_in_python_or_refused(tmp_path):
    """A doubtful reading is worse than a refusal."""
    chance = random.Random(0)
    sources = list(contents(headers() | SYNTAXES).values())
    files = {}
    for number in range(400):
        changed = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 2))):
            changed[chance.randrange(min(len(changed), 1200))] = chance.choice((0, 1, 255, chance.randrange(256)))
        files[f"{number}.dcm"] = bytes(changed)
    found = differences(files, tmp_path)
    assert [name for name, difference in found.items() if not difference.startswith("refused")] == []

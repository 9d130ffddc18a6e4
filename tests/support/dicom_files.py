"""Make DICOM files for tests, in every transfer syntax that pydicom or this module can write."""

import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, FileMetaDataset, Sequence, uid
from pydicom.encaps import encapsulate

from chexnet.data import images
from chexnet.errors import InputError

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def dataset(stored: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **header) -> Dataset:
    """Make an uncompressed radiograph; `header` adds elements to the required ones, or replaces them."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid.generate_uid()
    ds.Modality = "DX"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated = ds.BitsStored = 8 * stored.itemsize
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    for name, value in header.items():
        setattr(ds, name, value)
    ds.HighBit = header.get("HighBit", ds.BitsStored - 1 if ds.BitsStored else 0)
    byte_order = "<" if ds.file_meta.TransferSyntaxUID.is_little_endian else ">"
    ds.PixelData = stored.astype(stored.dtype.newbyteorder(byte_order)).tobytes()
    ds["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    return ds


def compressed_dataset(stored: np.ndarray, syntax: str, **header) -> Dataset:
    """Make a radiograph compressed with pydicom's encoders: RLE or JPEG 2000."""
    ds = dataset(stored, **header)
    ds.compress(syntax, **({"j2k_cr": [2]} if syntax == uid.JPEG2000 else {}))
    return ds


def encapsulated_dataset(stored: np.ndarray, syntax: str, codestream: bytes, **header) -> Dataset:
    """Make a radiograph from compressed samples."""
    ds = dataset(stored, syntax, **header)
    ds.PixelData = encapsulate([codestream])
    ds["PixelData"].is_undefined_length = True
    return ds


def lut_sequence(
    entries: np.ndarray, first: int, bits: int, signed: bool = False, vr: str = "US", kind: str = "<u2"
) -> Sequence:
    """Make the sequence of a modality or VOI LUT.

    Args:
        entries: entries of the table.
        first: first mapped value.
        bits: declared bits per entry.
        signed: whether `first` is written as a signed integer.
        vr: value representation of the entries.
        kind: dtype of the entries with the representation OW.
    """
    item = Dataset()
    descriptor = [len(entries) % 2**16, first, bits]
    item.add_new("LUTDescriptor", "SS" if signed else "US", descriptor)
    if vr == "OW" or len(entries) > 2**15:  # too many for the 16-bit length of US
        item.add_new("LUTData", "OW", entries.astype(kind).tobytes())
    else:
        item.add_new("LUTData", vr, entries.tolist())
    return Sequence([item])


def save(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def save_bare(ds: Dataset, path: Path, keep_meta: bool = False) -> Path:
    """Save without the preamble and, unless `keep_meta`, without the file meta information."""
    data = save(ds, path).read_bytes()
    (length,) = struct.unpack_from("<I", data, 140)
    path.write_bytes(data[132 if keep_meta else 144 + length :])
    return path


def jpeg(stored: np.ndarray) -> bytes:
    """Encode uint8 [H, W] as baseline JPEG."""
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG", quality=100)
    return file.getvalue()


def lossless_jpeg(stored: np.ndarray, bits: int, predictor: int = 1) -> bytes:
    """Encode uint8 or uint16 [H, W] as lossless JPEG (T.81 annex H) with one of its seven predictors.

    The Huffman code of a difference category is its number in five bits, which avoids optimizing a table.
    """
    samples = stored.astype(np.int64)
    left, up, corner = (np.roll(samples, shift, (0, 1)) for shift in ((0, 1), (1, 0), (1, 1)))
    choices = (left, up, corner, left + up - corner, left + (up - corner) // 2, up + (left - corner) // 2)
    predicted = (*choices, (left + up) // 2)[predictor - 1]
    predicted[0] = left[0]
    predicted[1:, 0] = samples[:-1, 0]  # the first of a row is predicted from the one above
    predicted[0, 0] = 2 ** (bits - 1)
    codes = []
    # Differences are modulo 2**16, from -32767 to 32768.
    for difference in (32768 - (32768 - samples + predicted) % 2**16).ravel().tolist():
        category = abs(difference).bit_length()
        extra = difference if difference > 0 else difference + 2**category - 1
        codes.append(f"{category:05b}" + (f"{extra:0{category}b}" if 0 < category < 16 else ""))
    stream = "".join(codes)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    height, width = stored.shape
    counts = bytes([0, 0, 0, 0, 17]) + bytes(11)  # 17 codes of five bits
    table = struct.pack(">HHB", 0xFFC4, 2 + 17 + 17, 0) + counts + bytes(range(17))
    frame = struct.pack(">HHBHHB3B", 0xFFC3, 11, bits, height, width, 1, 1, 0x11, 0)
    scan = struct.pack(">HHB2B3B", 0xFFDA, 8, 1, 1, 0, predictor, 0, 0)
    return b"\xff\xd8" + table + frame + scan + data + b"\xff\xd9"


RNG = np.random.default_rng(0)
TWELVE = (np.add.outer(np.arange(40) * 40, np.arange(48) * 30) + RNG.integers(0, 300, (40, 48))).astype(np.uint16)
EIGHT = (TWELVE >> 4).astype(np.uint8)


def scale(measured: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale linearly: `low` is black, `high` is white. A slow reference implementation."""
    return np.rint(255 * np.clip((measured.astype(float) - low) / (high - low), 0, 1)).astype(np.uint8)


def scale_full_range(stored: np.ndarray) -> np.ndarray:
    """Scale linearly: the lowest sample is black, the highest is white."""
    return scale(stored, float(stored.min()), float(stored.max()))


def read(ds: Dataset, folder: Path) -> np.ndarray:
    """Save a file and read it as gray."""
    return images.read(save(ds, folder / "x.dcm"))


def refusal(ds: Dataset, folder: Path) -> str:
    """Return the message of the error with which a file is refused, without the path."""
    with pytest.raises(InputError) as error:
        read(ds, folder)
    message = str(error.value).removeprefix(f"{folder / 'x.dcm'}: ")
    assert message.isprintable()
    assert len(message) < 300
    return message


SYNTAXES = {
    "implicit little endian": dataset(TWELVE, uid.ImplicitVRLittleEndian, BitsStored=12),
    "explicit little endian": dataset(TWELVE, uid.ExplicitVRLittleEndian, BitsStored=12),
    "explicit big endian": dataset(TWELVE, uid.ExplicitVRBigEndian, BitsStored=12),
    "RLE": compressed_dataset(TWELVE, uid.RLELossless, BitsStored=12),
    "JPEG 2000 lossless": compressed_dataset(TWELVE, uid.JPEG2000Lossless, BitsStored=12),
    "JPEG lossless": encapsulated_dataset(TWELVE, uid.JPEGLossless, lossless_jpeg(TWELVE, 12), BitsStored=12),
    "JPEG lossless, selection 1": encapsulated_dataset(
        TWELVE, uid.JPEGLosslessSV1, lossless_jpeg(TWELVE, 12), BitsStored=12
    ),
}

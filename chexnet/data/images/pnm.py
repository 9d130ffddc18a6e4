"""Decode PBM, PGM and PPM files, plain and raw, of any maxval (the pages pbm, pgm and ppm of Netpbm's manual).

Pillow scales their samples in Python, pixel by pixel, and treats samples above the maxval as white.
"""

import re

import numpy as np
from PIL import Image

from chexnet.data.images.image_source import size_fault
from chexnet.data.images.sample_range import to_eight_bits
from chexnet.errors import InputError

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_MAXVAL = re.compile(_GAP + rb"(\d{1,9})")
_COMMENT = re.compile(rb"#[^\r\n]*")


def decode(content: bytes, sample_bits: int) -> Image.Image | None:
    """Decode the content of a PBM, PGM or PPM file; None for other files.

    Returns:
        Image of mode L or RGB from `chexnet.data.images.sample_range.to_eight_bits`.

    Raises:
        InputError: the maxval, the size, the number of samples or a sample is invalid.
    """
    header = _HEADER.match(content)
    if header is None:
        return None
    kind, width, height = (int(text) for text in header.groups())
    if fault := size_fault(width, height):
        raise InputError(fault)
    end, maxval = header.end(), 1
    if kind not in (1, 4):
        match = _MAXVAL.match(content, end)
        if match is None or not 1 <= int(match[1]) <= 65535:
            raise InputError(
                f"a PNM file whose maxval is {match[1].decode() if match else 'missing'}, expected 1..65535"
            )
        end, maxval = match.end(), int(match[1])
    channels = 3 if kind in (3, 6) else 1
    decoders = (_decode_plain_bits, _decode_plain, _decode_plain, _decode_raw_bits, _decode_raw, _decode_raw)
    samples = decoders[kind - 1](content[end:], height, width * channels, maxval)
    if samples.max() > maxval:
        raise InputError(f"a PNM file with a sample of {samples.max():,.0f} above its maxval of {maxval:,}")
    if channels == 3:
        samples = samples.reshape(height, width, 3)
    return to_eight_bits(samples.astype(np.uint16), maxval, sample_bits)


def _decode_plain(body: bytes, height: int, row: int, maxval: int) -> np.ndarray:
    text = _COMMENT.sub(b"", body)
    if text.translate(None, b"0123456789 \t\r\n\v\f"):
        raise InputError("a plain PNM file with text other than integers among its samples")
    return _reshape(np.fromstring(text, np.int64, sep=" "), height, row)


def _decode_plain_bits(body: bytes, height: int, row: int, maxval: int) -> np.ndarray:
    digits = np.frombuffer(b"".join(_COMMENT.sub(b"", body).split()), np.uint8) - ord("0")
    if digits.max(initial=0) > 1:
        raise InputError("a plain PBM file with text other than 0 and 1 among its samples")
    return 1 - _reshape(digits, height, row)  # 1 is black


def _decode_raw(body: bytes, height: int, row: int, maxval: int) -> np.ndarray:
    dtype = np.dtype(np.uint8 if maxval < 256 else ">u2")
    size = height * row * dtype.itemsize
    if body[1 + size :].lstrip()[:1] == b"P":
        raise InputError("several frames, expected a single image")
    available = min(size, len(body[1:]) // dtype.itemsize * dtype.itemsize)
    return _reshape(np.frombuffer(body[1 : 1 + available], dtype), height, row)


def _decode_raw_bits(body: bytes, height: int, row: int, maxval: int) -> np.ndarray:
    packed = _reshape(np.frombuffer(body[1 : 1 + height * -(-row // 8)], np.uint8), height, -(-row // 8))
    return 1 - np.unpackbits(packed, axis=1)[:, :row]


def _reshape(samples: np.ndarray, height: int, row: int) -> np.ndarray:
    """Reshape samples to [height, row], ignoring extra ones."""
    if samples.size < height * row:
        raise InputError(f"a PNM file truncated after {samples.size:,} of {height * row:,} samples")
    return samples[: height * row].reshape(height, row)

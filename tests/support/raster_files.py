"""Encode PNG, TIFF and PNM files with any header that their specifications allow."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chexnet.data import images
from chexnet.errors import InputError

RNG = np.random.default_rng(0)
SIZE = (21, 29)  # the rows of packed samples do not fill their last byte

TYPES = {"H": 3, "L": 4, "Q": 16}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced PNG: first column, first row, step of the columns, step of the rows."""


def sample_rows(samples: np.ndarray, bits: int, order: str = ">") -> list[bytes]:
    """Pack samples into bytes, one string per row."""
    flat = samples.reshape(len(samples), -1)
    if bits in (8, 16, 32):
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in flat]
    bit_rows = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [row.tobytes() for row in np.packbits(bit_rows.astype(np.uint8).reshape(len(flat), -1), axis=1)]


def pack_bits(row: bytes) -> bytes:
    """Encode a row as PackBits, without compression."""
    return b"".join(bytes([len(row[i : i + 128]) - 1]) + row[i : i + 128] for i in range(0, len(row), 128))


def tiff(samples: np.ndarray, bits: int, order: str = "<", photometric: int | None = 1, compression: int = 1,
         rows: int | None = None, tile: int | None = None, fill: int = 1, big: bool = False,
         planar: int = 1, predictor: int = 1, **tags: tuple[str, list[int]]) -> bytes:  # fmt: skip
    """Encode a TIFF of one image. `tags`, named `t<number>`, are added to the other tags or replace them."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1

    def encode(block: np.ndarray) -> bytes:
        if predictor == 2:
            block = np.concatenate([block[:, :1], np.diff(block.astype(np.int64), axis=1).astype(block.dtype)], axis=1)
        lines = sample_rows(block, bits, order)
        packed = {1: b"".join(lines), 8: zlib.compress(b"".join(lines)), 32773: b"".join(map(pack_bits, lines))}
        data = packed[compression]
        return data.translate(bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))) if fill == 2 else data

    def split(plane: np.ndarray) -> list[bytes]:
        if tile is None:
            return [encode(plane[y : y + (rows or height)]) for y in range(0, height, rows or height)]
        grid = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
        pad_width = ((0, -height % tile), (0, -width % tile), *[(0, 0)] * (plane.ndim - 2))
        padded = np.pad(plane, pad_width)
        return [encode(padded[y : y + tile, x : x + tile]) for y, x in grid]

    planes = [samples] if planar == 1 else [samples[..., channel] for channel in range(channels)]
    blocks = [block for plane in planes for block in split(plane)]
    header_size = 16 if big else 8
    offsets = np.cumsum([header_size, *map(len, blocks)]).tolist()
    entries = {
        256: ("L", [width]),
        257: ("L", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [compression]),
        277: ("H", [channels]),
        284: ("H", [planar]),
    }
    entries |= {} if photometric is None else {262: ("H", [photometric])}
    entries |= {} if fill == 1 else {266: ("H", [fill])}
    entries |= {} if predictor == 1 else {317: ("H", [predictor])}
    if tile:
        entries |= {322: ("L", [tile]), 323: ("L", [tile]), 324: ("L", offsets[:-1])}
        entries[325] = ("L", [len(block) for block in blocks])
    else:
        entries |= {273: ("L", offsets[:-1]), 278: ("L", [rows or height])}
        entries[279] = ("L", [len(block) for block in blocks])
    entries |= {int(name[1:]): entry for name, entry in tags.items()}
    body = b"".join(blocks) + b"\0" * (offsets[-1] % 2)
    return tiff_file(body, [entries], order, big)


def tiff_file(body: bytes, directories: list[dict[int, tuple[str, list[int]]]], order: str, big: bool = False) -> bytes:
    """Encode a TIFF from pixel data, which begin at byte 8 (BigTIFF: 16), and the directories that describe them."""
    pointer, room, header_size = ("Q", 8, 16) if big else ("L", 4, 8)
    offset = header_size + len(body)
    mark = {"<": b"II", ">": b"MM"}[order]
    start = struct.pack(order + "HHHQ", 43, 8, 0, offset) if big else struct.pack(order + "HL", 42, offset)
    encoded = b""
    for index, entries in enumerate(directories):
        values_offset = offset + (8 if big else 2) + len(entries) * (20 if big else 12) + room
        directory, long_values = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
        for tag, (kind, values) in sorted(entries.items()):
            data = struct.pack(f"{order}{len(values)}{kind}", *values)
            if len(data) > room:
                location = struct.pack(order + pointer, values_offset + len(long_values))
                long_values, data = long_values + data + b"\0" * (len(data) % 2), location
            directory += struct.pack(f"{order}HH{pointer}", tag, TYPES[kind], len(values)) + data.ljust(room, b"\0")
        offset = values_offset + len(long_values)
        following = offset if index + 1 < len(directories) else 0
        encoded += directory + struct.pack(order + pointer, following) + long_values
    return mark + start + body + encoded


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, bits: int, color: int, *chunks: tuple[bytes, bytes], interlaced: bool = False) -> bytes:
    """Encode a PNG of color type `color`, with `chunks` before its pixels."""
    height, width = samples.shape[:2]
    steps = PASSES if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(b"\0" + row for x, y, dx, dy in steps for row in sample_rows(samples[y::dy, x::dx], bits))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pnm(kind: int, samples: np.ndarray, maxval: int, comment: str = "") -> bytes:
    """Encode a PBM, PGM or PPM file, P1 to P6. In P1 and P4, 1 is black."""
    height, width = samples.shape[:2]
    head = f"P{kind}\n{comment}{width} {height}\n" + (f"{comment}{maxval}\n" if kind not in (1, 4) else "")
    if kind == 1:
        return head.encode() + b"\n".join(b"".join(b"%d" % sample for sample in row) for row in samples)
    if kind in (2, 3):
        return head.encode() + b"\n".join(b" ".join(b"%d" % sample for sample in row.ravel()) for row in samples)
    return head.encode() + b"".join(sample_rows(samples, 1 if kind == 4 else 8 if maxval < 256 else 16))


def random_samples(bits: int, shape: tuple[int, ...] = SIZE) -> np.ndarray:
    """Draw samples that use their whole range, so that there is no warning."""
    samples = RNG.integers(0, 2**bits, shape).astype(np.uint16 if bits > 8 else np.uint8)
    samples[0, :2] = np.array([0, 2**bits - 1]).reshape(2, *[1] * (samples.ndim - 2))
    return samples


def as_gray(samples: np.ndarray, white: int) -> np.ndarray:
    """Scale samples to 0..255. A slow reference implementation."""
    return np.rint(255.0 * samples.astype(float) / white)


def make_reader(folder: Path) -> Callable[..., np.ndarray]:
    """Return a function that saves the content of an image as `x` in a folder and reads it as gray."""

    def read(content: bytes, **options: int) -> np.ndarray:
        (folder / "x").write_bytes(content)
        return images.read(folder / "x", **options).astype(int)

    return read


def refusal(read: Callable[..., np.ndarray], content: bytes, **options: int) -> str:
    """Return the message of the error with which content is refused, without the path."""
    with pytest.raises(InputError) as error:
        read(content, **options)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    return str(error.value).partition(": ")[2]

"""Image files of every kind that a header can announce, written by the letter of the specifications."""

import struct
import zlib

import numpy as np

TYPES = {"H": 3, "L": 4, "Q": 16}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced PNG: first column, first row, step in both."""


def sample_rows(samples: np.ndarray, bits: int, order: str = ">") -> list[bytes]:
    """Samples as bytes, row by row, of which each begins at a whole byte."""
    flat = samples.reshape(len(samples), -1)
    if bits in (8, 16, 32):
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in flat]
    ones = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [row.tobytes() for row in np.packbits(ones.astype(np.uint8).reshape(len(flat), -1), axis=1)]


def pack_bits(row: bytes) -> bytes:
    """PackBits without any packing."""
    return b"".join(bytes([len(row[i : i + 128]) - 1]) + row[i : i + 128] for i in range(0, len(row), 128))


def tiff(samples: np.ndarray, bits: int, order: str = "<", photometric: int | None = 1, compression: int = 1,
         rows: int | None = None, tile: int | None = None, fill: int = 1, big: bool = False,
         planar: int = 1, predictor: int = 1, **tags: tuple[str, list[int]]) -> bytes:  # fmt: skip
    """A TIFF of one image. `tags` are named `t<number>`, and replace the others or are added to them."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1

    def encoded(block: np.ndarray) -> bytes:
        if predictor == 2:
            block = np.concatenate([block[:, :1], np.diff(block.astype(np.int64), axis=1).astype(block.dtype)], axis=1)
        lines = sample_rows(block, bits, order)
        packed = {1: b"".join(lines), 8: zlib.compress(b"".join(lines)), 32773: b"".join(map(pack_bits, lines))}
        data = packed[compression]
        return data.translate(bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))) if fill == 2 else data

    def cut(plane: np.ndarray) -> list[bytes]:
        if tile is None:
            return [encoded(plane[y : y + (rows or height)]) for y in range(0, height, rows or height)]
        grid = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
        around = ((0, -height % tile), (0, -width % tile), *[(0, 0)] * (plane.ndim - 2))
        padded = np.pad(plane, around)
        return [encoded(padded[y : y + tile, x : x + tile]) for y, x in grid]

    planes = [samples] if planar == 1 else [samples[..., channel] for channel in range(channels)]
    blocks = [block for plane in planes for block in cut(plane)]
    head = 16 if big else 8
    places = np.cumsum([head, *map(len, blocks)]).tolist()
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
        entries |= {322: ("L", [tile]), 323: ("L", [tile]), 324: ("L", places[:-1])}
        entries[325] = ("L", [len(block) for block in blocks])
    else:
        entries |= {273: ("L", places[:-1]), 278: ("L", [rows or height])}
        entries[279] = ("L", [len(block) for block in blocks])
    entries |= {int(name[1:]): entry for name, entry in tags.items()}
    body = b"".join(blocks) + b"\0" * (places[-1] % 2)
    return tiff_file(body, [entries], order, big)


def tiff_file(body: bytes, directories: list[dict[int, tuple[str, list[int]]]], order: str, big: bool = False) -> bytes:
    """Pixel data, which begin at byte 8 (16 of a BigTIFF), and the directories that speak of them."""
    number, room, head = ("Q", 8, 16) if big else ("L", 4, 8)
    place = head + len(body)
    mark = {"<": b"II", ">": b"MM"}[order]
    start = struct.pack(order + "HHHQ", 43, 8, 0, place) if big else struct.pack(order + "HL", 42, place)
    written = b""
    for index, entries in enumerate(directories):
        after = place + (8 if big else 2) + len(entries) * (20 if big else 12) + room
        directory, longer = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
        for tag, (kind, values) in sorted(entries.items()):
            data = struct.pack(f"{order}{len(values)}{kind}", *values)
            if len(data) > room:
                where = struct.pack(order + number, after + len(longer))
                longer, data = longer + data + b"\0" * (len(data) % 2), where
            directory += struct.pack(f"{order}HH{number}", tag, TYPES[kind], len(values)) + data.ljust(room, b"\0")
        place = after + len(longer)
        following = place if index + 1 < len(directories) else 0
        written += directory + struct.pack(order + number, following) + longer
    return mark + start + body + written


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: np.ndarray, bits: int, color: int, *chunks: tuple[bytes, bytes], interlaced: bool = False) -> bytes:
    """A PNG of color type `color`, with `chunks` before its pixels."""
    height, width = samples.shape[:2]
    steps = PASSES if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(b"\0" + row for x, y, dx, dy in steps for row in sample_rows(samples[y::dy, x::dx], bits))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pnm(kind: int, samples: np.ndarray, maxval: int, comment: str = "") -> bytes:
    """A PBM, PGM or PPM file P1 to P6; of P1 and P4 the samples are 1 for black."""
    height, width = samples.shape[:2]
    head = f"P{kind}\n{comment}{width} {height}\n" + (f"{comment}{maxval}\n" if kind not in (1, 4) else "")
    if kind == 1:
        return head.encode() + b"\n".join(b"".join(b"%d" % one for one in row) for row in samples)
    if kind in (2, 3):
        return head.encode() + b"\n".join(b" ".join(b"%d" % one for one in row.ravel()) for row in samples)
    return head.encode() + b"".join(sample_rows(samples, 1 if kind == 4 else 8 if maxval < 256 else 16))

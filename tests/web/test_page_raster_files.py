"""The readers of PNG and JPEG in the page give Python's pixels, or refuse the file."""

import io
import struct
import zlib

import numpy as np
import pytest
from page_reader import compare, differences, in_page, save_all
from PIL import Image
from raster_files import RNG, chunk, png, pnm, random_samples, tiff

COLOR_TYPES = {0: ((1, 2, 4, 8, 16), 1), 2: ((8, 16), 3), 3: ((1, 2, 4, 8), 1), 4: ((8, 16), 2), 6: ((8, 16), 4)}
"""PNG color type -> possible bits per sample, and samples per pixel."""

RADIOGRAPH = np.clip(np.add.outer(np.arange(90) * 2.0, np.arange(75)) + RNG.normal(0, 20, (90, 75)), 0, 255)
COLORS = np.stack([RADIOGRAPH, RADIOGRAPH[::-1], RADIOGRAPH * 0.7], axis=2).astype(np.uint8)


def palette(bits: int) -> tuple[bytes, bytes]:
    return b"PLTE", RNG.integers(0, 256, 3 * 2**bits, np.uint8).tobytes()


def every_png() -> dict[str, bytes]:
    """Return files of all color types and depths, with and without interlacing and transparency."""
    files = {}
    for color, (depths, channels) in COLOR_TYPES.items():
        for bits in depths:
            for size in ((21, 29), (16, 16), (40, 17)):
                samples = random_samples(bits, size if channels == 1 else (*size, channels))
                chunks = [palette(bits)] if color == 3 else []
                for interlaced in (False, True):
                    name = f"{color}_{bits}_{size[0]}_{interlaced}"
                    files[f"{name}.png"] = png(samples, bits, color, *chunks, interlaced=interlaced)
                if color in (0, 2, 3):
                    transparent = (b"tRNS", bytes(1 if color == 3 else 2 if color == 0 else 6))
                    files[f"{name}_transparent.png"] = png(samples, bits, color, *chunks, transparent)
    return files


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def xmp(orientation: int) -> bytes:
    return b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def with_xmp(orientation: int) -> bytes:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(orientation)
    return png(random_samples(8), 8, 0, (b"iTXt", text))


def test_every_kind_of_png_has_the_pixels_of_python(tmp_path):
    assert differences(every_png(), tmp_path) == {}


def test_the_filters_of_real_encoders_are_undone(tmp_path):
    gray = Image.fromarray(RADIOGRAPH.astype(np.uint8))
    sixteen = Image.fromarray((RADIOGRAPH * 257).astype(np.uint16))
    colors = Image.fromarray(COLORS)
    kinds = {
        "gray": gray,
        "sixteen": sixteen,
        "colors": colors,
        "alpha": colors.convert("RGBA"),
        "one": gray.convert("1"),
    }
    files = {
        f"{name}{level}.png": saved(image, compress_level=level) for name, image in kinds.items() for level in (1, 9)
    }
    files["palette.png"] = saved(colors.quantize(37))
    assert differences(files, tmp_path) == {}


@pytest.mark.parametrize("bits", [8, 12, 15])
def test_fewer_sample_bits_are_scaled_or_refused_as_in_python(bits, tmp_path):
    files = {}
    for highest in (255, 256, 4095, 4096, 32767, 65535):
        samples = random_samples(16).astype(int) % (highest + 1)
        samples[3, 5] = highest
        files[f"{highest}.png"] = png(samples, 16, 0)
    files["colors.png"] = png(random_samples(16, (21, 29, 3)), 16, 2)
    files["eight.png"] = png(random_samples(8), 8, 0)
    assert differences(files, tmp_path, bits) == {}


def test_every_orientation_is_applied(tmp_path):
    gray, colors = Image.fromarray(RADIOGRAPH.astype(np.uint8)), Image.fromarray(COLORS)
    files = {}
    for orientation in range(0, 10):
        files[f"{orientation}.png"] = saved(colors, exif=exif(orientation))
        files[f"{orientation}.jpg"] = saved(gray, format="JPEG", exif=exif(orientation))
        files[f"{orientation}_xmp.jpg"] = saved(colors, format="JPEG", xmp=xmp(orientation))
        files[f"{orientation}_both.jpg"] = saved(gray, format="JPEG", exif=exif(3), xmp=xmp(orientation))
        files[f"{orientation}_xmp.png"] = with_xmp(orientation)
    assert differences(files, tmp_path) == {}


def test_every_kind_of_jpeg_has_the_pixels_of_python(tmp_path):
    files = {}
    for quality in (30, 75, 95):
        for progressive in (False, True):
            common = {"format": "JPEG", "quality": quality, "progressive": progressive}
            name = f"{quality}_{progressive}"
            files[f"{name}_gray.jpg"] = saved(Image.fromarray(RADIOGRAPH.astype(np.uint8)), **common)
            for subsampling in (0, 1, 2):
                files[f"{name}_{subsampling}.jpg"] = saved(Image.fromarray(COLORS), subsampling=subsampling, **common)
            files[f"{name}_rgb.jpg"] = saved(Image.fromarray(COLORS), keep_rgb=True, **common)
        files[f"{quality}_restart.jpg"] = saved(
            Image.fromarray(COLORS), format="JPEG", quality=quality, restart_marker_blocks=3
        )
    assert differences(files, tmp_path) == {}


def damaged_files() -> dict[str, bytes]:
    """Return files of which some part is missing or changed."""
    good = {
        "gray.png": png(random_samples(8), 8, 0),
        "sixteen.png": png(random_samples(16), 16, 0, interlaced=True),
        "colors.jpg": saved(Image.fromarray(COLORS), format="JPEG"),
        "progressive.jpg": saved(Image.fromarray(COLORS), format="JPEG", progressive=True),
    }
    files = {}
    for name, content in good.items():
        for part in range(1, 12):
            files[f"{part}_{name}"] = content[: len(content) * part // 12]
        if name.endswith("png"):  # a JPEG has no checksum
            files[f"pixel_{name}"] = content[:-40] + bytes([content[-40] ^ 4]) + content[-39:]
    return files


def test_damaged_and_truncated_files_are_refused(tmp_path):
    paths = save_all(damaged_files(), tmp_path)
    readings = in_page(paths, tmp_path)
    assert [path.name for path, reading in zip(paths, readings, strict=True) if not reading.refusal] == []


def test_png_files_that_are_refused_by_their_header_or_data(tmp_path):
    samples = random_samples(8)
    good = png(samples, 8, 0)
    start, end = good.index(b"IDAT") - 4, good.index(b"IEND") - 4
    data = zlib.decompress(good[start + 8 : end - 4])
    header = struct.pack(">IIBBBBB", 29, 21, 8, 0, 0, 0, 0)

    def rebuilt(raw: bytes, *chunks: tuple[bytes, bytes], ihdr: bytes = header) -> bytes:
        parts = [(b"IHDR", ihdr), *chunks, (b"IDAT", raw), (b"IEND", b"")]
        return good[:8] + b"".join(chunk(*part) for part in parts)

    whole = zlib.compress(data)
    files = {
        "animated.png": rebuilt(whole, (b"acTL", struct.pack(">II", 2, 0))),
        "short.png": rebuilt(zlib.compress(data[:-1])),
        "checksum.png": rebuilt(whole[:-1] + bytes([whole[-1] ^ 1])),
        "filter.png": rebuilt(zlib.compress(b"\5" + data[1:])),
        "depth.png": rebuilt(whole, ihdr=header[:8] + b"\3" + header[9:]),
        "bomb.png": rebuilt(whole, ihdr=struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)),
        "narrow.png": rebuilt(whole, ihdr=struct.pack(">IIBBBBB", 16, 161, 8, 0, 0, 0, 0)),
        "small.png": png(samples[:15], 8, 0),
        "critical.png": good[: end - 1] + b"x" + good[end:],
        "cmyk.jpg": saved(Image.fromarray(COLORS).convert("CMYK"), format="JPEG"),
        "empty.png": b"",
        "text.jpg": b"no image",
    }
    found, readings = compare(files, tmp_path)
    assert found == {}  # Python refuses them, too
    assert all(reading.refusal for reading in readings)


def test_an_ancillary_chunk_with_a_wrong_checksum_is_ignored_with_the_warning_of_python(tmp_path):
    good = png(random_samples(8), 8, 0, (b"tEXt", b"Comment\0x"), (b"gAMA", bytes(4)))
    changed = good.replace(b"Comment\0x", b"Comment\0y")
    found, (reading,) = compare({"text.png": changed}, tmp_path)
    assert found == {}
    assert "tEXt" in reading.warnings[0]


def test_other_formats_are_refused_with_advice(tmp_path):
    gray = Image.fromarray(RADIOGRAPH.astype(np.uint8))
    files = {f"x.{kind}": saved(gray, format=kind) for kind in ("TIFF", "BMP", "GIF", "WEBP", "JPEG2000")}
    files |= {"x.pgm": pnm(5, random_samples(8), 255), "y.tif": tiff(random_samples(16), 16, order=">")}
    readings = in_page(save_all(files, tmp_path), tmp_path)
    assert all("convert it to PNG" in (reading.refusal or "") for reading in readings)


@pytest.mark.real_data
def test_real_radiographs_have_the_pixels_and_warnings_of_python(nih_sample, tmp_path):
    paths = sorted(nih_sample.rglob("*.png"))
    chosen = {*paths[::12], *[path for path in paths if Image.open(path).mode != "L"]}
    files = {path.name: path.read_bytes() for path in chosen}
    assert files
    assert differences(files, tmp_path) == {}

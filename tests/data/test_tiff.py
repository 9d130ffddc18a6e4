"""TIFF files: every tag that affects the meaning of samples is applied or refused."""

import io
import itertools
import re
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tifffile
from conftest import ROOT
from PIL import Image
from raster_files import RNG, SIZE, as_gray, chunk, make_reader, random_samples, refusal, tiff, tiff_file

from chexnet.data import images
from chexnet.errors import InputError


@pytest.fixture
def read(tmp_path):
    return make_reader(tmp_path)


LAYOUTS = ({}, {"rows": 5}, {"tile": 16})


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
def test_gray_of_a_tiff_is_scaled_by_its_bits_and_inverted_if_0_is_white(read, bits):
    """With every byte order, compression, layout, bit order and offset size."""
    samples = random_samples(bits)
    expected = as_gray(samples, 2**bits - 1)
    options = itertools.product("<>", (0, 1), (1, 8, 32773), LAYOUTS, (1, 2), (False, True))
    for order, photometric, compression, layout, fill, big in options:
        content = tiff(samples, bits, order, photometric, compression, fill=fill, big=big, **layout)
        if order == ">" and (big or (bits == 16 and fill == 2)):  # not supported by Pillow
            assert f"TIFF of {bits}-bit gray samples" in refusal(read, content)
        else:
            gray = read(content)
            assert (gray == (expected if photometric else 255 - expected)).all(), (order, photometric, compression)


@pytest.mark.parametrize(("compression", "predictor"), [(1, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 16])
def test_tifffile_and_opencv_read_the_same_samples(tmp_path, bits, order, compression, predictor):
    samples = random_samples(bits)
    for photometric, layout in itertools.product((0, 1), LAYOUTS):
        content = tiff(samples, bits, order, photometric, compression, predictor=predictor, **layout)
        (tmp_path / "x.tif").write_bytes(content)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "x.tif"), samples)
        gray = images.read(tmp_path / "x.tif")
        expected = as_gray(samples, 2**bits - 1)
        np.testing.assert_array_equal(gray, expected if photometric else 255 - expected)
        if photometric:
            np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.tif"), cv2.IMREAD_UNCHANGED), samples)


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("bits", [8, 16])
def test_files_from_opencv_and_tifffile_are_read(tmp_path, read, bits, compression):
    samples = random_samples(bits)
    cv2.imwrite(str(tmp_path / "cv.tif"), samples, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    np.testing.assert_array_equal(images.read(tmp_path / "cv.tif"), as_gray(samples, 2**bits - 1))
    for photometric in ("minisblack", "miniswhite"):
        file = io.BytesIO()
        tifffile.imwrite(file, samples, photometric=photometric, rowsperstrip=4)
        expected = as_gray(samples, 2**bits - 1)
        np.testing.assert_array_equal(read(file.getvalue()), expected if "black" in photometric else 255 - expected)


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 16])
def test_colors_of_a_tiff_become_luma(read, bits, order, planar):
    samples = random_samples(bits, (*SIZE, 3))
    luma = (255.0 * samples / (2**bits - 1)) @ [0.299, 0.587, 0.114]
    for compression, layout in itertools.product((1, 8), LAYOUTS[:2]):
        content = tiff(samples, bits, order, 2, compression, planar=planar, **layout)
        if (bits, planar, compression) == (16, 2, 1):  # Pillow reads wrong pixels
            assert re.search("TIFF of 16-bit samples.*planes", refusal(read, content))
        else:
            assert np.abs(read(content) - luma).max() < (0.6 if bits == 8 else 1.6)


def test_statistics_and_resolution_in_a_tiff_are_ignored(read):
    """MinSampleValue and MaxSampleValue are statistics, "not to be used to affect the visual appearance"."""
    samples = random_samples(16)
    extra = {"t280": ("H", [100]), "t281": ("H", [4095]), "t340": ("H", [5]), "t341": ("H", [4095]), "t296": ("H", [2])}
    np.testing.assert_array_equal(read(tiff(samples, 16, **extra)), as_gray(samples, 65535))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bits": 16, "t339": ("H", [2])}, "TIFF of signed 16-bit.*unsigned"),
        ({"bits": 8, "t339": ("H", [2])}, "TIFF of signed 8-bit.*unsigned"),
        ({"bits": 16, "t339": ("H", [3])}, "TIFF of floating-point 16-bit"),
        ({"bits": 16, "t339": ("H", [4])}, "TIFF of undefined 16-bit"),
        ({"bits": 16, "t339": ("H", [77])}, "TIFF.*SampleFormat 77.*16-bit"),
        ({"bits": 32}, "TIFF of 32-bit.* 16 bits"),
        ({"bits": 32, "t339": ("H", [3])}, "TIFF of floating-point 32-bit"),
        ({"bits": 8, "photometric": None}, "TIFF.*PhotometricInterpretation"),
        ({"bits": 8, "t262": ("H", [])}, "damaged TIFF.*tag 262 has 0 values of type 3"),
        ({"bits": 8, "t258": ("H", [0])}, "TIFF of 0-bit"),
        ({"bits": 8, "t258": ("H", [8, 16]), "t277": ("H", [2])}, "TIFF.* 8 to 16 bits"),
        ({"bits": 8, "photometric": 3, "t320": ("H", [200] * 768)}, "TIFF.*palette.*255 of 65,535"),
        ({"bits": 8, "photometric": 32803}, "TIFF of 8-bit.*32803.*cannot be decoded"),
        ({"bits": 12, "t274": ("H", [6])}, "TIFF of 12-bit gray samples, rotated.* 1, 2, 4, 8 or 16 bits"),
        ({"bits": 8, "t254": ("L", [1]), "t330": ("L", [8])}, "TIFF.*preview"),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_an_unsupported_tiff_is_refused_with_its_format(read, options, expected, order):
    bits = options["bits"]
    options = {name: value for name, value in options.items() if name != "bits"}
    samples = RNG.integers(0, 256, SIZE).astype(np.uint32 if bits == 32 else np.uint16)
    assert re.search(expected, refusal(read, tiff(samples, bits, order, **options)))


@pytest.mark.parametrize("order", "<>")
def test_the_previews_in_a_tiff_are_ignored(read, order):
    samples, preview = random_samples(16, (32, 32)), random_samples(8, (16, 16))
    body = samples.astype(f"{order}u2").tobytes() + preview.tobytes()

    def page(pixels: np.ndarray, bits: int, offset: int, photometric: int, kind: int) -> dict:
        return {
            254: ("L", [kind]),
            256: ("L", [pixels.shape[1]]),
            257: ("L", [pixels.shape[0]]),
            258: ("H", [bits]),
            259: ("H", [1]),
            262: ("H", [photometric]),
            273: ("L", [offset]),
            277: ("H", [1]),
            278: ("L", [pixels.shape[0]]),
            279: ("L", [pixels.size * bits // 8]),
        }

    image, small = page(samples, 16, 8, 0, 0), page(preview, 8, 8 + samples.nbytes, 1, 1)
    expected = 255 - as_gray(samples, 65535)
    for pages in ([image, small], [small, image], [small, image, small]):
        np.testing.assert_array_equal(read(tiff_file(body, pages, order)), expected)
    for pages in ([image, image], [small, small], [image, *[small] * 20]):
        assert "several frames" in refusal(read, tiff_file(body, pages, order))


def test_a_tiff_whose_directories_form_a_cycle_is_refused(read):
    content = bytearray(tiff(random_samples(8), 8))
    offset = struct.unpack_from("<L", content, 4)[0]
    count = struct.unpack_from("<H", content, offset)[0]
    struct.pack_into("<L", content, offset + 2 + 12 * count, offset)
    assert "several frames" in refusal(read, bytes(content))


def test_damaged_compressed_data_are_refused_without_output_from_libtiff(tmp_path):
    """Pillow ignores errors in fax data; libtiff prints to standard error."""
    picture = Image.fromarray(np.sort(random_samples(8, (64, 64)), axis=1))
    for name, mode in (("tiff_lzw", "L"), ("tiff_adobe_deflate", "L"), ("group4", "1")):
        file = io.BytesIO()
        picture.convert(mode).save(file, "TIFF", compression=name)
        content = bytearray(file.getvalue())
        start = Image.open(io.BytesIO(content)).tag_v2[273][0]
        content[start + 10 : start + 40] = b"\xf5" * 30
        (tmp_path / f"{name}.tif").write_bytes(content)
    code = (
        "import sys\nfrom chexnet.data import images\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        images.read(path)\n        print('read', path)\n"
        "    except images.InputError as error:\n        print(error)\n"
    )
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{path}: cannot be decoded")


def test_a_tiff_with_any_changed_header_byte_is_read_or_refused(read):
    content = tiff(random_samples(8), 8)
    start = struct.unpack_from("<L", content, 4)[0]
    for index in (*range(8), *range(start, len(content))):
        for value in (0, 1, 255):
            changed = content[:index] + bytes([value]) + content[index + 1 :]
            try:
                message = str(read(changed).shape)
            except InputError as error:
                message = str(error)
            assert len(message) < 400
            assert "\n" not in message


def test_the_encoders_of_these_tests_are_correct():
    assert chunk(b"IEND", b"") == b"\0\0\0\0IEND\xaeB`\x82"
    with tifffile.TiffFile(io.BytesIO(tiff(random_samples(12), 12, ">", 0, big=True, tile=16))) as file:
        page = file.pages[0]
        assert (file.byteorder, file.is_bigtiff, page.bitspersample, page.tilewidth) == (">", True, 12, 16)
        assert page.photometric == tifffile.PHOTOMETRIC.MINISWHITE

"""Samples of files other than DICOM: every header field that affects their meaning is applied or refused."""

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
from raster_files import chunk, png, pnm, tiff, tiff_file

from chexnet.data import images
from chexnet.errors import InputError

RNG = np.random.default_rng(0)
SIZE = (21, 29)  # the rows of packed samples do not fill their last byte


def random_samples(bits: int, shape: tuple[int, ...] = SIZE) -> np.ndarray:
    """Draw samples that use their whole range, so that there is no warning."""
    samples = RNG.integers(0, 2**bits, shape).astype(np.uint16 if bits > 8 else np.uint8)
    samples[0, :2] = np.array([0, 2**bits - 1]).reshape(2, *[1] * (samples.ndim - 2))
    return samples


def as_gray(samples: np.ndarray, white: int) -> np.ndarray:
    return np.rint(255.0 * samples.astype(float) / white)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads the content of a file as gray."""

    def from_bytes(content: bytes, **options: int) -> np.ndarray:
        (tmp_path / "x").write_bytes(content)
        return images.read(tmp_path / "x", **options).astype(int)

    return from_bytes


def refusal(read, content: bytes, **options: int) -> str:
    with pytest.raises(InputError) as error:
        read(content, **options)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    return str(error.value).partition(": ")[2]


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


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("color", "bits"), [*((0, bits) for bits in (1, 2, 4, 8, 16)), *((3, b) for b in (1, 2, 4, 8)),
                                             *itertools.product((2, 4, 6), (8, 16))])  # fmt: skip
def test_opencv_reads_the_same_samples_of_a_png(tmp_path, color, bits, interlaced):
    """Gray and palettes agree exactly, luma and 16 bits within one gray level: OpenCV and Pillow truncate 16 bits."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    samples = random_samples(bits, (24, 29, channels)[: 2 + (channels > 1)])
    ancillary = [
        (b"gAMA", struct.pack(">I", 10_000)),
        (b"sBIT", bytes([max(1, bits // 2)] * (3 if color == 3 else channels))),
    ]
    if color in (0, 2):
        ancillary += [(kind, struct.pack(f">{channels}H", *[1] * channels)) for kind in (b"bKGD", b"tRNS")]
    palette = np.rint(np.linspace(255, 0, 2**bits)).astype(np.uint8)
    if color == 3:
        ancillary.append((b"PLTE", np.repeat(palette, 3).tobytes()))
    (tmp_path / "x.png").write_bytes(png(samples, bits, color, *ancillary, interlaced=interlaced))
    gray = images.read(tmp_path / "x.png").astype(int)
    if color == 3:
        np.testing.assert_array_equal(gray, palette[samples])
    elif color == 0:
        np.testing.assert_array_equal(gray, as_gray(samples, 2**bits - 1))
    elif color == 4:
        assert np.abs(gray - 255.0 * samples[..., 0] / (2**bits - 1)).max() < (0.5 if bits == 8 else 1.1)
    oracle = cv2.cvtColor(cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    assert np.abs(gray - oracle).max() <= (0 if color == 3 or (color in (0, 4) and bits <= 8) else 1)


def corrupt(content: bytes, kind: bytes, offset: int = 0) -> bytes:
    """Flip a bit in the first chunk of a kind."""
    index = content.index(kind) + 4 + offset
    return content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]


def test_a_png_with_a_damaged_comment_is_read_with_a_warning(tmp_path, read):
    samples = random_samples(16)
    intact = png(samples, 16, 0, (b"tEXt", b"Comment\0hello"), (b"tIME", bytes([7, 230, 1, 1, 1, 1, 1])))
    for kind in (b"tEXt", b"tIME"):
        np.testing.assert_array_equal(read(corrupt(intact, kind)), as_gray(samples, 65535))
        (warning,) = images.sample_warnings(images.open_image(tmp_path / "x"))
        assert kind.decode() in warning
    np.testing.assert_array_equal(read(intact), as_gray(samples, 65535))
    assert images.sample_warnings(images.open_image(tmp_path / "x")) == []


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT", b"IEND"])
def test_a_png_with_damaged_pixels_is_refused(read, kind):
    """Pillow does not verify the checksum of IDAT."""
    content = png(random_samples(8), 8, 3, (b"PLTE", bytes(range(256)) * 3))
    content = corrupt(content, kind, offset=0 if kind == b"IEND" else 4)
    assert re.search(rf"damaged PNG.*{kind.decode()}.*byte \d", refusal(read, content))


def test_text_in_a_png_is_not_mistaken_for_sample_metadata(read, tmp_path):
    texts = [(b"tEXt", name + b"\0" + b"7") for name in (b"white sample", b"highest sample", b"warning", b"Modality")]
    read(png(random_samples(8), 8, 0, *texts))
    image = images.open_image(tmp_path / "x")
    assert images.sample_range(image) == images.SampleRange(255, 255)
    assert images.sample_warnings(image) == []
    assert "Modality" not in image.info


COMMENT = "# 12 13 a comment\n#another\n"


@pytest.mark.parametrize("comment", ["", COMMENT])
@pytest.mark.parametrize("maxval", [1, 7, 100, 255, 256, 1000, 4095, 65534, 65535])
def test_a_pgm_is_scaled_by_its_maxval(read, maxval, comment):
    samples = RNG.integers(0, maxval + 1, SIZE).astype(np.uint16)
    samples[0, :2] = 0, maxval
    color = RNG.integers(0, maxval + 1, (*SIZE, 3)).astype(np.uint16)
    expected = as_gray(samples, maxval)
    luma = np.asarray(Image.fromarray(as_gray(color, maxval).astype(np.uint8)).convert("L"))
    for kind in (2, 5):
        np.testing.assert_array_equal(read(pnm(kind, samples, maxval, comment)), expected)
    for kind in (3, 6):
        np.testing.assert_array_equal(read(pnm(kind, color, maxval, comment)), luma)


def test_pgm_files_from_opencv_are_read(tmp_path):
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        samples = random_samples(8 * np.dtype(dtype).itemsize)
        cv2.imwrite(str(tmp_path / "x.pgm"), samples)
        np.testing.assert_array_equal(images.read(tmp_path / "x.pgm"), as_gray(samples, white))


@pytest.mark.parametrize("kind", [1, 4])
def test_1_is_black_in_a_pbm(read, kind):
    samples = random_samples(1)
    np.testing.assert_array_equal(read(pnm(kind, samples, 1, COMMENT)), 255 * (1 - samples.astype(int)))


SAMPLES = np.full(SIZE, 9, np.uint16)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pnm(5, SAMPLES, 8), "PNM.* 9 above.* 8$"),
        (pnm(2, SAMPLES, 8), "PNM.* 9 above.* 8$"),
        (pnm(5, SAMPLES, 0), "PNM.*maxval is 0.* 1..65535$"),
        (pnm(5, SAMPLES, 65536), "PNM.*maxval is 65536.* 1..65535$"),
        (pnm(5, SAMPLES, 4095)[:-1], "PNM.* 608 of 609"),
        (pnm(2, SAMPLES, 4095)[:-2], "PNM.* 608 of 609"),
        (pnm(1, SAMPLES // 9, 1)[:-1], "PNM.* 608 of 609"),
        (pnm(2, SAMPLES, 15)[:-1] + b"-9", "plain PNM.*integers"),
        (pnm(1, SAMPLES, 1), "plain PBM.*0 and 1"),
        (pnm(5, SAMPLES, 255) * 2, "several frames"),
        (b"Pf\n29 21\n-1.0\n" + SAMPLES.astype("<f4").tobytes(), "mode F"),
        (b"P5 9999999 9999999 255 ", "9999999 x 9999999"),
    ],
)
def test_an_invalid_pnm_file_is_refused(read, content, expected):
    assert re.search(expected, refusal(read, content))


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8, 10, 12, 15, 16])
def test_jpeg_2000_is_scaled_by_its_precision(read, bits):
    from openjpeg.utils import encode_array

    samples = random_samples(bits, (64, 64))
    content = encode_array(samples, bits_stored=bits, photometric_interpretation=2)
    np.testing.assert_array_equal(read(content), as_gray(samples, 2**bits - 1))
    if bits in (8, 16):
        packed = cv2.imencode(".jp2", samples, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
        np.testing.assert_array_equal(read(packed), as_gray(samples, 2**bits - 1))


def test_signed_jpeg_2000_is_refused(read):
    from openjpeg.utils import encode_array

    content = encode_array(RNG.integers(-2048, 2048, (64, 64), np.int16), bits_stored=12, photometric_interpretation=2)
    assert re.search("JPEG 2000.*signed 12-bit", refusal(read, content))
    assert re.search("JPEG 2000.*header", refusal(read, content[:30]))


def jpeg(scans: int) -> bytes:
    """Make a progressive JPEG of `scans` scans by repeating its last one."""
    file = io.BytesIO()
    Image.fromarray(np.indices((256, 256)).sum(axis=0).astype(np.uint8)).save(file, "JPEG", progressive=True)
    *first, last = file.getvalue().removesuffix(b"\xff\xd9").split(b"\xff\xda")
    return b"\xff\xda".join([*first, *[last] * (scans - len(first) + 1)]) + b"\xff\xd9"


def test_the_number_of_scans_in_a_jpeg_is_limited(read):
    assert read(jpeg(100)).shape == (256, 256)
    assert re.search("JPEG.* 101 scans.* 100$", refusal(read, jpeg(101)))
    assert re.search("JPEG.* 20,000 scans.* 100$", refusal(read, jpeg(20_000)))


def test_the_size_of_a_run_length_encoded_bmp_is_limited(read):
    runs = b"".join(bytes([29, value]) + b"\0\0" for value in range(21)) + b"\0\1"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))

    def bmp(body: bytes) -> bytes:
        header = struct.pack("<IiiHHIIiiII", 40, 29, 21, 1, 8, 1, len(body), 0, 0, 256, 0)
        return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(body), 0, 0, 54 + 1024) + header + palette + body

    np.testing.assert_array_equal(read(bmp(runs)), np.repeat(np.arange(20, -1, -1)[:, None], 29, axis=1))
    assert "BMP of 8,389,772 bytes" in refusal(read, bmp(b"\0\2\0\0" * 2**21 + runs))


def test_a_file_too_large_for_its_pixels_is_refused(read):
    content = png(random_samples(8), 8, 0) + bytes(2**25 + 32 * 29 * 21)
    assert re.search("609 pixels.*33,573,920", refusal(read, content))


@pytest.mark.parametrize(("bits", "layers"), [(12, 1), (8, 2)])
def test_an_unsupported_jpeg_is_refused_with_its_format(read, bits, layers):
    file = io.BytesIO()
    Image.fromarray(random_samples(8)).save(file, "JPEG")
    content = bytearray(file.getvalue())
    start = content.index(b"\xff\xc0")
    content[start + 4], content[start + 9] = bits, layers
    expected = f"{bits}-bit" if bits != 8 else f"{layers}-layer"
    assert expected in refusal(read, bytes(content))


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".png", ".tif", ".jp2"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_files_from_opencv_are_read_as_opencv_reads_them(tmp_path, suffix, channels):
    samples = random_samples(8, (64, 64, channels)[: 2 + (channels > 1)])
    path = tmp_path / f"x{suffix}"
    cv2.imwrite(str(path), samples, [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [])
    oracle = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    assert np.abs(images.read(path).astype(int) - oracle).max() <= 1


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("depth", [16, 24, 32])
def test_a_bmp_of_any_depth_and_direction_is_read(read, depth, top_down):
    gray = np.arange(16 * 16).reshape(16, 16) % 32
    values = {16: gray * 0x421, 24: gray * 8 * 0x10101, 32: gray * 8 * 0x10101 | 0x80000000}[depth]
    pixels = np.frombuffer(values.astype("<u4").tobytes(), np.uint8).reshape(16, 16, 4)[..., : depth // 8]
    body = (pixels if top_down else pixels[::-1]).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 16, -16 if top_down else 16, 1, depth, 0, len(body), 0, 0, 0, 0)
    found = read(b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + header + body)
    assert np.abs(found - (gray * 255 / 31 if depth == 16 else gray * 8)).max() <= 1


def test_an_animated_png_is_read_if_it_has_one_frame(read):
    samples = random_samples(8)
    for frames in (1, 2):
        file = io.BytesIO()
        pages = [Image.fromarray(np.roll(samples, shift)) for shift in range(frames)]
        pages[0].save(file, "PNG", save_all=True, append_images=pages[1:])
        if frames == 1:
            np.testing.assert_array_equal(read(file.getvalue()), samples)
        else:
            assert "several frames" in refusal(read, file.getvalue())


TWELVE = random_samples(12)
DEEP = {
    "png": png(TWELVE, 16, 0),
    "little endian tiff": tiff(TWELVE, 16, "<"),
    "big endian tiff": tiff(TWELVE, 16, ">", compression=8),
    "declared 14": tiff(TWELVE, 14),
    "pgm": pnm(5, TWELVE, 65535),
}


@pytest.mark.parametrize("name", DEEP)
def test_sample_bits_scale_files_that_declare_more(read, tmp_path, name):
    np.testing.assert_array_equal(read(DEEP[name], sample_bits=12), as_gray(TWELVE, 4095))
    assert images.sample_warnings(images.open_image(tmp_path / "x", sample_bits=12)) == []
    assert re.search("4,095.*2,047.*--sample_bits 16", refusal(read, DEEP[name], sample_bits=11))
    declared = 2**14 - 1 if name == "declared 14" else 65535
    np.testing.assert_array_equal(read(DEEP[name]), as_gray(TWELVE, declared))
    (warning,) = images.sample_warnings(images.open_image(tmp_path / "x"))
    assert re.search(f"4,095 of {declared:,}.*--sample_bits 12$", warning)


def test_sample_bits_scale_before_inversion(read):
    content = tiff(TWELVE, 16, photometric=0)
    np.testing.assert_array_equal(read(content, sample_bits=12), 255 - as_gray(TWELVE, 4095))


@pytest.mark.parametrize("bits", [8, 9, 12, 15, 16])
def test_a_sample_above_the_range_is_refused(read, bits):
    samples = np.full(SIZE, 2**bits - 1, np.uint16)
    assert (read(png(samples, 16, 0), sample_bits=bits) == 255).all()
    if bits < 16:
        samples[-1, -1] += 1
        message = refusal(read, png(samples, 16, 0), sample_bits=bits)
        assert f"{2**bits - 1:,} (sample_bits {bits})" in message


def test_sample_bits_do_not_affect_files_that_declare_no_more(read):
    for bits in (1, 4, 8):
        samples = random_samples(bits)
        for content in (png(samples, bits, 0), tiff(samples, bits)):
            np.testing.assert_array_equal(read(content, sample_bits=8), as_gray(samples, 2**bits - 1))
    np.testing.assert_array_equal(read(pnm(5, TWELVE, 4095), sample_bits=12), as_gray(TWELVE, 4095))
    assert re.search(
        "16-bit color.*--sample_bits 12", refusal(read, png(random_samples(16, (*SIZE, 3)), 16, 2), sample_bits=12)
    )


@pytest.mark.parametrize("highest", [1, 100, 127, 128, 255, 1000, 4080, 8191, 16384, 32767, 32768, 65535])
def test_a_warning_is_given_if_the_upper_half_of_the_range_is_unused(read, tmp_path, highest):
    samples = np.linspace(0, highest, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    read(png(samples, 16, 0))
    found = images.sample_range(images.open_image(tmp_path / "x"))
    assert (found.highest, found.white) == (highest, 65535)
    warnings = images.sample_warnings(images.open_image(tmp_path / "x"))
    assert bool(warnings) == (highest < 32768)
    if warnings:  # the recommended flag reads the file
        bits = int(re.search(r"--sample_bits (\d+)", warnings[0])[1])
        assert np.abs(read(png(samples, 16, 0), sample_bits=bits) - 255.0 * samples / (2**bits - 1)).max() <= 0.5


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

"""PNG, PNM, JPEG, JPEG 2000 and BMP files: every header field that affects the samples is applied or refused."""

import io
import itertools
import re
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from raster_files import RNG, SIZE, as_gray, make_reader, png, pnm, random_samples, refusal

from chexnet.data import images


@pytest.fixture
def read(tmp_path):
    return make_reader(tmp_path)


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

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, write_png
from PIL import Image

from chexnet.data import images
from chexnet.errors import InputError

GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_gray_pixels_survive_every_container(tmp_path, mode):
    Image.fromarray(GRAY).convert(mode).save(tmp_path / "x.png")
    np.testing.assert_array_equal(images.read(tmp_path / "x.png"), GRAY)


def test_sixteen_bits_are_scaled_from_their_full_range(tmp_path):
    deep = (GRAY.astype(np.uint16) * 257) + np.where(GRAY < 255, 100, 0).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    read = images.read(tmp_path / "x.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, GRAY)


def test_one_bit_pixels_are_black_and_white(tmp_path):
    Image.fromarray(GRAY > 100).save(tmp_path / "x.png")
    np.testing.assert_array_equal(images.read(tmp_path / "x.png"), np.where(GRAY > 100, 255, 0))


def test_the_transparency_of_a_palette_is_ignored_without_a_warning(tmp_path):
    Image.fromarray(GRAY).convert("P").save(tmp_path / "x.png", transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(images.read(tmp_path / "x.png"), GRAY)


def test_of_a_photograph_with_a_preview_the_photograph_is_read(tmp_path):
    photograph, preview = Image.fromarray(GRAY), Image.fromarray(255 - GRAY)
    photograph.save(tmp_path / "x.mpo", save_all=True, append_images=[preview])
    (tmp_path / "x.mpo").rename(tmp_path / "x.jpg")
    photograph.save(tmp_path / "alone.jpg")
    assert Image.open(tmp_path / "x.jpg").n_frames == 2
    np.testing.assert_array_equal(images.read(tmp_path / "x.jpg"), images.read(tmp_path / "alone.jpg"))


UPRIGHT = np.zeros((24, 40), dtype=np.uint8)
UPRIGHT[:12, :20], UPRIGHT[:12, 20:], UPRIGHT[12:, :20] = 250, 170, 90
STORED_AS = {  # EXIF's orientation -> how a camera held so stores the picture (CIPA DC-008, tag 274)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT[::-1, ::-1].T,
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("suffix", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_picture_is_turned_upright_as_its_camera_says(tmp_path, suffix, orientation, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation])).convert(mode)
    stored.save(tmp_path / "x", suffix, exif=exif)
    read = images.read(tmp_path / "x")
    assert read.shape == UPRIGHT.shape
    assert np.abs(read.astype(int) - UPRIGHT).mean() < 3
    assert images.open_image(tmp_path / "x").mode == mode or suffix == "WEBP"


@pytest.mark.parametrize("exif", [b"garbage", b"", b"II*\0\x08\0\0\0\x01\0", b"II*\0\xff\xff\xff\xff"])
def test_pixels_are_read_whatever_is_wrong_with_the_exif_data(tmp_path, exif):
    Image.fromarray(GRAY).save(tmp_path / "plain.jpg")
    Image.fromarray(GRAY).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(images.read(tmp_path / "x.jpg"), images.read(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("size", [(16, 16), (16, 160), (160, 16)])
def test_the_smallest_and_the_narrowest_that_are_read(tmp_path, size):
    write_png(tmp_path / "x.png", size)
    assert images.read(tmp_path / "x.png").shape == size


def test_as_many_pixels_as_are_allowed_are_read(tmp_path):
    Image.new("1", (10_000, 5_000)).save(tmp_path / "x.png")
    assert images.read(tmp_path / "x.png").size == images.MAX_PIXELS


def header(width: int, height: int) -> bytes:
    """A gray PNG that announces its size, and ends there."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 100) + b"IDAT"


def saved(suffix: str, mode: str = "L", frames: int = 1) -> bytes:
    """What Pillow writes, whose single images are read by the tests above."""
    file = io.BytesIO()
    pages = [Image.fromarray(np.roll(GRAY, shift)).convert(mode) for shift in range(frames)]
    pages[0].save(file, suffix, save_all=frames > 1, append_images=pages[1:])
    return file.getvalue()


PNG = saved("PNG")
UNDECODABLE = "cannot be decoded as an image: "
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n"
REFUSED = {
    "cut.png": (PNG[: len(PNG) * 2 // 3], f"{UNDECODABLE}image file is truncated"),
    "cut in its header.png": (PNG[:20], UNDECODABLE),
    "cut in its signature.png": (PNG[:6], f"{UNDECODABLE}it begins with b'\\x89PNG\\r\\n', expected an intact file"),
    "zero bytes.png": (b"", f"{UNDECODABLE}it is empty, expected an intact file of PNG, JPEG"),
    "page.png": (b"<html>not found</html>", f"{UNDECODABLE}it begins with b'<html>not found<',"),
    "text.png": (b"Moved\n", f"{UNDECODABLE}it begins with b'Moved\\n', expected"),
    "program.eps": (EPS, f"{UNDECODABLE}it begins with b'%!PS-Adobe"),
    "bomb.png": (header(8000, 8000), "8000 x 8000 pixels, expected at most 50,000,000 in all"),
    "larger bomb.png": (header(10_000, 10_000), "Image size (100000000 pixels), expected at most 50,000,000"),
    "largest bomb.png": (header(30_000, 30_000), "Image size (900000000 pixels), expected at most 50,000,000"),
    "strip.png": (header(16, 2_000_000), "16 x 2000000 pixels, expected one side at most 10 times the other"),
    "narrow.png": (header(161, 16), "161 x 16 pixels, expected one side at most 10 times the other"),
    "dot.png": (header(1, 1), "1 x 1 pixels, expected at least 16 x 16"),
    "flat.png": (header(100, 15), "100 x 15 pixels, expected at least 16 x 16"),
    "inks.jpg": (saved("JPEG", "CMYK"), "pixels of mode CMYK, expected 8- or 16-bit gray or 8-bit colour"),
    "float.tif": (saved("TIFF", "F"), "a TIFF of floating-point 32-bit samples, expected unsigned whole numbers"),
    "long.tif": (saved("TIFF", "I"), "a TIFF of signed 32-bit samples, expected unsigned whole numbers"),
    "moving.gif": (saved("GIF", frames=2), "several frames, expected a single image"),
    "moving.png": (saved("PNG", frames=3), "several frames, expected a single image"),
    "moving.webp": (saved("WEBP", "RGB", frames=2), "several frames, expected a single image"),
    "pages.tif": (saved("TIFF", frames=2), "several frames, expected a single image"),
}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        images.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("error")
def test_what_is_not_a_radiograph_is_refused_in_one_line(tmp_path, name):
    content, expected = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(expected)


@pytest.mark.parametrize(
    ("suffix", "mode"), [("GIF", "L"), ("WEBP", "RGB"), ("TIFF", "L"), ("JPEG", "L"), ("BMP", "L"), ("PPM", "L")]
)
def test_a_single_image_is_read_from_each_format(tmp_path, suffix, mode):
    (tmp_path / "x").write_bytes(saved(suffix, mode))
    error = np.abs(images.read(tmp_path / "x").astype(int) - GRAY)
    assert error.max() <= (0 if suffix in ("GIF", "TIFF", "BMP", "PPM") else 60)


def test_what_cannot_be_opened_says_why(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert refusal(tmp_path / "folder.png") == "cannot be read: Is a directory"
    assert refusal(tmp_path / "none.png") == "no such image file"


def test_a_file_that_one_may_not_read_says_so(tmp_path):
    write_png(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    if os.access(tmp_path / "x.png", os.R_OK):
        pytest.skip("root may read everything")
    assert refusal(tmp_path / "x.png") == "cannot be read: Permission denied"


def test_pillows_own_warnings_reach_nobody(tmp_path):
    """Of scripts: who imports the library has filters of their own. 100 million pixels are what Pillow warns of."""
    (tmp_path / "x.png").write_bytes(header(10_000, 10_000))
    Image.fromarray(GRAY).save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    code = (
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from chexnet import cli; from chexnet.data import images\n"
        "def message(path):\n"
        "    try:\n"
        "        return str(images.read(path).shape)\n"
        "    except images.InputError as error:\n"
        "        return str(error)\n"
        "def body(args):\n"
        "    with ThreadPoolExecutor(4) as pool:\n"
        "        print(*sorted(set(pool.map(message, sys.argv[1:] * 40))))\n"
        "cli.run(cli.Parser(''), body, [])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.png"), str(tmp_path / "x.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    bomb = f"{tmp_path / 'x.png'}: 10000 x 10000 pixels, expected at most 50,000,000 in all"
    assert done.stdout == f"(16, 16) {bomb}\n"


@pytest.mark.real_data
def test_real_radiographs_as_gray_are_each_channel_of_the_reference_code(nih_sample):
    from chexnet.data.transforms import Preprocessing

    paths = sorted((nih_sample / "images").glob("*.png"))
    modes = {path: Image.open(path).mode for path in paths}
    chosen = [path for path in paths if modes[path] != "L"] + paths[:6]
    assert any(modes[path] == "RGBA" for path in chosen)
    for path in chosen:
        rgb = np.asarray(Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
        ours = Preprocessing().resize_image(images.read(path))
        np.testing.assert_array_equal(rgb, np.repeat(ours[..., None], 3, axis=2))

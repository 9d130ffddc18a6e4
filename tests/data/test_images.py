import io
import os
import re
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


def test_the_content_of_a_file_gives_the_image_of_the_file(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    found = images.to_gray(images.open_image(images.ImageBytes(content)))
    np.testing.assert_array_equal(np.asarray(found), images.read(tmp_path / "x.png"))
    for name, wrong in (("the image", content[:-30]), ("upload.dcm", b"no image"), ("the image", b"")):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(InputError, match=rf"^{name}: ") as raised:
            images.open_image(images.ImageBytes(wrong, name))
        if name == "the image":
            with pytest.raises(InputError, match=re.escape(str(raised.value).removeprefix(f"{name}: "))):
                images.open_image(tmp_path / "wrong")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_gray_pixels_are_exact_in_every_mode(tmp_path, mode):
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


def test_the_preview_of_a_photograph_is_ignored(tmp_path):
    photograph, preview = Image.fromarray(GRAY), Image.fromarray(255 - GRAY)
    photograph.save(tmp_path / "x.mpo", save_all=True, append_images=[preview])
    (tmp_path / "x.mpo").rename(tmp_path / "x.jpg")
    photograph.save(tmp_path / "alone.jpg")
    assert Image.open(tmp_path / "x.jpg").n_frames == 2
    np.testing.assert_array_equal(images.read(tmp_path / "x.jpg"), images.read(tmp_path / "alone.jpg"))


UPRIGHT = np.zeros((24, 40), dtype=np.uint8)
UPRIGHT[:12, :20], UPRIGHT[:12, 20:], UPRIGHT[12:, :20] = 250, 170, 90
STORED_AS = {  # EXIF orientation (CIPA DC-008, tag 274) -> stored pixels
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
def test_the_exif_orientation_is_applied(tmp_path, suffix, orientation, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation])).convert(mode)
    stored.save(tmp_path / "x", suffix, exif=exif)
    read = images.read(tmp_path / "x")
    assert read.shape == UPRIGHT.shape
    assert np.abs(read.astype(int) - UPRIGHT).mean() < 3
    assert images.open_image(tmp_path / "x").mode == mode or suffix == "WEBP"


@pytest.mark.parametrize("exif", [b"garbage", b"", b"II*\0\x08\0\0\0\x01\0", b"II*\0\xff\xff\xff\xff"])
def test_malformed_exif_data_are_ignored(tmp_path, exif):
    Image.fromarray(GRAY).save(tmp_path / "plain.jpg")
    Image.fromarray(GRAY).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(images.read(tmp_path / "x.jpg"), images.read(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("size", [(16, 16), (16, 160), (160, 16)])
def test_the_smallest_and_narrowest_images_are_read(tmp_path, size):
    write_png(tmp_path / "x.png", size)
    assert images.read(tmp_path / "x.png").shape == size


def test_the_maximum_number_of_pixels_is_read(tmp_path):
    Image.new("1", (10_000, 5_000)).save(tmp_path / "x.png")
    assert images.read(tmp_path / "x.png").size == images.MAX_PIXELS


def header(width: int, height: int) -> bytes:
    """Make a gray PNG that is truncated after its header."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 100) + b"IDAT"


def saved(suffix: str, mode: str = "L", frames: int = 1) -> bytes:
    """Encode images with Pillow."""
    file = io.BytesIO()
    pages = [Image.fromarray(np.roll(GRAY, shift)).convert(mode) for shift in range(frames)]
    pages[0].save(file, suffix, save_all=frames > 1, append_images=pages[1:])
    return file.getvalue()


PNG = saved("PNG")
UNDECODABLE = "^cannot be decoded as an image: "
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n"
REFUSED = {
    "truncated.png": (PNG[: len(PNG) * 2 // 3], f"{UNDECODABLE}.*truncated"),
    "truncated header.png": (PNG[:20], UNDECODABLE),
    "truncated signature.png": (PNG[:6], rf"{UNDECODABLE}.*b'\\x89PNG\\r\\n'.*PNG, JPEG"),
    "zero bytes.png": (b"", f"{UNDECODABLE}.*empty.*PNG, JPEG"),
    "page.png": (b"<html>not found</html>", f"{UNDECODABLE}.*b'<html>not found<'"),
    "text.png": (b"Moved\n", rf"{UNDECODABLE}.*b'Moved\\n'"),
    "program.eps": (EPS, f"{UNDECODABLE}.*b'%!PS-Adobe"),
    "bomb.png": (header(8000, 8000), "^8000 x 8000.*50,000,000"),
    "larger bomb.png": (header(10_000, 10_000), "100000000.*50,000,000"),
    "largest bomb.png": (header(30_000, 30_000), "900000000.*50,000,000"),
    "strip.png": (header(16, 2_000_000), "^16 x 2000000.* 10 times"),
    "narrow.png": (header(161, 16), "^161 x 16.* 10 times"),
    "dot.png": (header(1, 1), "^1 x 1 .* 16 x 16$"),
    "flat.png": (header(100, 15), "^100 x 15.* 16 x 16$"),
    "cmyk.jpg": (saved("JPEG", "CMYK"), "mode CMYK.*8- or 16-bit gray or 8-bit color"),
    "float.tif": (saved("TIFF", "F"), "TIFF.*floating-point 32-bit.*unsigned"),
    "long.tif": (saved("TIFF", "I"), "TIFF.* signed 32-bit.*unsigned"),
    "animated.gif": (saved("GIF", frames=2), "several frames"),
    "animated.png": (saved("PNG", frames=3), "several frames"),
    "animated.webp": (saved("WEBP", "RGB", frames=2), "several frames"),
    "pages.tif": (saved("TIFF", frames=2), "several frames"),
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
def test_unsupported_files_are_refused_in_one_line(tmp_path, name):
    content, expected = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    assert re.search(expected, refusal(tmp_path / name))


@pytest.mark.parametrize(
    ("suffix", "mode"), [("GIF", "L"), ("WEBP", "RGB"), ("TIFF", "L"), ("JPEG", "L"), ("BMP", "L"), ("PPM", "L")]
)
def test_a_single_image_is_read_from_each_format(tmp_path, suffix, mode):
    (tmp_path / "x").write_bytes(saved(suffix, mode))
    error = np.abs(images.read(tmp_path / "x").astype(int) - GRAY)
    assert error.max() <= (0 if suffix in ("GIF", "TIFF", "BMP", "PPM") else 60)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert refusal(tmp_path / "folder.png").endswith("Is a directory")
    assert "no such" in refusal(tmp_path / "none.png")


def test_a_file_without_read_permission_is_refused(tmp_path):
    write_png(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    if os.access(tmp_path / "x.png", os.R_OK):
        pytest.skip("root may read everything")
    assert refusal(tmp_path / "x.png").endswith("Permission denied")


def test_scripts_do_not_print_the_warnings_of_pillow(tmp_path):
    """Pillow warns of the 100 million pixels in this header."""
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
    assert done.stdout.startswith(f"(16, 16) {tmp_path / 'x.png'}: 10000 x 10000 pixels, ")
    assert done.stdout.count("\n") == 1


@pytest.mark.real_data
def test_real_radiographs_as_gray_equal_each_channel_of_a_conversion_to_rgb(nih_sample):
    from chexnet.data.transforms import Preprocessing

    paths = sorted((nih_sample / "images").glob("*.png"))
    modes = {path: Image.open(path).mode for path in paths}
    chosen = [path for path in paths if modes[path] != "L"] + paths[:6]
    assert any(modes[path] == "RGBA" for path in chosen)
    for path in chosen:
        rgb = np.asarray(Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
        ours = Preprocessing().resize_image(images.read(path))
        np.testing.assert_array_equal(rgb, np.repeat(ours[..., None], 3, axis=2))

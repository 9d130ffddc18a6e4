import numpy as np
import pytest
from conftest import write_png
from PIL import Image

from chexnet import images
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


def test_unknown_pixels_are_refused_by_mode(tmp_path):
    Image.fromarray(GRAY).convert("CMYK").save(tmp_path / "x.jpg")
    with pytest.raises(InputError, match=r"x\.jpg.*CMYK"):
        images.read(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["missing", "empty", "html", "truncated"])
def test_what_is_not_an_image_is_named(tmp_path, kind):
    path = tmp_path / "x.png"
    write_png(path, (64, 64))
    contents = {"empty": b"", "html": b"<html>not found</html>", "truncated": path.read_bytes()[:1000]}
    path.unlink() if kind == "missing" else path.write_bytes(contents[kind])
    with pytest.raises(InputError, match=r"x\.png"):
        images.read(path)


@pytest.mark.real_data
def test_real_radiographs_as_gray_are_each_channel_of_the_reference_code(nih_sample):
    from chexnet.transforms import Preprocessing

    paths = sorted((nih_sample / "images").glob("*.png"))
    modes = {path: Image.open(path).mode for path in paths}
    chosen = [path for path in paths if modes[path] != "L"] + paths[:6]
    assert any(modes[path] == "RGBA" for path in chosen)
    for path in chosen:
        rgb = np.asarray(Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
        ours = Preprocessing().resized(images.read(path))
        np.testing.assert_array_equal(rgb, np.repeat(ours[..., None], 3, axis=2))

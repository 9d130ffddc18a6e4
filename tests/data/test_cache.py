"""Content and errors of the image cache."""

import json
import os

import numpy as np
import paddle
import pytest
from conftest import write_png
from hypothesis import given, settings
from hypothesis import strategies as st
from originals import SMALL, Originals, counts

from chexnet.config import TrainConfig
from chexnet.data import images
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.cache.manifest import MANIFEST, PIXELS
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.training import train


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_cached_image_equals_the_resized_image(originals, workers):
    result = originals.build(workers=workers)
    assert counts(result) == (9, 0, 0, 0)
    assert result.size == sum((originals.cache / name).stat().st_size for name in (PIXELS, MANIFEST))
    originals.assert_cached()


def test_the_order_does_not_matter_and_repeated_images_are_stored_once(originals):
    originals.build(names=[*originals.names, *reversed(originals.names)])
    assert len(originals.open()) == 9
    assert (originals.cache / MANIFEST).read_text().count("\n") == 10
    reversed_names = originals.names[::-1]
    originals.assert_cached(reversed_names)


def test_progress_reaches_the_number_of_images_to_read(originals):
    calls = []
    originals.build(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 9) for done in range(1, 10)]


def test_a_second_build_reads_only_new_and_changed_images(originals, read_names):
    originals.build(names=originals.names[:6])
    write_png(originals.images / "001.png", (77, 40), seed=100)
    os.utime(originals.images / "004.png", ns=(1, 1))
    read_names.clear()
    assert counts(originals.build(names=originals.names[:8])) == (2, 4, 2, 0)
    assert sorted(read_names) == ["001.png", "004.png", "006.png", "007.png"]
    originals.assert_cached(originals.names[:8])
    read_names.clear()
    assert counts(originals.build(names=originals.names[:8])) == (0, 8, 0, 0)
    assert read_names == []


def test_images_that_do_not_decode_are_returned_and_the_others_are_usable(originals):
    for name in ("002.png", "007.png"):
        (originals.images / name).write_bytes(b"<html>")
    result = originals.build()
    assert counts(result) == (7, 0, 0, 2)
    for reason, name in zip(result.failed, ("002.png", "007.png"), strict=True):
        assert f"{name}: cannot be decoded" in reason
    originals.assert_cached([name for name in originals.names if name not in ("002.png", "007.png")])
    write_png(originals.images / "002.png")
    assert counts(originals.build()) == (1, 7, 0, 1)


def test_the_cache_works_without_the_originals(originals):
    originals.build()
    moved = originals.images.rename(originals.images.with_name("moved"))
    rows = originals.open().rows(originals.names, "list.txt", originals.images)
    expected = SMALL.resize_image(images.read(moved / "001.png"))
    np.testing.assert_array_equal(originals.open().image(rows[1]), expected)


def test_the_error_for_uncached_images_shows_the_command_that_adds_them(originals):
    originals.build(names=originals.names[:7])
    message = (
        rf"list\.txt: 2 of 9 images .*{originals.cache}: 007\.png \(line 8\), 008\.png \(line 9\); "
        rf".*python tools/build_cache\.py --data_dir {originals.images} --lists list\.txt --output_dir "
    )
    with pytest.raises(InputError, match=message):
        originals.open().rows(originals.names, "list.txt", originals.images)


def test_an_error_names_at_most_ten_images(tmp_path):
    originals = Originals(tmp_path, 1)
    originals.build()
    names = [f"x{index}.png" for index in range(12)]
    with pytest.raises(InputError, match=r"12 of 12 images.*x9\.png \(line 10\), \.\.\.") as error:
        originals.open().rows(names, "list.txt", originals.images)
    assert "x10.png" not in str(error.value)


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_original_is_refused(originals, change):
    originals.build()
    path = originals.images / "003.png"
    old = path.stat().st_mtime_ns
    if change == "size":
        path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(old, old + (change == "time")))
    with pytest.raises(InputError, match=r"1 of 9 images .*: 003\.png \(line 4\)"):
        originals.open().rows(originals.names, "list.txt", originals.images)
    originals.build()
    originals.assert_cached()


def test_a_missing_cache_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"none: .*manifest\.txt.*tools/build_cache\.py"):
        ImageCache(tmp_path / "none", SMALL)


def test_a_cache_with_other_preprocessing_is_refused(originals, monkeypatch):
    originals.build()
    with pytest.raises(InputError, match=r"resize 40,.*expected .*resize 48,"):
        ImageCache(originals.cache, Preprocessing(48, 32))
    with pytest.raises(InputError, match=r"resize 40,.*resize 48,"):
        originals.build(preprocessing=Preprocessing(48, 32))
    assert len(ImageCache(originals.cache, Preprocessing(40, 20))) == 9
    monkeypatch.setattr(Preprocessing, "resize_checksum", lambda self: 7)
    with pytest.raises(InputError, match=r"expected .*fingerprint 7;"):
        originals.open()
    monkeypatch.undo()
    monkeypatch.setattr("chexnet.data.cache.manifest.RESIZE_VERSION", 99)
    with pytest.raises(InputError, match=r"resize_version \d+,.*resize_version 99,"):
        originals.open()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b" 40 ", b" 4x ", 2),
        (b"{", b"[", 1),
        (b"\n002.png ", b"\n002.png", 4),
        (b"\n002.png ", b"\n002.png 5 ", 4),
        (b"\n001.png ", b"\n001.png -", 3),
        (b"\n001.png ", b"\n001.png 99999999999999999999", 3),
        (b" 40 40 ", b" 41 42 ", 4),
        (b" 40 40 ", b" 40 9000000000000000000 ", 4),
    ],
)
def test_a_damaged_manifest_is_refused_with_its_line(originals, old, new, line):
    originals.build(workers=0)
    path = originals.cache / MANIFEST
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"manifest\.txt:{line}: damaged"):
        originals.open()


@pytest.mark.parametrize("opened", [Originals.open, Originals.build])
def test_a_truncated_pixel_file_is_refused(originals, opened):
    originals.build(workers=0)
    path = originals.cache / PIXELS
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(InputError, match=rf"images\.bin: {size - 1} bytes, .* {size} .*manifest\.txt:10"):
        opened(originals)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_corrupt_byte_is_detected(complete, data):
    """The image is reported, or missing, or the cache is refused. Otherwise the manifest has the same content."""
    originals = complete
    path = originals.cache / data.draw(st.sampled_from([PIXELS, MANIFEST]))
    good = path.read_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    try:
        cache = originals.open()
        cache.rows(originals.names, "list.txt", originals.images.with_name("not there"))
        damaged = cache.find_damaged()
    except InputError:
        assert path.name == MANIFEST
        return
    finally:
        path.write_bytes(good)
    if path.name == PIXELS:
        assert len(damaged) == 1
    elif not damaged:
        header, body = good.decode().split("\n", 1)
        bad_header, bad_body = bad.decode().split("\n", 1)
        assert json.loads(bad_header) == json.loads(header)
        assert bad_body.split() == body.split()


def test_training_from_a_cache_equals_training_from_files(folder, tmp_path):
    data_dir, train_list = folder(4, "train.txt")
    _, val_list = folder(2, "val.txt")
    names = [path.name for path in data_dir.iterdir()]
    build_cache(data_dir, names, tmp_path / "cache", SMALL, workers=1)
    weights = []
    for image_cache in (None, str(tmp_path / "cache")):
        config = TrainConfig(
            str(data_dir),
            str(train_list),
            str(val_list),
            str(tmp_path / f"run {image_cache is None}"),
            batch_size=2,
            epoch=1,
            init="random",
            device="cpu",
            resize=40,
            crop=32,
            backbone="lenet",
            image_cache=image_cache,
        )
        weights.append(paddle.load(str(train(config).best_model)))
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])

"""The image cache: what it holds, what it refuses, and that it survives whatever ends a build."""

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, write_png
from hypothesis import given, settings
from hypothesis import strategies as st

from chexnet import images
from chexnet.cache import ImageCache, build, building
from chexnet.cache.manifest import MANIFEST, PIXELS, read_manifest
from chexnet.errors import InputError
from chexnet.files import locked
from chexnet.transforms import Preprocessing

SMALL = Preprocessing(resize=40, crop=32)
SIZES = [(48, 40), (60, 80), (40, 40), (97, 50)]


class Originals:
    """A folder of radiographs, and a cache of them in the making."""

    def __init__(self, root: Path, count: int) -> None:
        self.images = root / "images"
        self.cache = root / "cache"
        self.names = [f"{index:03d}.png" for index in range(count)]
        for index, name in enumerate(self.names):
            write_png(self.images / name, SIZES[index % len(SIZES)], seed=index)
            os.utime(self.images / name, ns=(0, 10**18 + index))  # the same manifest in every run

    def build(self, **changes):
        return build(**{"data_dir": self.images, "names": self.names, "folder": self.cache, "preprocessing": SMALL,
                        "workers": 2, **changes})  # fmt: skip

    def open(self) -> ImageCache:
        return ImageCache(self.cache, SMALL)

    def assert_cached(self, names=None) -> None:
        """Every image is what decoding and resizing its file gives."""
        names = self.names if names is None else names
        cache = self.open()
        for name, row in zip(names, cache.rows(names, "list.txt", self.images).tolist(), strict=True):
            np.testing.assert_array_equal(cache.image(row), SMALL.resized(images.read(self.images / name)))


@pytest.fixture
def originals(tmp_path):
    return Originals(tmp_path, 9)


@pytest.fixture
def read_names(monkeypatch):
    """The names of the files that are decoded, as they are."""
    names = []
    original = images.open_gray
    monkeypatch.setattr(images, "open_gray", lambda path: (names.append(path.name), original(path))[1])
    return names


def counts(result) -> tuple[int, int, int, int]:
    return result.added, result.kept, result.redone, len(result.failed)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_cached_image_is_the_resized_one(originals, workers):
    result = originals.build(workers=workers)
    assert counts(result) == (9, 0, 0, 0)
    assert result.size == sum((originals.cache / name).stat().st_size for name in (PIXELS, MANIFEST))
    originals.assert_cached()


def test_the_order_of_lists_does_not_matter_and_an_image_in_two_is_kept_once(originals):
    originals.build(names=[*originals.names, *reversed(originals.names)])
    assert len(originals.open()) == 9
    assert (originals.cache / MANIFEST).read_text().count("\n") == 10
    reversed_names = originals.names[::-1]
    originals.assert_cached(reversed_names)


def test_progress_reaches_the_number_of_images_to_read(originals):
    calls = []
    originals.build(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 9) for done in range(1, 10)]


def test_a_second_build_reads_what_is_new_or_changed_alone(originals, read_names):
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


def test_what_does_not_decode_is_reported_together_and_the_rest_is_usable(originals):
    for name in ("002.png", "007.png"):
        (originals.images / name).write_bytes(b"<html>")
    result = originals.build()
    assert counts(result) == (7, 0, 0, 2)
    for reason, name in zip(result.failed, ("002.png", "007.png"), strict=True):
        assert f"{name}: cannot be decoded" in reason
    originals.assert_cached([name for name in originals.names if name not in ("002.png", "007.png")])
    write_png(originals.images / "002.png")
    assert counts(originals.build()) == (1, 7, 0, 1)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A finished cache that the tests leave as it was."""
    originals = Originals(tmp_path_factory.mktemp("complete"), 6)
    originals.build()
    return originals


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_wherever_a_build_is_cut_the_next_one_goes_on_from_there(complete, data):
    originals = complete
    manifest, pixels = ((originals.cache / name).read_bytes() for name in (MANIFEST, PIXELS))
    start = manifest.index(b"\n") + 1
    cut = data.draw(st.integers(start, len(manifest)))
    whole = [line.split() for line in manifest[:cut].rpartition(b"\n")[0].split(b"\n")[1:]]
    end = max((int(offset) + int(height) * int(width) for _, offset, height, width, *_ in whole), default=0)
    (originals.cache / MANIFEST).write_bytes(manifest[:cut])
    (originals.cache / PIXELS).write_bytes(pixels[: data.draw(st.integers(end, len(pixels)))] + b"x" * (cut % 3))
    assert len(originals.open()) == len(whole)
    assert counts(originals.build(workers=0)) == (6 - len(whole), len(whole), 0, 0)
    assert [(originals.cache / name).read_bytes() for name in (MANIFEST, PIXELS)] == [manifest, pixels]


def test_lines_follow_the_pixels_that_they_speak_of_to_the_disk(originals, monkeypatch):
    monkeypatch.setattr(building, "FLUSH_BYTES", 5000)
    originals.build(names=[])
    pixels = originals.cache / PIXELS
    on_disk = [0]
    original = os.fsync

    def fsync(descriptor: int) -> None:
        original(descriptor)
        if os.path.samestat(os.fstat(descriptor), pixels.stat()):
            on_disk.append(pixels.stat().st_size)
        assert read_manifest(originals.cache, SMALL).end <= on_disk[-1]

    monkeypatch.setattr(os, "fsync", fsync)
    originals.build()
    assert len(on_disk) > 3
    originals.assert_cached()


def test_a_killed_build_keeps_what_it_had_written(originals):
    code = (
        "import sys, time; from chexnet import images; from chexnet.cache import build, building\n"
        "from chexnet.transforms import Preprocessing\n"
        "building.FLUSH_BYTES = 1\n"
        "read = images.open_gray\n"
        "images.open_gray = lambda path: (time.sleep(0.05), read(path))[1]\n"
        f"build({str(originals.images)!r}, {originals.names!r}, {str(originals.cache)!r}, Preprocessing(40, 32), 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    manifest = originals.cache / MANIFEST
    while not (manifest.exists() and manifest.read_bytes().count(b"\n") > 3):
        assert process.poll() is None
        time.sleep(0.005)
    with pytest.raises(InputError, match="another process is writing"):
        originals.build()
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(originals.open())
    assert 3 <= kept < 9
    assert counts(originals.build()) == (9 - kept, kept, 0, 0)
    originals.assert_cached()


def test_an_interrupted_build_keeps_what_it_had_written(originals, monkeypatch):
    monkeypatch.setattr(building, "FLUSH_BYTES", 1)

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        originals.build(progress=interrupt)
    assert counts(originals.build()) == (5, 4, 0, 0)


def test_a_full_disk_is_one_line_and_the_next_build_goes_on(originals, monkeypatch):
    monkeypatch.setattr(building, "FLUSH_BYTES", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match=r"cache: cannot be written: File too large.*run the same command again"):
            originals.build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = len(originals.open())
    assert 0 < kept < 9
    assert counts(originals.build()) == (9 - kept, kept, 0, 0)
    originals.assert_cached()


def test_two_builds_into_one_folder_do_not_meet(originals):
    with locked(originals.cache), pytest.raises(InputError, match=r"cache: another process is writing"):
        originals.build()
    originals.build()


def test_the_cache_alone_serves_where_the_originals_are_not(originals):
    originals.build()
    moved = originals.images.rename(originals.images.with_name("moved"))
    rows = originals.open().rows(originals.names, "list.txt", originals.images)
    expected = SMALL.resized(images.read(moved / "001.png"))
    np.testing.assert_array_equal(originals.open().image(rows[1]), expected)


def test_images_that_are_not_cached_are_named_with_the_command_that_adds_them(originals):
    originals.build(names=originals.names[:7])
    message = (
        rf"list\.txt: 2 of 9 images are not in the cache {originals.cache}: 007\.png \(line 8\), 008\.png \(line 9\); "
        rf"run: python tools/build_cache\.py --data_dir {originals.images} --lists list\.txt --out "
    )
    with pytest.raises(InputError, match=message):
        originals.open().rows(originals.names, "list.txt", originals.images)


def test_only_ten_of_many_are_named(tmp_path):
    originals = Originals(tmp_path, 1)
    originals.build()
    names = [f"x{index}.png" for index in range(12)]
    with pytest.raises(InputError, match=r"12 of 12 images.*x9\.png \(line 10\), \.\.\.; run") as error:
        originals.open().rows(names, "list.txt", originals.images)
    assert "x10.png" not in str(error.value)


@pytest.mark.parametrize("change", ["size", "time"])
def test_an_original_that_has_changed_since_is_refused(originals, change):
    originals.build()
    path = originals.images / "003.png"
    old = path.stat().st_mtime_ns
    if change == "size":
        path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(old, old + (change == "time")))
    with pytest.raises(InputError, match=r"1 of 9 images have changed in .* since .*: 003\.png \(line 4\); run"):
        originals.open().rows(originals.names, "list.txt", originals.images)
    originals.build()
    originals.assert_cached()


def test_no_cache_is_said(tmp_path):
    with pytest.raises(InputError, match=r"none: no image cache \(manifest\.txt is missing\); make one"):
        ImageCache(tmp_path / "none", SMALL)


def test_a_cache_of_another_preprocessing_is_refused_and_both_are_said(originals, monkeypatch):
    originals.build()
    with pytest.raises(InputError, match=r"a cache of .*resize 40,.*expected .*resize 48,"):
        ImageCache(originals.cache, Preprocessing(48, 32))
    with pytest.raises(InputError, match=r"resize 40,.*resize 48,"):
        originals.build(preprocessing=Preprocessing(48, 32))
    assert len(ImageCache(originals.cache, Preprocessing(40, 20))) == 9
    monkeypatch.setattr(Preprocessing, "fingerprint", lambda self: 7)
    with pytest.raises(InputError, match=r"expected .*fingerprint 7;"):
        originals.open()
    monkeypatch.undo()
    monkeypatch.setattr("chexnet.cache.manifest.RESIZE_VERSION", 99)
    with pytest.raises(InputError, match=r"resize_version 1,.*resize_version 99,"):
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
    with pytest.raises(InputError, match=rf"manifest\.txt:{line}: damaged; remove"):
        originals.open()


@pytest.mark.parametrize("opened", [Originals.open, Originals.build])
def test_pixels_shorter_than_the_manifest_says_are_refused(originals, opened):
    originals.build(workers=0)
    path = originals.cache / PIXELS
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(
        InputError, match=rf"images\.bin: {size - 1} bytes, expected at least {size} by manifest\.txt:10"
    ):
        opened(originals)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_found_wherever_it_matters(complete, data):
    """The image is named, or missing, or the cache is refused; else the manifest still says the same."""
    originals = complete
    path = originals.cache / data.draw(st.sampled_from([PIXELS, MANIFEST]))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    try:
        cache = originals.open()
        cache.rows(originals.names, "list.txt", originals.images.with_name("not there"))
        damaged = cache.damaged()
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


def script():
    spec = importlib.util.spec_from_file_location("script_build_cache", ROOT / "tools/build_cache.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_builds_goes_on_verifies_and_says_what_next(folder, tmp_path, capsys):
    data_dir, train_list = folder(6, "train.txt")
    _, val_list = folder(4, "val.txt")
    flags = ["--data_dir", str(data_dir), "--out", str(tmp_path / "cache"), "--resize", "32", "--workers", "1"]
    assert script().main([*flags, "--lists", str(train_list)]) == 0
    lists = ["--lists", str(train_list), str(val_list)]
    assert script().main([*flags, "--verify", *lists]) == 2
    assert "4 of 4 images are not in the cache" in capsys.readouterr().err
    assert script().main([*flags, *lists]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("4 added, 6 kept, 0 redone, 0 failed; 0.0 MB in ")
    assert printed[-1] == f"next: python train.py --data_dir {data_dir} --resize 32 --image_cache {tmp_path / 'cache'}"
    assert script().main([*flags, "--verify", *lists]) == 0
    assert capsys.readouterr().out.startswith("10 images, all as they were written")
    with open(tmp_path / "cache" / PIXELS, "r+b") as file:
        file.write(b"\x00\x00\x00")
    assert script().main([*flags, "--verify", *lists]) == 2
    output = capsys.readouterr()
    assert output.out == "damaged: train_000.png\n"
    assert "1 of 10 images" in output.err.splitlines()[-1]


def test_the_script_names_every_file_that_does_not_decode(folder, tmp_path, capsys):
    data_dir, lists = folder(4)
    (data_dir / "list_002.png").write_bytes(b"")
    flags = ["--data_dir", str(data_dir), "--out", str(tmp_path / "cache"), "--resize", "32"]
    assert script().main([*flags, "--lists", str(lists)]) == 2
    output = capsys.readouterr()
    assert output.out.startswith(f"failed: {data_dir / 'list_002.png'}: cannot be decoded")
    assert "3 added, 0 kept, 0 redone, 1 failed" in output.out
    assert output.err.splitlines()[-1].startswith(f"error: {data_dir}: 1 images named above cannot be read")


def test_bad_lists_are_reported_before_anything_is_decoded(folder, tmp_path, capsys, read_names):
    data_dir, good = folder(3)
    (tmp_path / "bad.txt").write_text("a.png 0 1\n")
    flags = ["--data_dir", str(data_dir), "--out", str(tmp_path / "cache")]
    assert script().main([*flags, "--lists", str(good), str(tmp_path / "bad.txt")]) == 2
    (data_dir / "list_001.png").unlink()
    assert script().main([*flags, "--lists", str(good)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "bad.txt:1: 2 labels" in errors[0]
    assert "1 of 3 images are missing" in errors[1]
    assert read_names == []
    assert not (tmp_path / "cache").exists()


def test_training_from_a_cache_is_training_from_the_files(folder, tmp_path):
    import paddle

    from chexnet.config import TrainConfig
    from chexnet.training import train

    data_dir, train_list = folder(4, "train.txt")
    _, val_list = folder(2, "val.txt")
    names = [path.name for path in data_dir.iterdir()]
    build(data_dir, names, tmp_path / "cache", SMALL, workers=1)
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
            image_cache=image_cache,
        )
        weights.append(paddle.load(str(train(config).best_model)))
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])

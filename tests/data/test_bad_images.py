"""Broken images that a run leaves out: found before it, named, and few."""

import shutil
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from conftest import make_folder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chexnet.data import BatchLoader, ChestXrayDataSet, SkippedImage, find_bad_images, format_skipped, images
from chexnet.data.cache import build
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

SMALL = Preprocessing(resize=40, crop=32)
COUNT = 300
BROKEN = {"list_007.png": 8, "list_150.png": 151, "list_299.png": 300}
"""Name and line; the first is missing, the second a page, the third cut: 1 % of the list."""


def spoil(data_dir: Path) -> None:
    missing, page, cut = (data_dir / name for name in BROKEN)
    missing.unlink()
    page.write_bytes(b"<html>")
    cut.write_bytes(cut.read_bytes()[:500])


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Folder and list with 3 broken images of 300, and a cache of what can be read; tests leave them as they are."""
    root = tmp_path_factory.mktemp("spoilt")
    data_dir, list_file = make_folder(root, COUNT, sizes=[(40, 48), (60, 44)])
    spoil(data_dir)
    assert len(build(data_dir, read_list(list_file).names, root / "cache", SMALL, workers=2).failed) == 3
    return data_dir, list_file, root / "cache"


@pytest.fixture
def copied(spoilt, tmp_path):
    """The same to be changed."""
    data_dir, list_file, cache = spoilt
    shutil.copytree(data_dir, tmp_path / "images", copy_function=shutil.copy2)
    return tmp_path / "images", Path(shutil.copy(list_file, tmp_path)), cache


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_is_found_is_what_does_not_open(spoilt, workers):
    data_dir, list_file, _ = spoilt
    expected = []
    for line, text in enumerate(list_file.read_text().splitlines(), start=1):
        path = data_dir / text.split()[0]
        try:
            images.read(path)
        except InputError as error:
            expected.append(SkippedImage(path.name, line, str(error).split(": ", 1)[1]))
    calls = []
    found = find_bad_images(data_dir, list_file, workers=workers, progress=lambda *done: calls.append(done))
    assert found == tuple(expected)
    assert {one.image: one.line for one in found} == BROKEN
    assert found[0].reason == "no such image file"
    assert found[1].reason.startswith("cannot be decoded as an image: it begins with b'<html>'")
    assert calls == [(done, COUNT) for done in range(1, COUNT + 1)]
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_with_a_cache_it_is_what_the_cache_lacks_and_nothing_is_decoded(spoilt, monkeypatch):
    data_dir, list_file, cache = spoilt
    monkeypatch.delattr(images, "open_gray")
    found = find_bad_images(data_dir / "elsewhere", list_file, SMALL, image_cache=cache)
    assert found == tuple(SkippedImage(name, line, f"not in the cache {cache}") for name, line in BROKEN.items())
    dataset = ChestXrayDataSet(data_dir, list_file, "train", SMALL, image_cache=cache, skipped=found)
    assert len(list(BatchLoader(dataset, 50, shuffle=True, workers=1))) == 6


@pytest.mark.parametrize("cached", [False, True])
def test_what_remains_is_a_list_without_them(spoilt, tmp_path, cached):
    data_dir, list_file, cache = spoilt
    image_cache = cache if cached else None
    skipped = find_bad_images(data_dir, list_file, SMALL, image_cache=image_cache)
    lines = list_file.read_text().splitlines(keepends=True)
    shorter = tmp_path / "shorter.txt"
    shorter.write_text("".join(line for line in lines if line.split()[0] not in BROKEN))
    ours = ChestXrayDataSet(data_dir, list_file, "train", SMALL, seed=3, image_cache=image_cache, skipped=skipped)
    expected = ChestXrayDataSet(data_dir, shorter, "train", SMALL, seed=3)
    assert ours.skipped == skipped
    assert ours.list.names == expected.list.names
    assert ours.list.path == list_file
    for (crops, labels), (slow_crops, slow_labels) in zip(
        BatchLoader(ours, 32, shuffle=True, workers=2), BatchLoader(expected, 32, shuffle=True, workers=0), strict=True
    ):
        np.testing.assert_array_equal(crops, slow_crops)
        np.testing.assert_array_equal(labels, slow_labels)


def test_what_a_run_has_left_out_is_left_out_again_without_looking(spoilt, monkeypatch):
    data_dir, list_file, _ = spoilt
    state = [asdict(one) for one in find_bad_images(data_dir, list_file)]
    assert state[0] == {"image": "list_007.png", "line": 8, "reason": "no such image file"}
    monkeypatch.delattr(images, "open_gray")
    dataset = ChestXrayDataSet(data_dir, list_file, skipped=[SkippedImage(**entry) for entry in state])
    assert len(dataset) == COUNT - 3


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(0, 449)), count=st.integers(1, 450))
@example(bad={4, 5, 6}, count=300)
@example(bad={4, 5, 6}, count=299)
@example(bad={0}, count=100)
def test_above_one_percent_it_is_refused(tmp_path, monkeypatch, bad, count):
    names = [f"{index:03d}.png" for index in range(count)]
    (tmp_path / "list.txt").write_text("".join(f"{name} {'0 ' * 14}\n" for name in names))
    bad = sorted(index for index in bad if index < count)

    def open_gray(path, sample_bits):
        if int(path.stem) in bad:
            raise InputError(f"{path}: broken")

    monkeypatch.setattr(images, "open_gray", open_gray)
    if len(bad) / count <= 1 / 100:
        assert [one.line - 1 for one in find_bad_images(tmp_path, tmp_path / "list.txt")] == bad
        return
    with pytest.raises(InputError) as error:
        find_bad_images(tmp_path, tmp_path / "list.txt")
    shown = ", ".join(f"{names[index]} (line {index + 1})" for index in bad[:10]) + ", ..." * (len(bad) > 10)
    assert str(error.value) == (
        f"{tmp_path / 'list.txt'}: {len(bad)} of {count} images cannot be used, --on_bad_image skip leaves out 1 % at "
        f"most: {shown}; the first: broken"
    )


def test_a_folder_that_is_not_there_is_refused(spoilt, tmp_path):
    with pytest.raises(InputError, match=r"none: no such image folder"):
        find_bad_images(tmp_path / "none", spoilt[1], workers=2)


@pytest.mark.parametrize("change", ["another line", "a line before", "the end"])
def test_a_list_that_has_changed_since_is_refused(copied, change):
    data_dir, list_file, _ = copied
    skipped = find_bad_images(data_dir, list_file)
    lines = list_file.read_text().splitlines(keepends=True)
    left = {"another line": [*lines[:150], *lines[151:]], "a line before": lines[1:], "the end": lines[:250]}
    list_file.write_text("".join(left[change]))
    with pytest.raises(InputError, match=r"list\.txt:\d+: not list_\d+\.png, which is to be left out: the list has"):
        ChestXrayDataSet(data_dir, list_file, skipped=skipped)


def test_an_image_that_goes_missing_later_is_named_with_its_line(copied):
    data_dir, list_file, _ = copied
    skipped = find_bad_images(data_dir, list_file)
    (data_dir / "list_200.png").unlink()
    with pytest.raises(InputError, match=r"1 of 297 images are missing in .*: list_200\.png \(line 201\)"):
        ChestXrayDataSet(data_dir, list_file, skipped=skipped)


def test_an_image_that_has_changed_since_it_was_cached_is_named_with_its_line(copied):
    data_dir, list_file, cache = copied
    skipped = find_bad_images(data_dir, list_file, SMALL, image_cache=cache)
    (data_dir / "list_200.png").touch()
    with pytest.raises(InputError, match=r"1 of 297 images have changed.*: list_200\.png \(line 201\); run"):
        ChestXrayDataSet(data_dir, list_file, "center", SMALL, image_cache=cache, skipped=skipped)


def test_what_was_left_out_is_shown_a_line_each():
    one, two = SkippedImage("a.png", 3, "broken"), SkippedImage("b.png", 9, "gone")
    assert format_skipped([one], "x.txt") == (
        "left out of x.txt: 1 image (--on_bad_image skip)\n  a.png (line 3): broken"
    )
    assert format_skipped([one, two], "x.txt").splitlines()[::2] == [
        "left out of x.txt: 2 images (--on_bad_image skip)",
        "  b.png (line 9): gone",
    ]
